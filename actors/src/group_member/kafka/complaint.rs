//! What a client of the brokers complains of: why there is none, and what it said last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::error::KafkaError;

/// How librdkafka says that the other side hung up.
const HANGS_UP: &str = "Disconnected";
/// How it says that one spoke another language.
const HANDSHAKE: &str = "handshake failed";

/// The last complaint that says anything; for clients of the group and for producers.
#[derive(Debug, Default)]
pub struct Complaint(Mutex<Option<String>>);

impl Complaint {
    /// The words; `None` where there was no trouble yet.
    pub fn last(&self) -> Option<String> {
        self.words().clone()
    }

    /// The client has called back with an error.
    pub fn error(&self, reason: &str) {
        // "… failed: Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)"
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        let mut words = self.words();
        // Where TLS meets a listener without it, the handshake fails or the connection just ends, by turns.
        let is_less_telling = reason.contains(HANGS_UP) && !reason.contains(HANDSHAKE);
        if !(is_less_telling && words.as_deref().is_some_and(|known| known.contains(HANDSHAKE))) {
            *words = Some(reason.to_owned());
        }
    }

    /// The client has written a line of its log. That the other side hangs up may be no error to it, and stand only there.
    pub fn line(&self, message: &str) {
        if message.contains(HANGS_UP) && self.last().is_none() {
            self.error(message.rsplit("]: ").next().unwrap_or(message));
        }
    }

    fn words(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why librdkafka makes no client of its settings, and what to look at; it names the property, never a value.
pub fn unusable_settings(error: &KafkaError) -> String {
    let reason = match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("property {key}"),
        KafkaError::ClientCreation(reason) => reason.clone(),
        other => other.to_string(),
    };
    for (property, is_what) in [
        (
            "ssl.key.location",
            "no private key in PEM, or encrypted: set ssl.key.password to its password then",
        ),
        ("ssl.certificate.location", "no certificate in PEM"),
        ("ssl.ca.location", "no certificates in PEM"),
    ] {
        if reason.contains(&format!("{property} failed")) {
            return format!("the file of {property} in [kafka.properties] is {is_what} ({reason})");
        }
    }
    format!("the Kafka client refuses its settings: {reason}; look at [kafka.properties]")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "h:1/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused";

    #[test]
    fn last_trouble_is_told_without_how_often_it_came() {
        let complaint = Complaint::default();
        assert_eq!(complaint.last(), None);
        complaint.line("[thrd:main]: h:1/1: Connected (#2)");
        assert_eq!(complaint.last(), None);
        complaint.line("[thrd:h:1/1]: h:1/1: Disconnected (after 3ms in state APIVERSION_QUERY)");
        assert_eq!(complaint.last().as_deref(), Some("h:1/1: Disconnected"));
        complaint.error(&format!("{REFUSED} (after 0ms in state CONNECT)"));
        complaint.line("[thrd:h:1/1]: h:1/1: Disconnected");
        assert_eq!(complaint.last().as_deref(), Some(REFUSED));
    }

    #[test]
    fn handshake_that_failed_says_more_than_a_connection_that_ended() {
        let complaint = Complaint::default();
        let fails = "ssl://h:1: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?";
        complaint.error("ssl://h:1: Disconnected: SSL connection closed by peer");
        complaint.error(fails);
        complaint.error("ssl://h:1: Disconnected: SSL connection closed by peer");
        assert_eq!(complaint.last().as_deref(), Some(fails));
        complaint.error(REFUSED);
        assert_eq!(complaint.last().as_deref(), Some(REFUSED));
    }
}
