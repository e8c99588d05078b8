//! The way to the topic that commands share: describing it, and what Kafka's failures mean to a person.

use std::time::Duration;

use hitstream_actors::group_member::kafka::describe_topic;
use hitstream_actors::source::{SourceError, TopicDescription};

use crate::cli::CliError;
use crate::config::Config;
use crate::wiring;

/// How long the brokers have to describe the topic.
const LIMIT: Duration = Duration::from_secs(15);

/// Asks the brokers about the topic; blocks.
pub(crate) fn describe(config: &Config) -> Result<TopicDescription, CliError> {
    describe_topic(&wiring::kafka(config), LIMIT).map_err(|error| failure(config, error))
}

/// What a failure of Kafka means to a command.
pub(crate) fn failure(config: &Config, error: SourceError) -> CliError {
    let brokers = &config.kafka.brokers;
    match error {
        SourceError::TopicMissing(topic) => CliError::Mismatch(format!(
            "topic {topic:?} does not exist at {brokers}. Create it with `hitstream run --create-topic --partitions N`, \
             or set KAFKA_TOPIC (or kafka.topic) to the one that is meant"
        )),
        SourceError::Configuration(reason) => CliError::Usage(reason),
        SourceError::Unavailable(reason) => CliError::Unreachable(format!(
            "Kafka at {brokers} does not answer: {reason}. Is it running, and does KAFKA_URL (or kafka.brokers) name it?"
        )),
    }
}
