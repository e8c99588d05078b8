//! The tables and the commit protocol in memory (DESIGN section 5): every call is a transaction.

use std::collections::BTreeMap;

use hitstream_domain::frontier::{PartitionClock, frontier};
use hitstream_domain::progress::{Ledger, Offset, PartitionId};
use hitstream_domain::reject::RejectReason;
use hitstream_domain::rollup::{Delta, KeyParts};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;

use crate::model::Sums;

/// What is committed.
pub(crate) struct Store {
    rules: TimeRules,
    frontier: EventTime,
    progress: BTreeMap<PartitionId, Progress>,
    pub(crate) finals: Sums,
    pub(crate) open: Sums,
    pub(crate) late: Sums,
    pub(crate) rejected: BTreeMap<(i32, i64), RejectReason>,
}

/// A row of `partition_progress`.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) next_offset: Offset,
    pub(crate) max_event_time: Option<EventTime>,
    pub(crate) ledger: Ledger,
    idle: bool,
}

/// One instance's epoch, whole.
pub(crate) struct Epoch {
    pub(crate) parts: Vec<Part>,
    pub(crate) shards: Vec<Delta>,
}

/// One partition's part in an epoch.
pub(crate) struct Part {
    pub(crate) partition: PartitionId,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) max_event_time: Option<EventTime>,
    pub(crate) ledger: Ledger,
    pub(crate) rejects: Vec<(Offset, RejectReason)>,
}

/// Another owner has moved a partition on.
#[derive(Debug)]
pub(crate) struct Fenced;

impl Store {
    pub(crate) fn new(rules: TimeRules, partitions: usize) -> Self {
        let nothing = Progress {
            next_offset: Offset(0),
            max_event_time: None,
            ledger: Ledger::default(),
            idle: false,
        };
        Self {
            rules,
            frontier: EventTime::NEG_INFINITY,
            progress: (0..).map(PartitionId).map(|id| (id, nothing)).take(partitions).collect(),
            finals: Sums::new(),
            open: Sums::new(),
            late: Sums::new(),
            rejected: BTreeMap::new(),
        }
    }

    pub(crate) fn progress(&self, partition: PartitionId) -> Progress {
        self.progress[&partition]
    }

    /// Compare and set, then the sums, then the rejects; or nothing at all.
    pub(crate) fn commit(&mut self, epoch: &Epoch) -> Result<(), Fenced> {
        let moved = || epoch.parts.iter().filter(|part| part.from != part.to);
        if moved().any(|part| self.progress[&part.partition].next_offset != part.from) {
            return Err(Fenced);
        }
        let diverted = self.add(&epoch.shards);
        let mut lowest = true;
        for part in moved() {
            let progress = self.progress.get_mut(&part.partition).unwrap();
            progress.next_offset = part.to;
            progress.max_event_time = progress.max_event_time.max(part.max_event_time);
            progress.idle &= part.ledger.accepted == 0;
            progress.ledger += part.ledger;
            if std::mem::take(&mut lowest) {
                progress.ledger.counted -= diverted;
                progress.ledger.diverted += diverted;
            }
            for (offset, reason) in &part.rejects {
                let doubled = self.rejected.insert((part.partition.0, offset.0), *reason);
                assert_eq!(doubled, None, "offset {offset} is rejected twice");
            }
        }
        Ok(())
    }

    /// Sums into open windows what is on time and ahead of the frontier, all else into late ones.
    fn add(&mut self, shards: &[Delta]) -> i64 {
        let mut diverted = 0;
        for row in shards.iter().flat_map(Delta::rows) {
            let mut texts = KeyParts::new(row.key).map(|text| text.map(str::to_owned));
            let key = (row.window_start.as_micros(), texts.next().unwrap(), texts.next().unwrap());
            assert_eq!(texts.next(), None);
            let behind = self.rules.window.starting(row.window_start).end <= self.frontier;
            let (open, late) = if behind { (0, row.tally.on_time) } else { (row.tally.on_time, 0) };
            diverted += i64::try_from(late).unwrap();
            for (sums, hits) in [(&mut self.open, open), (&mut self.late, late + row.tally.late)] {
                if hits > 0 {
                    *sums.entry(key.clone()).or_default() += hits;
                }
            }
        }
        diverted
    }

    /// Claims that a partition is idle, until its next accepted record.
    pub(crate) fn claim(&mut self, partition: PartitionId) {
        self.progress.get_mut(&partition).unwrap().idle = true;
    }

    pub(crate) fn advance(&mut self) {
        let clock = |progress: &Progress| PartitionClock {
            max_event_time: progress.max_event_time,
            idle_until: progress.idle.then_some(EventTime::INFINITY),
        };
        let clocks: Vec<_> = self.progress.values().map(clock).collect();
        let computed = frontier(&clocks, self.rules.delay, Some(EventTime::from_micros(0)));
        self.frontier = self.frontier.max(computed);
    }

    /// Moves the earliest window if it is behind the frontier; whether there was one.
    pub(crate) fn move_window(&mut self) -> bool {
        let Some((start, ..)) = self.open.keys().next().cloned() else { return false };
        if self.rules.window.starting(EventTime::from_micros(start)).end > self.frontier {
            return false;
        }
        assert!(
            self.finals.keys().all(|(moved, ..)| *moved != start),
            "window {start} moves twice"
        );
        self.finals.extend(self.open.extract_if(.., |(window, ..), _| *window == start));
        true
    }

    /// The books of all partitions.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        for progress in self.progress.values() {
            sum += progress.ledger;
        }
        sum
    }
}
