//! One epoch, put together from the parts of all who take part in it.

use std::time::Duration;

use hitstream_domain::progress::{Ledger, Offset, PartitionId};
use hitstream_domain::time::EventTime;

use crate::messages::{EpochPart, Part, PartitionPart};
use crate::packed::FrozenRows;
use crate::window::{SortedHits, SortedRow};

/// Everything read from all of this instance's partitions between two cuts.
#[derive(Debug, Default)]
pub struct Epoch {
    /// Its number within the generation.
    pub number: u64,
    /// When it was cut, on the monotonic clock.
    pub cut_at: Duration,
    /// How each partition moved on, by number.
    pub partitions: Vec<PartitionPart>,
    /// The sums of each window shard.
    pub hits: Vec<SortedHits>,
    /// The rows for `processed_events`.
    pub events: Vec<FrozenRows>,
}

impl Epoch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|part| part.from == part.to && part.claim.is_none())
    }

    /// The next offset of each partition that moved.
    pub fn offsets(&self) -> Vec<(PartitionId, Offset)> {
        let moved = self.partitions.iter().filter(|part| part.from != part.to);
        moved.map(|part| (part.partition, part.to)).collect()
    }

    /// What became of all records, nothing diverted yet.
    pub fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        for part in &self.partitions {
            sum += part.ledger;
        }
        sum
    }

    /// The sums of one rollup from all shards, in key order.
    pub fn rows(&self, rollup: usize) -> Vec<SortedRow<'_>> {
        let mut rows: Vec<_> = self.hits.iter().flat_map(|hits| hits.rows(rollup)).collect();
        // Each shard's rows are sorted; the standard stable sort merges such runs.
        rows.sort_by_key(SortedRow::sort_key);
        rows
    }

    /// Hits that were left out of a rollup because PostgreSQL refused their rows before.
    pub fn refused_hits(&self, rollup: usize) -> i64 {
        let sum: u64 = self.hits.iter().map(|hits| hits.refused(rollup)).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    }

    /// Hits on time in their partition whose window lies behind the frontier: what a commit diverts.
    pub fn behind(&self, is_behind: impl Fn(EventTime) -> bool) -> i64 {
        let rows = self.hits.iter().flat_map(|hits| hits.rows(0));
        let sum: u64 =
            rows.filter(|row| is_behind(row.window_start)).map(|row| row.tally.on_time).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
}

/// How many parts make an epoch, beside one of each consumer.
#[derive(Clone, Copy, Debug)]
pub struct PartsExpected {
    /// Window shards.
    pub shards: usize,
    /// Enrichers.
    pub enrichers: usize,
}

/// The epoch whose parts are arriving.
#[derive(Debug)]
pub struct EpochAssembly {
    expected: PartsExpected,
    /// Enrichers whose part has arrived.
    enrichers: usize,
    epoch: Epoch,
}

impl EpochAssembly {
    /// Nothing has arrived.
    pub fn new(expected: PartsExpected) -> Self {
        Self { expected, enrichers: 0, epoch: Epoch::default() }
    }

    /// Adds a part, and returns the epoch once it is whole.
    pub fn add(&mut self, EpochPart { cut, part }: EpochPart) -> Option<Epoch> {
        let epoch = &mut self.epoch;
        match part {
            Part::Partition(part) => epoch.partitions.push(*part),
            Part::Events(rows) => {
                self.enrichers += 1;
                epoch.events.extend(rows);
            }
            Part::Hits(hits) => epoch.hits.push(hits),
        }
        let whole = epoch.partitions.len() == cut.consumers
            && epoch.hits.len() == self.expected.shards
            && self.enrichers == self.expected.enrichers;
        if !whole {
            return None;
        }
        self.enrichers = 0;
        let mut epoch = std::mem::take(epoch);
        (epoch.number, epoch.cut_at) = (cut.epoch, cut.at);
        epoch.partitions.sort_by_key(|part| part.partition);
        Some(epoch)
    }
}
