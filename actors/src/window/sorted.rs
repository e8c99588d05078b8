//! Sums in the order in which every instance writes them, so that no two instances can wait for each other.

use hitstream_domain::rollup::{Delta, KeyParts, RowKey, Tally, host_hash, row_key};
use hitstream_domain::time::EventTime;

use crate::refuse::RefuseList;

/// The sums of one shard, sorted by key for each rollup.
#[derive(Debug)]
pub struct SortedHits {
    rollups: Vec<Sorted>,
}

/// The sums of one rollup.
#[derive(Debug)]
struct Sorted {
    sums: Delta,
    keys: Vec<Key>,
    /// Hits of sums that are left out.
    refused: u64,
}

/// Order of the primary keys of open and late tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    window_start: EventTime,
    host_hash: i64,
    row_key: RowKey,
    at: usize,
}

/// One sum with its stable identity.
#[derive(Clone, Debug)]
pub struct SortedRow<'a> {
    /// The window, by its start.
    pub window_start: EventTime,
    /// Stable hash of the host.
    pub host_hash: i64,
    /// Stable hash of the whole key.
    pub row_key: RowKey,
    /// The texts of the key, in the order of the rollup's dimensions.
    pub texts: KeyParts<'a>,
    /// The hits.
    pub tally: Tally,
}

impl SortedRow<'_> {
    /// What rows are sorted by.
    pub fn sort_key(&self) -> (EventTime, i64, RowKey) {
        (self.window_start, self.host_hash, self.row_key)
    }
}

impl SortedHits {
    /// Sorts the sums of each rollup, given in the order of `ROLLUPS`, without those that were refused.
    pub fn new(sums: Vec<Delta>, refuse: &RefuseList) -> Self {
        let sort = |(rollup, sums): (usize, Delta)| {
            let mut refused = 0;
            let mut keys = Vec::with_capacity(sums.len());
            for (at, row) in sums.rows().enumerate() {
                let row_key = row_key(row.key);
                if refuse.sums.contains(&(rollup, row.window_start, row_key)) {
                    refused += row.tally.on_time + row.tally.late;
                    continue;
                }
                let host_hash = host_hash(row.key);
                keys.push(Key { window_start: row.window_start, host_hash, row_key, at });
            }
            keys.sort_unstable();
            Sorted { sums, keys, refused }
        };
        Self { rollups: sums.into_iter().enumerate().map(sort).collect() }
    }

    /// Hits that are left out of a rollup.
    pub fn refused(&self, rollup: usize) -> u64 {
        self.rollups.get(rollup).map_or(0, |sorted| sorted.refused)
    }

    /// The rows of a rollup, by its place in `ROLLUPS`, in key order.
    pub fn rows(&self, rollup: usize) -> impl Iterator<Item = SortedRow<'_>> {
        self.rollups.get(rollup).into_iter().flat_map(|Sorted { sums, keys, .. }| {
            keys.iter().filter_map(|key| {
                let row = sums.row(key.at)?;
                Some(SortedRow {
                    window_start: key.window_start,
                    host_hash: key.host_hash,
                    row_key: key.row_key,
                    texts: KeyParts::new(row.key),
                    tally: row.tally,
                })
            })
        })
    }
}
