//! The one place with `unsafe`: batches of messages straight from librdkafka's queues.
//!
//! The safe crate hands out one message a call, at a third of the rate, and its queue API cannot be combined with taking
//! batches: rebalances arrive as events on the consumer's own queue, which must therefore never be read in batches. So
//! each assigned partition's queue is forwarded to a queue of our own, and batches are taken from that.
//!
//! What makes it sound: a message belongs to whoever took it until `rd_kafka_message_destroy`; its payload is immutable
//! and may be read and destroyed from any thread; queues and messages must be gone before the client is, so each holder
//! keeps the client alive through an `Arc`.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use hitstream_domain::progress::{Offset, OffsetRange, PartitionId};
use hitstream_domain::time::EventTime;
use rdkafka::consumer::Consumer as _;
use rdkafka_sys as sys;

use super::membership::Consumer;
use crate::source::{Record, Records};

/// A queue of our own to which partitions' queues are forwarded.
pub(super) struct DataQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    buffer: Vec<*mut sys::rd_kafka_message_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread; the buffer is empty between calls.
unsafe impl Send for DataQueue {}

impl DataQueue {
    /// A queue that hands out at most `batch` messages at a time.
    pub(super) fn new(consumer: &Arc<Consumer>, batch: usize) -> Self {
        // SAFETY: the client pointer is valid as long as `consumer` is held, which this value does.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        #[expect(clippy::expect_used, reason = "librdkafka allocates it and aborts if it cannot")]
        let queue = NonNull::new(queue).expect("rd_kafka_queue_new returns a queue");
        Self { queue, buffer: vec![std::ptr::null_mut(); batch], consumer: Arc::clone(consumer) }
    }

    /// Sends what is fetched of a partition here.
    pub(super) fn forward(&self, topic: &str, partition: PartitionId) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: client and queues are valid; the partition's queue reference is given back at once, the forwarding
        // stays with the partition.
        unsafe {
            let client = self.consumer.client().native_ptr();
            let from = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition.0);
            if !from.is_null() {
                sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
                sys::rd_kafka_queue_destroy(from);
            }
        }
    }

    /// Where a partition ends, as the brokers told it with what was fetched last; nobody is asked.
    pub(super) fn end_of(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is valid as long as `consumer` is held; both offsets are written before it returns.
        let result = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition.0,
                &raw mut low,
                &raw mut high,
            )
        };
        (result == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0)
            .then_some(Offset(high))
    }

    /// Takes what is there, at most `most` messages, waiting at most `timeout` for that many or a full batch.
    pub(super) fn take(&mut self, most: usize, timeout: Duration) -> Vec<KafkaMessage> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has room for at least as many pointers as is said; the first `taken` are ours afterwards.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                timeout_ms,
                self.buffer.as_mut_ptr(),
                self.buffer.len().min(most),
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        self.buffer
            .iter()
            .take(taken)
            .filter_map(|&raw| NonNull::new(raw).map(KafkaMessage))
            .collect()
    }
}

impl Drop for DataQueue {
    fn drop(&mut self) {
        // SAFETY: made by rd_kafka_queue_new, destroyed once, while the client is still held.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A message in librdkafka's memory.
pub(super) struct KafkaMessage(NonNull<sys::rd_kafka_message_t>);

// SAFETY: nothing changes a message after it was handed out, and it may be destroyed from any thread.
unsafe impl Send for KafkaMessage {}

/// What an entry of the queue is.
pub(super) enum Entry {
    /// A record.
    Record,
    /// The broker has no more for now; everything before this offset was delivered.
    End(Offset),
    /// Something is wrong with the partition.
    Error(sys::rd_kafka_resp_err_t),
}

impl KafkaMessage {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid from the moment it was taken until `drop`.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn partition(&self) -> PartitionId {
        PartitionId(self.raw().partition)
    }

    pub(super) fn offset(&self) -> Offset {
        Offset(self.raw().offset)
    }

    pub(super) fn entry(&self) -> Entry {
        match self.raw().err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Entry::Record,
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Entry::End(Offset(self.raw().offset))
            }
            error => Entry::Error(error),
        }
    }

    fn record(&self) -> Record<'_> {
        let raw = self.raw();
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        let value = NonNull::new(raw.payload.cast::<u8>()).map(|payload| {
            // SAFETY: librdkafka says that `len` bytes are there; they live as long as the message.
            unsafe { std::slice::from_raw_parts(payload.as_ptr(), raw.len) }
        });
        Record {
            offset: self.offset(),
            timestamp: (millis >= 0).then(|| EventTime::from_millis(millis)),
            value,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.raw().len + size_of::<sys::rd_kafka_message_t>()
    }
}

impl Drop for KafkaMessage {
    fn drop(&mut self) {
        // SAFETY: taken once, destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Records of one partition. The client outlives them: it is dropped last.
pub(super) struct KafkaRecords {
    pub(super) messages: Vec<KafkaMessage>,
    pub(super) _consumer: Arc<Consumer>,
}

impl Records for KafkaRecords {
    fn for_each(&self, visit: &mut dyn FnMut(Record<'_>)) {
        for message in &self.messages {
            visit(message.record());
        }
    }

    fn range(&self) -> Option<OffsetRange> {
        let (first, last) = (self.messages.first()?, self.messages.last()?);
        let (from, to) = (first.offset(), last.offset().next());
        Some(OffsetRange { partition: first.partition(), from, to })
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(KafkaMessage::bytes).sum()
    }
}
