//! How far a partition has been read, and the ledger that proves that nothing was lost or doubled.

use std::fmt;
use std::ops::AddAssign;

use crate::time::EventTime;

/// The number of a partition within its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub i32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The position of a record within its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of offsets of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last one.
    pub to: Offset,
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, offsets from {} to before {}", self.partition, self.from, self.to)
    }
}

/// What is known of one partition in `partition_progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset the pipeline ever asked for.
    pub start_offset: Offset,
    /// The first offset that is not yet in the tables.
    pub next_offset: Offset,
    /// The greatest event time accepted so far.
    pub max_event_time: Option<EventTime>,
}

/// Where everything went. Sums over partitions satisfy `records = accepted + rejected` and
/// `pairs = counted + late + diverted`.
///
/// A pair is a (record, window): with overlapping windows one record is several. Diverted pairs were on time in their
/// partition but lay behind the frontier at commit; a commit books them all on its lowest partition, where `counted`
/// may go below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Records read.
    pub records: i64,
    /// Records that are hits.
    pub accepted: i64,
    /// Records kept in `rejected_events`.
    pub rejected: i64,
    /// Accepted records in which a NUL or invalid UTF-8 was replaced.
    pub sanitised: i64,
    /// Accepted records that are rows of `processed_events` (`events.store`).
    pub stored: i64,
    /// Pairs summed into open windows.
    pub counted: i64,
    /// Pairs late by their own partition's watermark.
    pub late: i64,
    /// Pairs on time in their partition but behind the frontier at commit.
    pub diverted: i64,
    /// Offsets that the brokers no longer had when they were wanted; no records, so part of no sum above.
    pub lost: i64,
}

impl Ledger {
    /// All (record, window) pairs, wherever they went.
    pub const fn pairs(&self) -> i64 {
        self.counted.saturating_add(self.late).saturating_add(self.diverted)
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.records = self.records.saturating_add(other.records);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.sanitised = self.sanitised.saturating_add(other.sanitised);
        self.stored = self.stored.saturating_add(other.stored);
        self.counted = self.counted.saturating_add(other.counted);
        self.late = self.late.saturating_add(other.late);
        self.diverted = self.diverted.saturating_add(other.diverted);
        self.lost = self.lost.saturating_add(other.lost);
    }
}
