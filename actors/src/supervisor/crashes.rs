//! Whether actors die again and again.

use std::collections::VecDeque;
use std::time::Duration;

/// So many crashes within [`WINDOW`] are a loop.
const LOOP: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The crashes of the last minute.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    times: VecDeque<Duration>,
    last: String,
}

impl Crashes {
    /// A crash at `now`, on the monotonic clock, and what is known of it.
    pub(super) fn add(&mut self, now: Duration, what: String) {
        self.times.push_back(now);
        self.last = what;
    }

    /// What to say of a loop of crashes, if there is one at `now`.
    pub(super) fn loop_at(&mut self, now: Duration) -> Option<String> {
        while self.times.front().is_some_and(|time| now.saturating_sub(*time) >= WINDOW) {
            self.times.pop_front();
        }
        (self.times.len() >= LOOP)
            .then(|| format!("{} crashes in a minute, the last: {}", self.times.len(), self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_crashes_in_a_minute_are_a_loop_until_they_are_past() {
        let s = Duration::from_secs;
        let mut crashes = Crashes::default();
        for second in 0..9 {
            crashes.add(s(second), "early".to_owned());
        }
        assert_eq!(crashes.loop_at(s(9)), None);
        crashes.add(s(59), "Writer: panic".to_owned());
        let said = crashes.loop_at(s(59)).unwrap();
        assert_eq!(said, "10 crashes in a minute, the last: Writer: panic");
        assert_eq!(crashes.loop_at(s(60)), None, "the first is a minute ago");
    }
}
