//! What the brokers say of the topic.

use std::collections::BTreeMap;
use std::time::Duration;

use hitstream_domain::progress::{self as domain, PartitionId};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys::RDKafkaErrorCode;

use super::membership::Consumer;
use super::topic_id::topic_id;
use super::watermarks::partition_range;
use crate::clock;
use crate::source::{PartitionEnds, SourceError, TopicDescription};

/// A topic's partitions, and a broker that leads one of them.
struct Found {
    /// Their numbers and leaders; below zero where one has none.
    partitions: Vec<(i32, i32)>,
    leader: i32,
}

/// Asks what the topic is like, for `timeout` in all; blocks.
pub(super) fn describe(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, SourceError> {
    let deadline = clock::monotonic() + timeout;
    let left = || clock::until(deadline);
    let found = find(consumer, topic, left())?;
    // First: where the topic is recreated while it is described, a commit finds that this is not its id.
    let topic_id = topic_id(consumer, topic, found.leader, left())?;
    let mut partitions = Vec::with_capacity(found.partitions.len());
    for (partition, _) in found.partitions {
        let range = partition_range(consumer.client(), topic, PartitionId(partition), left());
        partitions.push(range.map_err(unavailable)?);
    }
    partitions.sort_by_key(|range| range.partition);
    Ok(TopicDescription {
        cluster_id: consumer.client().fetch_cluster_id(left()).unwrap_or_default(),
        topic_id,
        partitions,
    })
}

/// Asks where all partitions end, for `timeout` in all and with one request to each broker; blocks.
pub(super) fn ends(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<PartitionEnds, SourceError> {
    let deadline = clock::monotonic() + timeout;
    let left = || clock::until(deadline);
    let found = find(consumer, topic, left())?;
    let mut ends: PartitionEnds =
        found.partitions.iter().map(|(partition, _)| (PartitionId(*partition), None)).collect();
    let mut by_leader: BTreeMap<i32, TopicPartitionList> = BTreeMap::new();
    for (partition, leader) in found.partitions.into_iter().filter(|(_, leader)| *leader >= 0) {
        // Only an offset below zero that has no meaning is refused.
        let _ = by_leader.entry(leader).or_default().add_partition_offset(
            topic,
            partition,
            Offset::End,
        );
    }
    // One by one: where a broker does not answer, the client has no answer of the others either.
    let brokers = u32::try_from(by_leader.len()).unwrap_or(u32::MAX).max(1);
    for wanted in by_leader.into_values() {
        let Ok(answer) = consumer.offsets_for_times(wanted, left().min(timeout / brokers)) else {
            continue;
        };
        for end in answer.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (end.error(), end.offset()) {
                ends.insert(PartitionId(end.partition()), Some(domain::Offset(offset)));
            }
        }
    }
    Ok(ends)
}

/// Asks for the topic's id; blocks.
pub(super) fn id(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<String, SourceError> {
    let found = find(consumer, topic, timeout)?;
    topic_id(consumer, topic, found.leader, timeout)
}

fn find(consumer: &Consumer, topic: &str, timeout: Duration) -> Result<Found, SourceError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(unavailable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
        let error = found.and_then(MetadataTopic::error).map(RDKafkaErrorCode::from);
        return Err(match error {
            None
            | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                SourceError::TopicMissing(topic.to_owned())
            }
            Some(error) => SourceError::Unavailable(format!("topic {topic:?}: {error}")),
        });
    };
    let mut leaders = found.partitions().iter().map(|partition| partition.leader());
    let leader = leaders.find(|leader| *leader >= 0).ok_or_else(|| {
        SourceError::Unavailable(format!("topic {topic:?}: none of its partitions has a leader"))
    })?;
    Ok(Found {
        partitions: found.partitions().iter().map(|at| (at.id(), at.leader())).collect(),
        leader,
    })
}

fn unavailable(error: KafkaError) -> SourceError {
    SourceError::Unavailable(error.to_string())
}
