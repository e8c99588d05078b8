//! The refuse list: what PostgreSQL would not take, so that its records are rejected when they are decoded again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::rollup::RowKey;
use hitstream_domain::time::EventTime;

/// Keys and offsets whose records are rejected before they touch a watermark, each with PostgreSQL's words.
///
/// It lives as long as the process: after a restart PostgreSQL refuses again and the list is found again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefuseList {
    /// Windows and row keys of [`hitstream_domain::rollup::WEB_TRAFFIC`].
    pub keys: BTreeMap<(EventTime, RowKey), Arc<str>>,
    /// Sums of the other rollups, by their place in `ROLLUPS`, window and row key. Where a visitor is comes too late to
    /// reject records: these sums are left out, and their hits booked as refused.
    pub sums: BTreeSet<(usize, EventTime, RowKey)>,
    /// Places, as their packed columns, that no row of `processed_events` may have. Hits there are stored and counted under
    /// no place, as where a provider fails: nothing is lost for what was added to it.
    pub places: BTreeSet<Box<[u8]>>,
    /// Records whose row in `processed_events` was refused, also without its place.
    pub events: BTreeMap<(PartitionId, Offset), Arc<str>>,
    /// Records whose row in `rejected_events` was refused, and what is left of it.
    pub rejects: BTreeMap<(PartitionId, Offset), Kept>,
    /// PostgreSQL's words about one of them, for the log.
    pub said: String,
}

/// What is stored of a rejected record whose whole row was refused: less each time, until PostgreSQL takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The payload without the detail, which is for people only.
    Payload,
    /// The detail without the payload.
    Detail,
    /// Neither: what remains is that there was a record, and the reason.
    Neither,
}

impl RefuseList {
    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much was refused.
    pub fn len(&self) -> usize {
        self.keys.len()
            + self.sums.len()
            + self.places.len()
            + self.events.len()
            + self.rejects.len()
    }

    /// Adds what was found later; tells whether any of it was new, so that trying again can end otherwise.
    pub fn extend(&mut self, other: Self) -> bool {
        let mut learnt = false;
        for (key, said) in other.keys {
            learnt |= self.keys.insert(key, said).is_none();
        }
        for sum in other.sums {
            learnt |= self.sums.insert(sum);
        }
        for place in other.places {
            learnt |= self.places.insert(place);
        }
        for (record, said) in other.events {
            learnt |= self.events.insert(record, said).is_none();
        }
        for (record, kept) in other.rejects {
            let less = match self.rejects.get(&record) {
                None => kept,
                Some(Kept::Payload) => Kept::Detail,
                Some(_) => Kept::Neither,
            };
            learnt |= self.rejects.insert(record, less) != Some(less);
        }
        self.said = other.said;
        learnt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_record_is_kept_less_each_time_it_is_refused() {
        let record = (PartitionId(0), Offset(7));
        let again = || RefuseList {
            rejects: BTreeMap::from([(record, Kept::Payload)]),
            ..RefuseList::default()
        };
        let mut list = RefuseList::default();
        for kept in [Kept::Payload, Kept::Detail, Kept::Neither] {
            assert!(list.extend(again()));
            assert_eq!(list.rejects[&record], kept);
        }
        assert!(!list.extend(again()), "there is nothing left to leave out");
    }
}
