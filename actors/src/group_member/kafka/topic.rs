//! What the brokers say of the topic.

use std::time::Duration;

use hitstream_domain::progress::PartitionId;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka_sys::RDKafkaErrorCode;

use super::membership::Consumer;
use super::topic_id::topic_id;
use super::watermarks::partition_range;
use crate::clock;
use crate::source::{SourceError, TopicDescription};

/// A topic's partitions, and a broker that serves one of them.
struct Found {
    partitions: Vec<i32>,
    leader: i32,
}

/// Asks what the topic is like, for `timeout` in all; blocks.
pub(super) fn describe(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, SourceError> {
    let deadline = clock::monotonic() + timeout;
    let left = || deadline.saturating_sub(clock::monotonic()).max(Duration::from_millis(1));
    let found = find(consumer, topic, left())?;
    // First: where the topic is recreated while it is described, a commit finds that this is not its id.
    let topic_id = topic_id(consumer, topic, found.leader, left())?;
    let mut partitions = Vec::with_capacity(found.partitions.len());
    for partition in found.partitions {
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
    Ok(Found { partitions: found.partitions().iter().map(|at| at.id()).collect(), leader })
}

fn unavailable(error: KafkaError) -> SourceError {
    SourceError::Unavailable(error.to_string())
}
