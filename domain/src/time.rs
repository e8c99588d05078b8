//! Event time: an instant kept to the microsecond.

use std::time::Duration;

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

/// A duration in whole microseconds, saturating at `i64::MAX` (292,000 years).
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl std::fmt::Display for EventTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} µs", self.0)
    }
}
