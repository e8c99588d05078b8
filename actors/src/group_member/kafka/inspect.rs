//! What a person wants to know of Kafka before anything runs: who answers, and what topic and group are like.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::group::{self, GroupReport};
use super::membership::{self, Consumer};
use super::topic::describe;
use crate::clock;
use crate::settings::KafkaSettings;
use crate::source::{SourceError, TopicDescription};

/// How long one question for the brokers may take before the client's own words are heard.
const ASK: Duration = Duration::from_secs(1);

/// How long brokers that refuse the connection are asked again: one may only be starting.
const REFUSED: Duration = Duration::from_secs(3);

/// What the brokers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaReport {
    /// How many brokers the cluster has.
    pub brokers: usize,
    /// The topic.
    pub topic: Result<TopicDescription, SourceError>,
    /// The consumer group.
    pub group: Result<GroupReport, SourceError>,
}

/// Asks who is there, then about topic and group, for `limit` in all; joins nothing, creates nothing; blocks.
///
/// # Errors
/// `Configuration` where the client refuses a property, `Unavailable` where no broker answers.
pub fn inspect(settings: &KafkaSettings, limit: Duration) -> Result<KafkaReport, SourceError> {
    let consumer = membership::asker(settings)?;
    let deadline = clock::monotonic() + limit;
    let left = || clock::until(deadline);
    let brokers = brokers(&consumer, &settings.topic, limit)?;
    let topic = describe(&consumer, &settings.topic, left());
    let group = group::describe(&consumer, &settings.group, settings.is_known(), left());
    Ok(KafkaReport { brokers, topic, group })
}

/// Waits for the first answer of a broker; the client's own words explain why there is none.
fn brokers(consumer: &Consumer, topic: &str, limit: Duration) -> Result<usize, SourceError> {
    let begin = clock::monotonic();
    let mut all_are_down = false;
    loop {
        let error = match consumer.fetch_metadata(Some(topic), ASK) {
            Ok(metadata) => return Ok(metadata.brokers().len()),
            Err(error) => error,
        };
        // Serves callbacks; there is nothing to be read.
        drop(consumer.poll(Duration::ZERO));
        all_are_down |= consumer.context().next().is_some();
        let waited = clock::monotonic().saturating_sub(begin);
        if waited >= limit || (all_are_down && waited >= REFUSED) {
            let trouble = consumer.context().trouble();
            return Err(trouble.map_or_else(|| unavailable(&error), SourceError::Unavailable));
        }
    }
}

fn unavailable(error: &KafkaError) -> SourceError {
    SourceError::Unavailable(error.to_string())
}
