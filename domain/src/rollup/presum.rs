//! Sums hits where they are decoded or located, apart for each shard, so that shards get sums and not hits.

use super::{Delta, KeyHasher, Tally, encode_key};
use crate::watermark::Placement;

/// (record, window) pairs of one or more hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Pairs on time in their partition.
    pub on_time: i64,
    /// Pairs late there.
    pub late: i64,
}

/// One [`Delta`] of a rollup per shard.
#[derive(Debug)]
pub struct Presum {
    hasher: KeyHasher,
    shards: Vec<Delta>,
    key: Vec<u8>,
}

impl Presum {
    /// Nothing summed yet, for `shards` shards.
    pub fn new(hasher: KeyHasher, shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Delta::new(hasher.clone())).collect();
        Self { hasher, shards, key: Vec::new() }
    }

    /// Adds one hit to each of its windows; `others` are the texts of the rollup's dimensions beside the host.
    pub fn add<'a>(
        &mut self,
        host: Option<&'a str>,
        others: impl IntoIterator<Item = Option<&'a str>>,
        placement: Placement,
    ) -> Pairs {
        self.key.clear();
        encode_key([host], &mut self.key);
        encode_key(others, &mut self.key);
        let shard = self.hasher.shard(host, self.shards.len());
        let mut pairs = Pairs::default();
        let Some(delta) = self.shards.get_mut(shard) else { return pairs };
        for (window, late) in placement {
            delta.add(window.start, &self.key, Tally::one(late));
            if late {
                pairs.late += 1;
            } else {
                pairs.on_time += 1;
            }
        }
        pairs
    }

    /// Distinct (window, key) pairs held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(Delta::len).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(Delta::is_empty)
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(Delta::bytes).sum()
    }

    /// Takes the sums out, one delta per shard, and starts anew.
    pub fn take(&mut self) -> Vec<Delta> {
        let fresh = self.shards.iter().map(Delta::next).collect();
        std::mem::replace(&mut self.shards, fresh)
    }
}
