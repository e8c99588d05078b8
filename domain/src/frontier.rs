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

impl PartitionClock {
    /// Whether a claim says at `now`, by PostgreSQL's clock, that the partition is idle.
    pub fn is_idle(&self, now: EventTime) -> bool {
        self.idle_until.is_some_and(|until| now < until)
    }
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
    let idle = |p: &&PartitionClock| now.is_some_and(|now| p.is_idle(now));
    let held_by = partitions.iter().filter(|p| !idle(p)).map(watermark).min();
    let greatest = partitions.iter().map(watermark).max();
    held_by.or(greatest).unwrap_or(EventTime::NEG_INFINITY)
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
}
