//! Whether commits keep up: a partition in which records wait and nothing is committed for long is stalled.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionId};

/// Where a partition stands at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: PartitionId,
    /// The next offset as committed.
    pub next: Offset,
    /// Records behind it; `None` until the brokers have told where the partition ends.
    pub lag: Option<i64>,
}

/// Remembers since when each partition waits, across generations of actors: one that starts again and again without ever
/// committing is stalled as well.
#[derive(Clone, Debug)]
pub struct CommitWatch {
    limit: Duration,
    waiting: BTreeMap<PartitionId, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    next: Offset,
    lag: i64,
    /// When it last moved, or had nothing to wait for.
    since: Duration,
    /// When it was last among the partitions of this instance.
    seen: Duration,
}

impl Waiting {
    fn waited(&self) -> Duration {
        self.seen.saturating_sub(self.since)
    }
}

/// The partition that waits longest, where that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The partition.
    pub partition: PartitionId,
    /// Records that wait in it.
    pub lag: i64,
    /// How long nothing of it was committed.
    pub waited: Duration,
    /// How many others are stalled, too.
    pub others: usize,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, lag, waited, others } = self;
        let seconds = waited.as_secs();
        write!(f, "nothing of partition {partition} is committed for {seconds} s; lag {lag}")?;
        match others {
            0 => Ok(()),
            1 => write!(f, "; 1 other partition stands still, too"),
            _ => write!(f, "; {others} other partitions stand still, too"),
        }
    }
}

impl CommitWatch {
    /// A partition is stalled when records wait in it and it has not moved for `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { limit, waiting: BTreeMap::new() }
    }

    /// Looks at the partitions of this instance. `now` is on a monotonic clock. One that was stalled and is not among them
    /// counts for `limit` more: between generations nobody has any.
    pub fn look(&mut self, now: Duration, partitions: &[Standing]) -> Option<Stalled> {
        for standing in partitions {
            let new = Waiting { next: standing.next, lag: 0, since: now, seen: now };
            let waiting = self.waiting.entry(standing.partition).or_insert(new);
            waiting.seen = now;
            waiting.lag = standing.lag.unwrap_or(waiting.lag);
            if waiting.next != standing.next || waiting.lag == 0 {
                (waiting.next, waiting.since) = (standing.next, now);
            }
        }
        self.waiting.retain(|_, waiting| now.saturating_sub(waiting.seen) <= self.limit);
        let stalled = self.waiting.iter().filter(|(_, waiting)| waiting.waited() >= self.limit);
        let others = stalled.clone().count().saturating_sub(1);
        let (partition, longest) = stalled.max_by_key(|(_, waiting)| waiting.waited())?;
        let waited = now.saturating_sub(longest.since);
        Some(Stalled { partition: *partition, lag: longest.lag, waited, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const NEVER: [u64; 0] = [];

    fn at(partition: i32, next: i64, lag: Option<i64>) -> Standing {
        Standing { partition: PartitionId(partition), next: Offset(next), lag }
    }

    /// Looks once a second and tells in which seconds something was stalled.
    fn stalled(seconds: u64, at: impl Fn(u64) -> Vec<Standing>) -> Vec<u64> {
        let mut watch = CommitWatch::new(LIMIT);
        let mut is_stalled =
            |second: &u64| watch.look(Duration::from_secs(*second), &at(*second)).is_some();
        (0..seconds).filter(|second| is_stalled(second)).collect()
    }

    #[test]
    fn partition_without_commits_is_stalled_while_records_wait() {
        let found = stalled(50, |second| match second {
            0..5 => vec![at(0, 7, Some(0))],
            5..40 => vec![at(0, 7, Some(3))],
            _ => vec![at(0, 10, Some(0))],
        });
        assert_eq!(found, (34..40).collect::<Vec<u64>>());
    }

    #[test]
    fn quiet_topic_is_not_stalled_however_long_nothing_is_committed() {
        assert_eq!(stalled(500, |_| vec![at(0, 7, Some(0)), at(1, 0, None)]), NEVER);
    }

    #[test]
    fn lag_that_grows_is_no_stall_while_commits_follow() {
        let moving = |second: u64| {
            let second = i64::try_from(second).unwrap();
            vec![at(0, second / 20, Some(100 * second))]
        };
        assert_eq!(stalled(500, moving), NEVER);
    }

    #[test]
    fn one_partition_that_stands_still_is_noticed_while_others_move() {
        let found = stalled(40, |second| {
            vec![at(0, i64::try_from(second).unwrap(), Some(5)), at(1, 2, Some(5))]
        });
        assert_eq!(found.first(), Some(&30));
    }

    #[test]
    fn generations_that_never_commit_are_a_stall() {
        // Each lives for some seconds, the first of them without knowing where the partition ends, and then there is none.
        let found = stalled(60, |second| match second % 8 {
            0 | 1 if second > 1 => vec![at(0, 7, None)],
            6 | 7 => vec![],
            _ => vec![at(0, 7, Some(3))],
        });
        assert_eq!(found, (32..60).collect::<Vec<u64>>());
    }

    #[test]
    fn partition_that_went_to_another_instance_is_forgotten() {
        let found = stalled(200, |second| match second {
            0..20 | 120.. => vec![at(0, 7, Some(3))],
            _ => vec![],
        });
        assert_eq!(found.first(), Some(&150), "it waits anew");
    }

    #[test]
    fn longest_wait_is_told_with_the_number_of_others() {
        let mut watch = CommitWatch::new(LIMIT);
        watch.look(Duration::ZERO, &[at(4, 1, Some(2))]);
        let all = [at(4, 1, Some(12)), at(5, 1, Some(1)), at(6, 1, Some(1))];
        watch.look(Duration::from_secs(1), &all);
        let stalled = watch.look(Duration::from_secs(31), &all).unwrap();
        assert_eq!(
            stalled.to_string(),
            "nothing of partition 4 is committed for 31 s; lag 12; 2 other partitions stand still, too"
        );
    }
}
