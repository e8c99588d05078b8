//! The only place that reads clocks; everything else is given `now`.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hitstream_domain::time::EventTime;

/// The reader's wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The monotonic clock of this process, as time since it was first asked.
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Time until a moment of the monotonic clock; a millisecond at least, for a last question that is not refused outright.
pub fn until(deadline: Duration) -> Duration {
    deadline.saturating_sub(monotonic()).max(Duration::from_millis(1))
}
