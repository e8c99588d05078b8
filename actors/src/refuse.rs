//! The refuse list: what PostgreSQL would not take, so that its records are rejected when they are decoded again.

use std::collections::BTreeSet;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::rollup::RowKey;
use hitstream_domain::time::EventTime;

/// Keys and offsets whose records are rejected before they touch a watermark.
///
/// It lives as long as the process: after a restart PostgreSQL refuses again and the list is found again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefuseList {
    /// Windows and row keys of [`hitstream_domain::rollup::WEB_TRAFFIC`].
    pub keys: BTreeSet<(EventTime, RowKey)>,
    /// Records whose row in `processed_events` was refused.
    pub events: BTreeSet<(PartitionId, Offset)>,
    /// Records whose row in `rejected_events` was refused: it is stored without payload and detail.
    pub rejects: BTreeSet<(PartitionId, Offset)>,
    /// PostgreSQL's words, for people.
    pub said: String,
}

impl RefuseList {
    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.events.is_empty() && self.rejects.is_empty()
    }

    /// Adds what was found later.
    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.events.extend(other.events);
        self.rejects.extend(other.rejects);
        self.said = other.said;
    }
}
