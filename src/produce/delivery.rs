//! Collects what librdkafka reports about records and brokers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hitstream_actors::group_member::kafka::Complaint;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::Sent;

/// Hears of a record's fate: its partition, and its offset if it was delivered.
pub type Watch = Box<dyn Fn(i32, Option<i64>) + Send + Sync>;

/// Counts delivery reports, and keeps the first failure and the last complaint about brokers.
#[derive(Default)]
pub(super) struct Deliveries {
    /// Records of so many bytes are never in a batch with others.
    alone_from: usize,
    watch: Option<Watch>,
    delivered: AtomicU64,
    refused: AtomicU64,
    failure: Mutex<Option<KafkaError>>,
    complaint: Complaint,
}

impl Deliveries {
    pub(super) fn new(watch: Option<Watch>, alone_from: usize) -> Self {
        Self { watch, alone_from, ..Self::default() }
    }

    pub(super) fn sent(&self) -> Sent {
        Sent {
            delivered: self.delivered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Gives the first failure that is not one record's own fault.
    pub(super) fn failure(&self) -> Option<KafkaError> {
        lock(&self.failure).clone()
    }

    /// Says why, in the words of the broker connection where there are any.
    pub(super) fn explain(&self, error: &KafkaError) -> String {
        let code = error.rdkafka_error_code();
        match (self.complaint.last(), code) {
            // A time-out alone says little; what the connection said says more.
            (
                Some(complaint),
                Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::OperationTimedOut),
            )
            | (Some(complaint), Some(RDKafkaErrorCode::BrokerTransportFailure)) => complaint,
            (_, Some(code)) => code.to_string(),
            (_, None) => error.to_string(),
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        // "All broker connections are down" comes last and says least.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.complaint.error(reason);
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Whatever else matters also arrives as an error or a delivery report.
        tracing::debug!(facility, message, "librdkafka");
        self.complaint.line(message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Some(watch) = &self.watch {
            match result {
                Ok(record) => watch(record.partition(), Some(record.offset())),
                Err((_, record)) => watch(record.partition(), None),
            }
        }
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            // A batch is refused as a whole: only of a record that was alone in it the size is known to be at fault.
            Err((error, record)) if is_too_large(error) && size(record) >= self.alone_from => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                lock(&self.failure).get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// Tells whether a broker refused a batch for its size.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidMessageSize, MessageBatchTooLarge, MessageSizeTooLarge};
    matches!(
        error.rdkafka_error_code(),
        Some(MessageSizeTooLarge | MessageBatchTooLarge | InvalidMessageSize)
    )
}

fn size(record: &impl Message) -> usize {
    record.payload().map_or(0, <[u8]>::len) + record.key().map_or(0, <[u8]>::len)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
