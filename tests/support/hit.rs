//! Hits as the tests send them.

use serde_json::{Map, Value};

/// 2024-05-17T12:00:00Z, a window's start, in seconds since 1970.
pub(crate) const NOON: i64 = 1_715_947_200;

/// A record about to be sent: its value, and its Kafka timestamp in milliseconds.
pub(crate) type Sendable = (Option<Vec<u8>>, Option<i64>);

/// A hit some seconds after [`NOON`], with what else its record has.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    second: i64,
    fields: Map<String, Value>,
}

impl Hit {
    pub(crate) fn at(second: i64) -> Self {
        Self { second, fields: Map::new() }
    }

    pub(crate) fn host(self, host: &str) -> Self {
        self.with("host", host)
    }

    pub(crate) fn referrer(self, referrer: &str) -> Self {
        self.with("referrer", referrer)
    }

    pub(crate) fn url(self, url: &str) -> Self {
        self.with("url", url)
    }

    /// The same hit some seconds later.
    pub(crate) fn later(self, seconds: i64) -> Self {
        Self { second: self.second + seconds, ..self }
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// The record's value.
    pub(crate) fn json(&self) -> Vec<u8> {
        let mut fields = self.fields.clone();
        fields.insert("event_time".to_owned(), time(self.second).into());
        serde_json::to_vec(&fields).unwrap()
    }

    /// The record, with the event's time as its timestamp.
    pub(crate) fn record(&self) -> Sendable {
        (Some(self.json()), Some(millis(self.second)))
    }
}

/// Some seconds after [`NOON`] in RFC 3339.
pub(crate) fn time(second: i64) -> String {
    jiff::Timestamp::from_second(NOON + second).unwrap().to_string()
}

/// Some seconds after [`NOON`] as a Kafka timestamp.
pub(crate) fn millis(second: i64) -> i64 {
    (NOON + second) * 1_000
}

/// Text of that many bytes that does not compress.
pub(crate) fn noise(bytes: usize, seed: u64) -> String {
    let mut random = super::random::Random::new(seed);
    (0..bytes).map(|_| char::from(b'a' + u8::try_from(random.below(0..26)).unwrap())).collect()
}
