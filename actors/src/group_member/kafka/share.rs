//! One batch from the client, taken apart by partition.

use std::collections::BTreeMap;

use hitstream_domain::progress::{Offset, PartitionId};
use rdkafka_sys::RDKafkaErrorCode;

use super::queue::{Entry, KafkaMessage};

/// What a batch has of one partition.
#[derive(Default)]
pub(super) struct Share {
    /// Its records, in order.
    pub(super) messages: Vec<KafkaMessage>,
    /// The word that it ended there.
    pub(super) end: Option<Offset>,
    /// What is wrong with it.
    pub(super) error: Option<RDKafkaErrorCode>,
}

impl Share {
    /// Whether there is anything for its consumer.
    pub(super) fn has_news(&self) -> bool {
        !self.messages.is_empty() || self.end.is_some()
    }

    /// The offset at which it begins.
    pub(super) fn first(&self) -> Option<Offset> {
        self.messages.first().map(KafkaMessage::offset).or(self.end)
    }

    /// The offset of its last record.
    pub(super) fn last(&self) -> Option<Offset> {
        self.messages.last().map(KafkaMessage::offset)
    }
}

/// Gives each partition its share.
pub(super) fn shares(messages: Vec<KafkaMessage>) -> BTreeMap<PartitionId, Share> {
    let mut shares: BTreeMap<PartitionId, Share> = BTreeMap::new();
    for message in messages {
        let share = shares.entry(message.partition()).or_default();
        match message.entry() {
            Entry::Record => share.messages.push(message),
            Entry::End(offset) => share.end = Some(offset),
            Entry::Error(code) => share.error = Some(RDKafkaErrorCode::from(code)),
        }
    }
    shares
}
