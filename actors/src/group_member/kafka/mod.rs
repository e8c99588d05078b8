//! Kafka as a source: one member of a consumer group, and the thread that serves it.
//!
//! The thread never blocks on anything but the client: rebalances, feeds and releases are messages both ways, so that
//! the group is served whatever the pipeline or PostgreSQL does.

mod membership;
mod poller;
mod queue;
mod topic_id;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use actix::Recipient;
use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::progress::{Offset, PartitionId};
use rdkafka::consumer::Consumer as _;
use rdkafka_sys::RDKafkaErrorCode;

use self::membership::Consumer;
use self::poller::{Command, Poller};
use crate::intake::Intake;
use crate::messages::SourceEvent;
use crate::settings::KafkaSettings;
use crate::source::{Feed, PartitionRange, Source, SourceError, TopicDescription};

/// A membership in a consumer group, for the life of the process.
pub struct KafkaSource {
    consumer: Arc<Consumer>,
    topic: String,
    commands: mpsc::Sender<Command>,
}

impl KafkaSource {
    /// Joins the group and starts the thread. Brokers need not be there yet.
    ///
    /// # Errors
    /// `Configuration` where the client refuses a property.
    pub fn join(settings: &KafkaSettings) -> Result<Self, SourceError> {
        let consumer = Arc::new(membership::consumer(settings)?);
        consumer.subscribe(&[&settings.topic]).map_err(|error| {
            SourceError::Configuration(format!(
                "topic {:?} cannot be subscribed to: {error}",
                settings.topic
            ))
        })?;
        let (commands, orders) = mpsc::channel();
        let poller = Poller::new(Arc::clone(&consumer), settings.topic.clone(), orders);
        thread::Builder::new()
            .name("kafka-poller".to_owned())
            .spawn(move || poller.run())
            .map_err(|error| {
                SourceError::Unavailable(format!("the poller thread does not start: {error}"))
            })?;
        Ok(Self { consumer, topic: settings.topic.clone(), commands })
    }

    fn command(&self, command: Command) {
        // A poller that is gone has said so to the generation it served, and drops its feeds.
        let _ = self.commands.send(command);
    }
}

/// Asks the brokers about a topic without joining any group; blocks.
///
/// # Errors
/// `TopicMissing`, or why the brokers do not answer.
pub fn describe_topic(
    settings: &KafkaSettings,
    timeout: Duration,
) -> Result<TopicDescription, SourceError> {
    describe(&membership::consumer(settings)?, &settings.topic, timeout)
}

impl Source for KafkaSource {
    fn attach(&self, events: Recipient<SourceEvent>, intake: Arc<Intake>) {
        self.command(Command::Attach { events, intake });
    }

    fn detach(&self) {
        self.command(Command::Detach);
    }

    fn describe(
        &self,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<TopicDescription, SourceError>> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || describe(&consumer, &topic, timeout));
        asked
            .map(|answer| match answer {
                Ok(answer) => answer,
                Err(error) => Err(SourceError::Unavailable(error.to_string())),
            })
            .boxed()
    }

    fn feed(&self, feeds: Vec<Feed>) {
        self.command(Command::Feed(feeds));
    }

    fn release(&self, partitions: Vec<PartitionId>) {
        self.command(Command::Release(partitions));
    }

    fn publish_offsets(&self, offsets: Vec<(PartitionId, Offset)>) {
        self.command(Command::Publish(offsets));
    }

    fn leave(&self) {
        self.command(Command::Leave);
    }
}

/// Asks the brokers about the topic; blocks.
fn describe(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, SourceError> {
    let unavailable =
        |error: rdkafka::error::KafkaError| SourceError::Unavailable(error.to_string());
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(unavailable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
        let error =
            found.and_then(rdkafka::metadata::MetadataTopic::error).map(RDKafkaErrorCode::from);
        return Err(match error {
            None
            | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                SourceError::TopicMissing(topic.to_owned())
            }
            Some(error) => SourceError::Unavailable(format!("topic {topic:?}: {error}")),
        });
    };
    let mut partitions = Vec::with_capacity(found.partitions().len());
    for partition in found.partitions() {
        let (low, high) =
            consumer.fetch_watermarks(topic, partition.id(), timeout).map_err(unavailable)?;
        partitions.push(PartitionRange {
            partition: PartitionId(partition.id()),
            low: Offset(low),
            high: Offset(high),
        });
    }
    partitions.sort_by_key(|range| range.partition);
    Ok(TopicDescription {
        cluster_id: consumer.client().fetch_cluster_id(timeout).unwrap_or_default(),
        topic_id: topic_id::topic_id(consumer, topic, timeout).unwrap_or_else(|| "0".repeat(32)),
        partitions,
    })
}
