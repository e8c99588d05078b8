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
        SourceError::Unavailable(reason) => CliError::Unreachable(out_of_reach(brokers, &reason)),
    }
}

/// What every command says of brokers that cannot be worked with; `reason` is in librdkafka's words.
pub(crate) fn out_of_reach(brokers: &str, reason: &str) -> String {
    let (what, advice) = meaning(reason);
    format!("Kafka at {brokers} {what}: {}. {advice}", without_misleading_end(reason))
}

/// What somebody does who is asked, and what to do about it: librdkafka's words tell silence from an answer.
fn meaning(reason: &str) -> (&'static str, &'static str) {
    let says = |words: &str| reason.contains(words);
    if says("Invalid response size") {
        (
            "does not answer as Kafka does",
            "It is no Kafka broker, or it expects TLS, which this version cannot do: KAFKA_URL (or kafka.brokers) has to name a \
             broker's plaintext or sasl_plaintext listener",
        )
    } else if says("SASL") && says("handshake failed") {
        (
            "does not take SASL with PLAIN",
            "Leave security.protocol out of [kafka.properties] where the listener asks for no credentials, or point KAFKA_URL (or \
             kafka.brokers) to one that takes PLAIN",
        )
    } else if says("uthentication") {
        ("refuses the credentials", "Check sasl.username and sasl.password in [kafka.properties]")
    } else if says("security.protocol") {
        (
            "hangs up",
            "It may expect SASL (security.protocol in [kafka.properties]), or TLS, which this version cannot do",
        )
    } else {
        ("does not answer", "Is it running, and does KAFKA_URL (or kafka.brokers) name it?")
    }
}

/// Leaves out librdkafka's advice where it is beside the point, and a list that is empty.
fn without_misleading_end(reason: &str) -> &str {
    let reason = reason.split(": increase receive.message.max.bytes").next().unwrap_or(reason);
    reason.trim_end().trim_end_matches(": broker's supported mechanisms:")
}
