//! Since when records wait: the Kafka timestamp of the first one at a position.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset as KafkaOffset, TopicPartitionList};

use super::membership;
use crate::clock;
use crate::settings::KafkaSettings;
use crate::source::{FirstTimestamps, SourceError};

/// One record of each partition is enough.
const SMALL: [(&str, &str); 3] = [
    ("queued.min.messages", "1"),
    ("fetch.message.max.bytes", "16384"),
    ("fetch.max.bytes", "1048576"),
];

/// Reads one record at each of these positions, for `limit` in all, with a client that joins no group; blocks.
///
/// # Errors
/// `Configuration` where the client refuses a property.
pub(super) fn timestamps(
    settings: &KafkaSettings,
    positions: &[(PartitionId, Offset)],
    limit: Duration,
) -> Result<FirstTimestamps, SourceError> {
    let mut settings = settings.clone();
    settings.properties.extend(SMALL.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let consumer = membership::asker(&settings)?;
    let unavailable = |error: KafkaError| SourceError::Unavailable(error.to_string());
    let mut list = TopicPartitionList::new();
    for (partition, next) in positions {
        let next = KafkaOffset::Offset(next.0);
        list.add_partition_offset(&settings.topic, partition.0, next).map_err(unavailable)?;
    }
    consumer.assign(&list).map_err(unavailable)?;
    let mut wanted: BTreeSet<PartitionId> = positions.iter().map(|(at, _)| *at).collect();
    let mut found = FirstTimestamps::new();
    let deadline = clock::monotonic() + limit;
    while !wanted.is_empty() && clock::monotonic() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                let partition = PartitionId(record.partition());
                if wanted.remove(&partition) {
                    let came = record.timestamp().to_millis().map(EventTime::from_millis);
                    found.insert(partition, came);
                }
            }
            // Nothing is left but markers of transactions.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                wanted.remove(&PartitionId(partition));
            }
            // Where a broker is away, or the record is gone, it stays unknown.
            Some(Err(_)) | None => {}
        }
    }
    // To close it may take long where brokers are away, and nobody has to wait for that.
    thread::spawn(move || drop(consumer));
    Ok(found)
}
