//! Event time: an instant kept to the microsecond.

mod civil;
mod epoch;
mod parse;

use std::fmt;
use std::time::Duration;

pub use parse::TimeError;

/// An instant in microseconds since 1970-01-01T00:00:00Z.
///
/// Accepted events lie in 1970–2200; window bounds and the frontier may lie outside, so the type itself has no
/// limits and its arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventTime(i64);

impl EventTime {
    /// The beginning of time: the frontier of a pipeline that has seen nothing.
    pub const NEG_INFINITY: Self = Self(i64::MIN);
    /// The end of time.
    pub const INFINITY: Self = Self(i64::MAX);

    /// Wraps microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Wraps milliseconds since the epoch, as Kafka timestamps come.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The instant `span` later; infinities stay where they are.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        if self == Self::NEG_INFINITY { self } else { Self(self.0.saturating_add(micros(span))) }
    }

    /// The instant `span` earlier; infinities stay where they are.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        if self == Self::INFINITY { self } else { Self(self.0.saturating_sub(micros(span))) }
    }
}

/// RFC 3339 in UTC: `2024-12-29T12:01:00Z`, with six digits of fraction where there is one; infinities as PostgreSQL
/// writes them.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEG_INFINITY => return f.write_str("-infinity"),
            Self::INFINITY => return f.write_str("infinity"),
            _ => {}
        }
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil::civil_from_days(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        match year {
            0..=9_999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+05}")?,
        }
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        f.write_str("Z")
    }
}

/// A duration in whole microseconds, saturating at `i64::MAX` (292,000 years).
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
