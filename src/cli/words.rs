//! Numbers and spans as a person would write them.

use std::fmt::Display;
use std::time::Duration;

const DAY_SECS: u64 = 24 * 3600;

/// Puts a count before its noun, and what else depends on it: `1 record was`, `2 records were`.
pub(crate) fn count(count: impl TryInto<u64> + Display, one: &str, many: &str) -> String {
    let shown = count.to_string();
    let noun = if matches!(count.try_into(), Ok(1)) { one } else { many };
    format!("{shown} {noun}")
}

/// Writes a span with days as its largest unit: a year is `365 days`, not months and hours that make one up.
pub(crate) fn span(span: Duration) -> String {
    let (days, seconds) = (span.as_secs() / DAY_SECS, span.as_secs() % DAY_SECS);
    let rest = Duration::new(seconds, span.subsec_nanos());
    match (days, rest.is_zero()) {
        (0, _) => humantime::format_duration(rest).to_string(),
        (_, true) => count(days, "day", "days"),
        (_, false) => {
            format!("{} {}", count(days, "day", "days"), humantime::format_duration(rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        let counted = |n: i64| count(n, "record was", "records were");
        assert_eq!(
            [0, 1, 2, -1].map(counted),
            ["0 records were", "1 record was", "2 records were", "-1 records were"]
        );
    }

    #[test]
    fn days_are_the_largest_unit() {
        let hours = |hours: u64| span(Duration::from_secs(hours * 3600));
        assert_eq!(hours(365 * 24), "365 days");
        assert_eq!([hours(1), hours(24), hours(49)], ["1h", "1 day", "2 days 1h"]);
        assert_eq!(span(Duration::ZERO), "0s");
        assert_eq!(span(Duration::from_millis(100)), "100ms");
        let parsed = humantime::parse_duration(&hours(49)).unwrap();
        assert_eq!(parsed, Duration::from_secs(49 * 3600), "it can be written as a setting");
    }
}
