//! A delta: hits summed per window and key, to be added to what the tables hold.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use crate::time::EventTime;

/// Hits of one window and key. Addition is the monoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Hits that their partition's watermark had not passed.
    pub on_time: u64,
    /// Hits that it had.
    pub late: u64,
}

impl Tally {
    /// One hit.
    pub const fn one(late: bool) -> Self {
        if late { Self { on_time: 0, late: 1 } } else { Self { on_time: 1, late: 0 } }
    }

    fn add(&mut self, other: Self) {
        self.on_time = self.on_time.saturating_add(other.on_time);
        self.late = self.late.saturating_add(other.late);
    }
}

/// Hashes keys in memory, seeded anew in each process so that no sender can aim for collisions. All deltas that are
/// merged share one. Never stored: [`super::row_key`] is for that.
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(foldhash::fast::RandomState);

impl KeyHasher {
    fn row(&self, window_start: EventTime, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_i64(window_start.as_micros());
        hasher.write(key);
        hasher.finish()
    }

    /// The shard, of `count`, that a host belongs to.
    pub fn shard(&self, host: Option<&str>, count: usize) -> usize {
        let hash = self.0.hash_one(host);
        usize::try_from(hash % (count.max(1) as u64)).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    window_start: EventTime,
    key_at: usize,
    key_len: usize,
    tally: Tally,
}

/// Sums per (window, key). Keys live one after another in one buffer, so that a known key costs no allocation and a
/// million keys cost two.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    hasher: KeyHasher,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
}

/// One sum of a [`Delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The window, by its start.
    pub window_start: EventTime,
    /// The encoded key ([`super::encode_key`]).
    pub key: &'a [u8],
    /// The hits.
    pub tally: Tally,
}

impl Delta {
    /// An empty delta.
    pub fn new(hasher: KeyHasher) -> Self {
        Self { hasher, ..Self::default() }
    }

    /// An empty delta with the same hasher, and room for as much as this one holds: the next epoch is like the last.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            index: HashTable::with_capacity(self.entries.len()),
            entries: Vec::with_capacity(self.entries.len()),
            keys: Vec::with_capacity(self.keys.len()),
        }
    }

    /// Adds hits to one window and key.
    pub fn add(&mut self, window_start: EventTime, key: &[u8], tally: Tally) {
        let hash = self.hasher.row(window_start, key);
        self.add_hashed(hash, window_start, key, tally);
    }

    /// Adds all of `other`, made with the same hasher.
    pub fn merge(&mut self, other: &Self) {
        for entry in &other.entries {
            self.add_hashed(entry.hash, entry.window_start, other.key(entry), entry.tally);
        }
    }

    /// Distinct (window, key) pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory in use, capacity left over aside.
    pub fn bytes(&self) -> usize {
        self.keys.len() + self.entries.len() * (size_of::<Entry>() + size_of::<u32>() + 1)
    }

    /// The sums, in the order in which their keys were first seen.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.entries.iter().map(|entry| self.row_of(entry))
    }

    /// The sum at a place in that order.
    pub fn row(&self, at: usize) -> Option<Row<'_>> {
        self.entries.get(at).map(|entry| self.row_of(entry))
    }

    fn row_of(&self, entry: &Entry) -> Row<'_> {
        Row { window_start: entry.window_start, key: self.key(entry), tally: entry.tally }
    }

    fn add_hashed(&mut self, hash: u64, window_start: EventTime, key: &[u8], tally: Tally) {
        let Self { index, entries, keys, .. } = self;
        let same = |at: &u32| {
            entries.get(*at as usize).is_some_and(|entry| {
                entry.hash == hash
                    && entry.window_start == window_start
                    && keys.get(entry.key_at..entry.key_at + entry.key_len) == Some(key)
            })
        };
        if let Some(&at) = index.find(hash, same) {
            if let Some(entry) = entries.get_mut(at as usize) {
                entry.tally.add(tally);
            }
            return;
        }
        // `flush.max_keys` bounds a delta far below 2^32 rows.
        let at = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entries.push(Entry { hash, window_start, key_at: keys.len(), key_len: key.len(), tally });
        keys.extend_from_slice(key);
        index.insert_unique(hash, at, |&at| entries.get(at as usize).map_or(0, |entry| entry.hash));
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        self.keys.get(entry.key_at..entry.key_at + entry.key_len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_deltas_hold_the_sums_of_both() {
        let hasher = KeyHasher::default();
        let (early, later) = (EventTime::from_micros(0), EventTime::from_micros(300));
        let mut a = Delta::new(hasher.clone());
        let mut b = Delta::new(hasher);
        a.add(early, b"x", Tally::one(false));
        b.add(early, b"x", Tally::one(true));
        b.add(later, b"x", Tally::one(false));
        a.merge(&b);
        let rows: Vec<_> =
            a.rows().map(|r| (r.window_start, r.tally.on_time, r.tally.late)).collect();
        assert_eq!(rows, [(early, 1, 1), (later, 1, 0)]);
    }
}
