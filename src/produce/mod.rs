//! Writes records to the topic, for `import` and `generate`.
//!
//! The producer is idempotent: within a partition records arrive in the order they were sent, each once.
//! A record that is too large for the topic is counted and passed over; anything else that keeps a record
//! from being delivered ends the work, so that no gap goes unnoticed.

mod delivery;
mod error;
mod key;
mod topic;

pub use delivery::Watch;
pub use error::ProduceError;
pub use key::{KeyBy, key_of};

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::config::{KafkaConfig, set_default};
use delivery::Deliveries;

/// Longest wait for brokers to answer at all.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Longest a record may wait for its acknowledgement; then the brokers count as out of reach.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(60);
/// Largest record, in bytes, unless the property `message.max.bytes` says otherwise.
pub const MAX_RECORD_BYTES: usize = 10 << 20;
/// Bytes of a batch, below what a topic takes by default (1,048,588), unless `batch.size` says otherwise.
const BATCH_BYTES: usize = 1_000_000;

/// How often delivery reports are collected while sending, in records.
const POLL_EVERY: u32 = 256;

/// Sends records to one topic.
pub struct Producer {
    inner: BaseProducer<Deliveries>,
    settings: KafkaConfig,
    max_record_bytes: usize,
    batch_bytes: usize,
    sent_since_poll: u32,
}

/// What has become of the records sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Acknowledged by all in-sync replicas.
    pub delivered: u64,
    /// Refused by a broker as too large.
    pub refused: u64,
}

impl Producer {
    /// Connects to the brokers and waits until one answers, at most [`CONNECT_LIMIT`].
    ///
    /// # Errors
    /// [`ProduceError::Settings`] where librdkafka refuses a property, [`ProduceError::Unreachable`] where
    /// no broker answers in time.
    pub fn connect(settings: &KafkaConfig) -> Result<Self, ProduceError> {
        Self::connect_within(settings, CONNECT_LIMIT, None)
    }

    /// As [`connect`](Self::connect); `watch` hears of each record's fate, in the order of sending within a partition,
    /// on the thread that sends, and only while that is in one of this producer's methods.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_watched(settings: &KafkaConfig, watch: Watch) -> Result<Self, ProduceError> {
        Self::connect_within(settings, CONNECT_LIMIT, Some(watch))
    }

    fn connect_within(
        settings: &KafkaConfig,
        limit: Duration,
        watch: Option<Watch>,
    ) -> Result<Self, ProduceError> {
        let mut client = settings.client();
        client.set("enable.idempotence", "true");
        set_default(&mut client, "compression.type", "lz4");
        set_default(&mut client, "linger.ms", "10");
        // As Java clients place keyed records; records without a key go to one partition per batch.
        set_default(&mut client, "partitioner", "murmur2_random");
        set_default(&mut client, "queue.buffering.max.kbytes", "65536");
        set_default(&mut client, "message.max.bytes", &MAX_RECORD_BYTES.to_string());
        set_default(&mut client, "message.timeout.ms", &DELIVERY_LIMIT.as_millis().to_string());
        set_default(&mut client, "batch.size", &BATCH_BYTES.to_string());
        // That a broker hangs up is told nowhere else.
        client.set_log_level(RDKafkaLogLevel::Info);
        let number = |property: &str| client.get(property).and_then(|bytes| bytes.parse().ok());
        let max_record_bytes = number("message.max.bytes").unwrap_or(MAX_RECORD_BYTES);
        let batch_bytes = number("batch.size").unwrap_or(BATCH_BYTES);
        let inner: BaseProducer<Deliveries> = client
            .create_with_context(Deliveries::new(watch, batch_bytes))
            .map_err(|error| ProduceError::settings(&error))?;
        let producer = Self {
            inner,
            settings: settings.clone(),
            max_record_bytes,
            batch_bytes,
            sent_since_poll: 0,
        };
        producer.wait_for_brokers(limit)?;
        Ok(producer)
    }

    /// Sends one record. Waits while the queue is full. The copy is made here; the record's timestamp is
    /// the clock's at this moment, as any producer's.
    ///
    /// # Errors
    /// [`ProduceError::TooLarge`] concerns this record alone, sending may go on. Any other ends the work.
    pub fn send(
        &mut self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), ProduceError> {
        self.send_stamped(partition, key, value, None)
    }

    /// Sends one record with a timestamp of the caller's, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_stamped(
        &mut self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_millis: Option<i64>,
    ) -> Result<(), ProduceError> {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if bytes > self.max_record_bytes {
            return Err(ProduceError::TooLarge { bytes, limit: self.max_record_bytes });
        }
        self.sent_since_poll += 1;
        if self.sent_since_poll >= POLL_EVERY {
            self.sent_since_poll = 0;
            self.inner.poll(Duration::ZERO);
            self.check()?;
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.settings.topic);
        record.partition = partition;
        record.key = key;
        record.payload = value;
        record.timestamp = timestamp_millis;
        loop {
            record = match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    return Err(ProduceError::TooLarge { bytes, limit: self.max_record_bytes });
                }
                Err((error, _)) => return Err(self.undelivered(&error)),
            };
            self.inner.poll(Duration::from_millis(50));
            self.check()?;
        }
    }

    /// Waits for `span`, or less where there is news of records; for pauses between records.
    ///
    /// # Errors
    /// [`ProduceError::Undelivered`] where a record is missing from the topic.
    pub fn wait(&self, span: Duration) -> Result<(), ProduceError> {
        self.inner.poll(span);
        self.check()
    }

    /// Waits until every record sent has been answered, at most `limit`.
    ///
    /// # Errors
    /// [`ProduceError::Undelivered`] or [`ProduceError::NotFlushed`] where records are missing from the topic.
    pub fn flush(&mut self, limit: Duration) -> Result<Sent, ProduceError> {
        let begin = Instant::now();
        while self.inner.in_flight_count() > 0 {
            self.check()?;
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(ProduceError::NotFlushed {
                    records: self.inner.in_flight_count().try_into().unwrap_or(0),
                    brokers: self.settings.brokers.clone(),
                    limit,
                });
            }
            // Short slices: a failure is heard of at once, not after the limit.
            drop(self.inner.flush(left.min(Duration::from_millis(100))));
            // With no record on its way a flush serves nothing, but a broker's complaint counts as in flight.
            self.inner.poll(Duration::ZERO);
        }
        self.inner.poll(Duration::ZERO);
        self.check()?;
        Ok(self.sent())
    }

    /// Tells what has become of the records so far.
    pub fn sent(&self) -> Sent {
        self.inner.context().sent()
    }

    /// Gives the largest record that can be sent, key and value together, in bytes.
    pub fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    fn check(&self) -> Result<(), ProduceError> {
        self.inner.context().failure().map_or(Ok(()), |error| Err(self.undelivered(&error)))
    }

    fn undelivered(&self, error: &KafkaError) -> ProduceError {
        if delivery::is_too_large(error) {
            let topic = self.settings.topic.clone();
            return ProduceError::BatchRefused { topic, batch_bytes: self.batch_bytes };
        }
        // Once one record has failed for good, all others fail with a word that says nothing.
        let fatal = self.inner.client().fatal_error();
        let fatal = fatal.map(|(code, reason)| format!("{reason} ({code})"));
        ProduceError::Undelivered {
            topic: self.settings.topic.clone(),
            brokers: self.settings.brokers.clone(),
            delivered: self.sent().delivered,
            reason: fatal.unwrap_or_else(|| self.inner.context().explain(error)),
        }
    }
}

#[cfg(test)]
mod tests;
