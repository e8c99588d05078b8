//! The frontier: how far the whole topic has come in event time; windows behind it are final.

use std::time::Duration;

use crate::time::EventTime;

/// What the frontier needs to know of one partition of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionClock {
    /// The greatest event time accepted from the partition, if any was.
    pub max_event_time: Option<EventTime>,
    /// Until when, by PostgreSQL's clock, the partition is claimed to be idle.
    pub idle_until: Option<EventTime>,
}

/// The frontier over all partitions of the topic: the least watermark of those that are not idle, or, if all are
/// idle, the greatest.
///
/// `now` is PostgreSQL's clock; without it claims are ignored, as `run --until-end` does. The stored frontier never
/// goes back, so the caller takes the greater of the two.
pub fn frontier(
    partitions: &[PartitionClock],
    delay: Duration,
    now: Option<EventTime>,
) -> EventTime {
    let watermark =
        |p: &PartitionClock| p.max_event_time.map_or(EventTime::NEG_INFINITY, |t| t.minus(delay));
    let idle = |p: &&PartitionClock| matches!((p.idle_until, now), (Some(until), Some(now)) if now < until);
    let held_by = partitions.iter().filter(|p| !idle(p)).map(watermark).min();
    let greatest = partitions.iter().map(watermark).max();
    held_by.or(greatest).unwrap_or(EventTime::NEG_INFINITY)
}

/// When one partition last had an accepted record, on the reader's monotonic clock; grounds for an idle claim.
///
/// The clock is whatever steady `Duration` since an arbitrary start the caller uses for all calls.
#[derive(Clone, Copy, Debug)]
pub struct QuietTime {
    quiet_since: Duration,
}

/// Proof that a partition was idle at an instant; it ages until it reaches PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleClaim {
    /// The instant E: when the broker was asked for the end of the partition.
    pub proven_at: Duration,
}

impl QuietTime {
    /// Quiet time starts at zero with the assignment.
    pub fn starting(assigned_at: Duration) -> Self {
        Self { quiet_since: assigned_at }
    }

    /// An accepted record ends the quiet; a rejected one does not come here.
    pub fn accepted(&mut self, now: Duration) {
        self.quiet_since = self.quiet_since.max(now);
    }

    /// Makes a claim of a broker's answer that the partition ends where the reader stands.
    ///
    /// `asked_at` is when ListOffsets was sent. No claim where a record was accepted less than `idle_timeout` before.
    pub fn claim(&self, asked_at: Duration, idle_timeout: Duration) -> Option<IdleClaim> {
        let quiet = asked_at.checked_sub(self.quiet_since)?;
        (quiet >= idle_timeout).then_some(IdleClaim { proven_at: asked_at })
    }
}

impl IdleClaim {
    /// How long the claim still holds at `now`: `idle_timeout` less its age. `None` once it has run out.
    pub fn remaining(&self, now: Duration, idle_timeout: Duration) -> Option<Duration> {
        let age = now.checked_sub(self.proven_at)?;
        idle_timeout.checked_sub(age).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_micros(10);

    fn partition(max: Option<i64>, idle_until: Option<i64>) -> PartitionClock {
        PartitionClock {
            max_event_time: max.map(EventTime::from_micros),
            idle_until: idle_until.map(EventTime::from_micros),
        }
    }

    fn at(now: i64, partitions: &[PartitionClock]) -> i64 {
        frontier(partitions, DELAY, Some(EventTime::from_micros(now))).as_micros()
    }

    #[test]
    fn least_watermark_holds_the_frontier_unless_idle() {
        let both = [partition(Some(100), None), partition(Some(50), Some(7))];
        assert_eq!(at(6, &both), 90);
        assert_eq!(at(7, &both), 40); // the claim has run out
        assert_eq!(frontier(&both, DELAY, None).as_micros(), 40);
    }

    #[test]
    fn partition_without_data_holds_the_frontier_at_the_beginning_of_time() {
        let both = [partition(Some(100), None), partition(None, None)];
        assert_eq!(frontier(&both, DELAY, None), EventTime::NEG_INFINITY);
        assert_eq!(frontier(&[], DELAY, None), EventTime::NEG_INFINITY);
    }

    #[test]
    fn all_idle_take_the_greatest_watermark() {
        assert_eq!(at(0, &[partition(Some(100), Some(9)), partition(Some(50), Some(9))]), 90);
    }

    #[test]
    fn claim_needs_a_whole_timeout_of_quiet_before_the_question_was_asked() {
        let s = Duration::from_secs;
        let mut quiet = QuietTime::starting(s(100));
        assert_eq!(quiet.claim(s(159), s(60)), None);
        assert!(quiet.claim(s(160), s(60)).is_some());
        quiet.accepted(s(150));
        assert_eq!(quiet.claim(s(160), s(60)), None);
        let claim = quiet.claim(s(210), s(60)).unwrap();
        assert_eq!(claim.remaining(s(215), s(60)), Some(s(55)));
        assert_eq!(claim.remaining(s(270), s(60)), None);
    }
}
