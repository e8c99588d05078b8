//! Why records could not be written.

use std::time::Duration;

use hitstream_actors::group_member::kafka::unusable_settings;
use rdkafka::error::KafkaError;

use crate::cli::words::count;
use crate::topic;

/// What keeps records from the topic.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// One record is too large; others may go on.
    #[error("record of {bytes} bytes is larger than message.max.bytes ({limit})")]
    TooLarge {
        /// Key and value together.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// librdkafka refuses the settings.
    #[error("{0}")]
    Settings(String),
    /// No broker answers, or not as one should.
    #[error("{}", topic::out_of_reach(.brokers, .reason))]
    Unreachable {
        /// The brokers asked.
        brokers: String,
        /// What the connection said.
        reason: String,
    },
    /// The topic does not exist.
    #[error(
        "topic {topic} does not exist; create it with --create-topic --partitions N, or set KAFKA_TOPIC (or kafka.topic)"
    )]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The topic exists with another number of partitions.
    #[error(
        "topic {topic} exists with {}, not {wanted}; leave out --partitions, or choose another topic",
        count(*.existing, "partition", "partitions")
    )]
    OtherPartitions {
        /// The topic.
        topic: String,
        /// The partitions it has.
        existing: u32,
        /// The partitions asked for.
        wanted: u32,
    },
    /// The topic could not be created.
    #[error("topic {topic} could not be created: {reason}")]
    NotCreated {
        /// The topic.
        topic: String,
        /// The broker's word.
        reason: String,
    },
    /// The topic refuses batches of the size the producer makes.
    #[error(
        "topic {topic} refuses batches of {batch_bytes} bytes; set \"batch.size\" in [kafka.properties] below the topic's max.message.bytes"
    )]
    BatchRefused {
        /// The topic.
        topic: String,
        /// The producer's `batch.size`.
        batch_bytes: usize,
    },
    /// A record was not delivered.
    #[error(
        "kafka at {brokers} did not take a record for {topic}: {reason}; {} in the topic",
        count(*.delivered, "record is", "records are")
    )]
    Undelivered {
        /// The topic.
        topic: String,
        /// The brokers.
        brokers: String,
        /// Records that did arrive.
        delivered: u64,
        /// Why.
        reason: String,
    },
    /// Records are still on their way when the time is over.
    #[error("kafka at {brokers} has not confirmed {} within {}", count(*.records, "record", "records"), humantime::format_duration(*.limit))]
    NotFlushed {
        /// Records without an answer.
        records: u64,
        /// The brokers.
        brokers: String,
        /// How long they were waited for.
        limit: Duration,
    },
}

impl ProduceError {
    /// Wraps librdkafka's refusal of the settings.
    pub(super) fn settings(error: &KafkaError) -> Self {
        Self::Settings(unusable_settings(error))
    }
}
