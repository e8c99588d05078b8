//! One partition: how far it is committed, where it ends, since when its records wait.

use std::time::Duration;

use hitstream_domain::progress::Offset;
use hitstream_domain::time::EventTime;

use super::seconds;
use crate::metrics::ends::{Ends, KNOWN_FOR};

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Whether this instance reads it.
    pub(super) is_own: bool,
    /// The next offset as committed; `None` where it is not in the tables.
    pub(super) next: Option<Offset>,
    /// The next offset at the last look, and whether it was the same at the one before.
    pub(super) looked_at: Option<Offset>,
    pub(super) is_still: bool,
    pub(super) ends: Ends,
    /// The end as the client has it from what it fetched, and when that last rose, on the monotonic clock.
    pub(super) fetched: Option<(Offset, Duration)>,
    /// The Kafka timestamp of the last committed record, where this instance committed it.
    pub(super) last: Option<EventTime>,
    /// The Kafka timestamp, if it has one, of the first record at an offset or behind it, where somebody looked.
    pub(super) first: Option<(Offset, Option<EventTime>)>,
    pub(super) watermark: Option<EventTime>,
}

impl State {
    /// Records that are not committed; `None` while that is not known.
    pub(super) fn lag(&self, now: Duration) -> Option<i64> {
        let fetched = self.fetched.filter(|(_, rose)| now.saturating_sub(*rose) <= KNOWN_FOR);
        // What was fetched may be newer. It has transactions in it that are open, of which an answer does not tell.
        let end = self.ends.known(now).max(fetched.map(|(end, _)| end))?;
        let next = self.next?;
        match end.0.saturating_sub(next.0) {
            // Brokers are asked after the tables: that is the end of another topic. What this instance has committed may
            // be news to its own knowledge of the end.
            ..0 if !self.is_own => None,
            lag => Some(lag.max(0)),
        }
    }

    /// A time before which no record came that is not committed, the latest that is known.
    pub(super) fn waits_since(&self) -> Option<EventTime> {
        let next = self.next?;
        let first = self.first.filter(|(at, _)| *at == next).and_then(|(_, came)| came);
        self.last.max(self.ends.came_after(next)).max(first)
    }

    /// Seconds since the first record came that is not committed, or a little more; 0 without any, `None` while that is
    /// not known.
    pub(super) fn lag_seconds(&self, now: Duration, clock: EventTime) -> Option<f64> {
        match self.lag(now)? {
            0 => Some(0.0),
            _ => self.waits_since().map(|since| (seconds(clock) - seconds(since)).max(0.0)),
        }
    }

    pub(super) fn moves_to(&mut self, next: Offset) {
        if self.next != Some(next) {
            (self.next, self.last) = (Some(next), None);
        }
    }
}
