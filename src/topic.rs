//! The way to the topic that commands share: describing it, and what Kafka's failures mean to a person.

use std::time::Duration;

use hitstream_actors::group_member::kafka::{describe_topic, inspect};
use hitstream_actors::source::{SourceError, TopicDescription};
use tokio::sync::oneshot;

use crate::cli::CliError;
use crate::config::Config;
use crate::wiring;

/// How long the brokers have to describe the topic.
const LIMIT: Duration = Duration::from_secs(15);

/// Asks the brokers about the topic; blocks.
pub(crate) fn describe(config: &Config) -> Result<TopicDescription, CliError> {
    describe_topic(&wiring::kafka(config), LIMIT).map_err(|error| failure(config, error))
}

/// The same beside an async runtime's own work.
pub(crate) async fn describe_aside(config: &Config) -> Result<TopicDescription, CliError> {
    let config = config.clone();
    let described = tokio::task::spawn_blocking(move || describe(&config)).await;
    described.map_err(|error| anyhow::Error::new(error).context("asking Kafka"))?
}

/// Waits for the brokers to refuse this client as it is set up; for ever where they do not, or do not answer.
pub(crate) async fn refused(config: &Config) -> CliError {
    let (tell, told) = oneshot::channel();
    let settings = wiring::kafka(config);
    // Not one of the runtime's threads: the end of the process would wait for it.
    std::thread::spawn(move || {
        let found = match inspect(&settings, LIMIT) {
            Ok(report) => report.topic.err().or(report.group.err()),
            Err(error) => Some(error),
        };
        // Whoever asked may have ended.
        drop(tell.send(found));
    });
    if let Ok(Some(SourceError::Unavailable(reason))) = told.await {
        if trouble(&reason).is_refusal {
            return failure(config, SourceError::Unavailable(reason));
        }
        tracing::warn!("{}; trying again", out_of_reach(&config.kafka.brokers, &reason));
    }
    std::future::pending().await
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

/// What every command says of brokers that cannot be worked with, and what to do about it; `reason` is in librdkafka's words.
pub(crate) fn out_of_reach(brokers: &str, reason: &str) -> String {
    let Trouble { what, advice, .. } = trouble(reason);
    format!("Kafka at {brokers} {what}: {}. {advice}", without_misleading_end(reason))
}

/// What to do where TLS is spoken to a listener that does not.
const TO_SPEAK_TLS: &str = "Point KAFKA_URL (or kafka.brokers) to its ssl or sasl_ssl listener, or set security.protocol in \
     [kafka.properties] to what this one speaks";

/// What somebody does who is asked, and what to do about it.
struct Trouble {
    what: String,
    advice: &'static str,
    /// Whether it is an answer that stays the same as long as the settings do.
    is_refusal: bool,
}

/// Tells silence from an answer by librdkafka's words: it has few codes for it.
fn trouble(reason: &str) -> Trouble {
    let says = |words: &str| reason.contains(words);
    let refuses = |what: &str, advice| Trouble { what: what.to_owned(), advice, is_refusal: true };
    let may_yet = |what, advice| Trouble { is_refusal: false, ..refuses(what, advice) };
    let handshake = says("SSL handshake failed");
    // These two also come without the handshake being named, by turns.
    if says("certificate verify failed") {
        refuses(
            "has a certificate that is not to be trusted",
            "See whether ssl.ca.location in [kafka.properties] has the authority that signed it, whether it is valid for the host \
             as KAFKA_URL (or kafka.brokers) and the broker's advertised.listeners write it, and whether it has expired",
        )
    } else if says("wrong version number") || (handshake && says("PLAINTEXT broker listener")) {
        Trouble {
            is_refusal: says("wrong version number"),
            ..refuses("speaks no TLS there", TO_SPEAK_TLS)
        }
    } else if (says("SSL") && says("alert")) || (handshake && says("client SSL authentication")) {
        refuses(
            "does not take this client's certificate",
            "Set ssl.certificate.location and ssl.key.location in [kafka.properties] to a certificate that an authority in the \
             broker's truststore has signed, and its key",
        )
    } else if says("SSL connection closed by peer") {
        // The same listener, by turns; one with TLS that is about to end does it, too.
        may_yet("speaks no TLS there, or is about to end", TO_SPEAK_TLS)
    } else if says("Invalid response size") {
        refuses(
            "does not answer as Kafka does",
            "It is no Kafka broker, or it expects TLS: set security.protocol in [kafka.properties] to ssl or sasl_ssl, or point \
             KAFKA_URL (or kafka.brokers) to a listener without TLS",
        )
    } else if says("SASL") && says("handshake failed") {
        let mechanism = reason.split("SASL ").nth(1).and_then(|rest| rest.split(' ').next());
        refuses(
            &format!("does not take SASL with {}", mechanism.unwrap_or("this mechanism")),
            "Leave security.protocol out of [kafka.properties] where the listener asks for no credentials, set sasl.mechanism to \
             one that it takes, or point KAFKA_URL (or kafka.brokers) to another",
        )
    } else if says("uthentication") {
        refuses(
            "refuses the credentials",
            "Check sasl.username, sasl.password and sasl.mechanism in [kafka.properties]",
        )
    } else if says("authorization failed") {
        refuses(
            "does not let this user do that",
            "Give its principal the ACLs that docs/SECURE.md lists: Read on the topic and on the group, Write to send records",
        )
    } else if says("security.protocol") || says("Disconnected") {
        may_yet(
            "hangs up",
            "It may expect TLS, or SASL: set security.protocol in [kafka.properties] to what its listener speaks",
        )
    } else {
        may_yet("does not answer", "Is it running, and does KAFKA_URL (or kafka.brokers) name it?")
    }
}

/// Leaves out librdkafka's advice where it is beside the point, and a list that is empty.
fn without_misleading_end(reason: &str) -> &str {
    let ends =
        [": increase receive.message.max.bytes", ": broker certificate could not be verified"];
    let end = ends.iter().filter_map(|end| reason.find(end)).min();
    let reason = end.and_then(|end| reason.get(..end)).unwrap_or(reason);
    let reason = reason.trim_end().trim_end_matches(": broker's supported mechanisms:");
    reason.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_language_are_told_of_however_the_client_writes_of_them() {
        for (words, meant) in [
            (
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be \
                 verified, verify that ssl.ca.location is correctly configured",
                "has a certificate that is not to be trusted",
            ),
            (
                "error:0A000086:SSL routines::certificate verify failed",
                "has a certificate that is not to be trusted",
            ),
            (
                "SSL handshake failed: error:0A00010B:SSL routines::wrong version number: connecting to a PLAINTEXT broker \
                 listener?",
                "speaks no TLS there",
            ),
            ("error:0A00010B:SSL routines::wrong version number", "speaks no TLS there"),
            (
                "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                "speaks no TLS there",
            ),
            (
                "error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42",
                "does not take this client's certificate",
            ),
        ] {
            let told = out_of_reach("k:9093", words);
            assert!(told.starts_with(&format!("Kafka at k:9093 {meant}: ")), "{told}");
        }
    }
}
