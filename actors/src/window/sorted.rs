//! Sums in the order in which every instance writes them, so that no two instances can wait for each other.

use hitstream_domain::rollup::{Delta, KeyParts, Row, RowKey, Tally, host_hash, row_key};
use hitstream_domain::time::EventTime;

/// The sums of one shard, sorted by key for each rollup.
#[derive(Debug)]
pub struct SortedHits {
    rollups: Vec<(Delta, Vec<Key>)>,
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
    /// Sorts the sums of each rollup, given in the order of `ROLLUPS`.
    pub fn new(sums: Vec<Delta>) -> Self {
        let sort = |delta: Delta| {
            let key = |(at, row): (usize, Row<'_>)| Key {
                window_start: row.window_start,
                host_hash: host_hash(row.key),
                row_key: row_key(row.key),
                at,
            };
            let mut keys: Vec<Key> = delta.rows().enumerate().map(key).collect();
            keys.sort_unstable();
            (delta, keys)
        };
        Self { rollups: sums.into_iter().map(sort).collect() }
    }

    /// The rows of a rollup, by its place in `ROLLUPS`, in key order.
    pub fn rows(&self, rollup: usize) -> impl Iterator<Item = SortedRow<'_>> {
        self.rollups.get(rollup).into_iter().flat_map(|(delta, keys)| {
            keys.iter().filter_map(|key| {
                let row = delta.row(key.at)?;
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
