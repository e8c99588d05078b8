//! What librdkafka alone consumes: batches of all partitions, counted and thrown away.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;

use crate::pipeline::Place;

const BATCH: usize = 4_096;
const BATCH_WAIT_MS: i32 = 5;
const LIMIT: Duration = Duration::from_secs(30);

/// Consumes the whole topic; records a second from the first record to the last.
pub(crate) fn rate(place: &Place, records: u64) -> Result<f64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &place.brokers)
        .set("group.id", "bench-consume")
        .set("enable.auto.commit", "false")
        // The one setting that makes it faster here than its defaults do.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&place.topic), LIMIT)?;
    let topic = metadata.topics().first().context("no topic")?;
    let mut list = TopicPartitionList::new();
    for partition in topic.partitions() {
        list.add_partition_offset(&place.topic, partition.id(), Offset::Beginning)?;
    }
    let name = CString::new(place.topic.as_str())?;
    let client = consumer.client().native_ptr();
    // SAFETY: the client outlives the queue, which is destroyed below; forwarding stays with the partition.
    let queue = unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        for partition in topic.partitions() {
            let from = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition.id());
            sys::rd_kafka_queue_forward(from, queue);
            sys::rd_kafka_queue_destroy(from);
        }
        queue
    };
    consumer.assign(&list)?;
    let mut batch = vec![std::ptr::null_mut(); BATCH];
    let (mut seen, mut begin) = (0, None);
    let asked = Instant::now();
    while seen < records && asked.elapsed() < LIMIT * 4 {
        consumer.poll(Duration::ZERO);
        // SAFETY: the buffer has room for `BATCH` messages; each is destroyed once.
        unsafe {
            let buffer = batch.as_mut_ptr();
            let taken = sys::rd_kafka_consume_batch_queue(queue, BATCH_WAIT_MS, buffer, BATCH);
            for message in batch.iter().take(usize::try_from(taken).unwrap_or(0)) {
                seen += u64::from((**message).err as i32 == 0);
                sys::rd_kafka_message_destroy(*message);
            }
        }
        if seen > 0 {
            begin.get_or_insert_with(Instant::now);
        }
    }
    let took = begin.context("nothing was consumed")?.elapsed();
    // SAFETY: made above, destroyed once, while the client lives.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    ensure!(seen == records, "{seen} of {records} records were consumed");
    Ok(seen as f64 / took.as_secs_f64())
}
