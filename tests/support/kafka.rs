//! Kafka as the tests use it, apart from the binary: a plain reader and a plain producer.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::process::wait_until;

const LIMIT: Duration = Duration::from_secs(30);

/// One record as it lies in the topic.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_millis: Option<i64>,
    pub(crate) value: Option<Vec<u8>>,
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Reads the whole topic, each partition in order.
pub(crate) fn read(brokers: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = client(brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = watermarks(&consumer, topic, partition.id());
        left += high - low;
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    if left == 0 {
        return Vec::new(); // a consumer that is closed before its first fetch takes a minute
    }
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut records = Vec::new();
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records of {topic} do not come");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        records.push(Record {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_millis: message.timestamp().to_millis(),
            value: message.payload().map(<[u8]>::to_vec),
        });
        left -= 1;
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The sum of all partitions' ends.
pub(crate) fn end(brokers: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let ends = metadata.topics()[0].partitions().iter();
    ends.map(|partition| watermarks(&consumer, topic, partition.id()).1).sum()
}

/// A partition's first offset and its end; a broker under load may not lead yet what it was just given.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let mut found = None;
    wait_until("a broker leads the partition", || {
        let asked = consumer.fetch_watermarks(topic, partition, LIMIT);
        found = asked.inspect_err(|error| eprintln!("{topic}/{partition}: {error}")).ok();
        found.is_some()
    });
    found.unwrap()
}

/// Creates a topic that takes records of up to 10 MB.
pub(crate) fn create(brokers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
        .set("max.message.bytes", "10485760");
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let answers = futures::executor::block_on(admin.create_topics([&topic], &options)).unwrap();
    answers[0].as_ref().unwrap();
}

/// Adds partitions to a topic.
pub(crate) fn add_partitions(brokers: &str, topic: &str, total: usize) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let more = NewPartitions::new(topic, total);
    let adding = admin.create_partitions([&more], &options);
    futures::executor::block_on(adding).unwrap()[0].as_ref().unwrap();
}

/// Deletes a topic, if it is there.
pub(crate) fn delete(brokers: &str, topic: &str) {
    let Ok(admin) = client(brokers).create::<AdminClient<DefaultClientContext>>() else { return };
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let deleting = admin.delete_topics(&[topic], &options);
    drop(futures::executor::block_on(deleting));
}

/// Sends values to one partition, in order, each with a Kafka timestamp if one is given.
pub(crate) fn send(
    brokers: &str,
    topic: &str,
    partition: i32,
    records: &[(Option<&[u8]>, Option<i64>)],
) {
    let producer: BaseProducer = client(brokers)
        .set("enable.idempotence", "true")
        .set("message.max.bytes", "10485760")
        .create()
        .unwrap();
    enqueue(&producer, topic, partition, records);
    producer.flush(LIMIT).unwrap();
}

/// The same in one transaction, which leaves a marker behind the records.
pub(crate) fn send_in_transaction(
    brokers: &str,
    topic: &str,
    partition: i32,
    records: &[(Option<&[u8]>, Option<i64>)],
) {
    let producer: BaseProducer =
        client(brokers).set("transactional.id", format!("{topic}-tx")).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    enqueue(&producer, topic, partition, records);
    producer.commit_transaction(LIMIT).unwrap();
}

fn enqueue(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    records: &[(Option<&[u8]>, Option<i64>)],
) {
    for (value, timestamp) in records {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
        record.payload = *value;
        record.timestamp = *timestamp;
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
}

/// Whether there is such a topic.
pub(crate) fn exists(brokers: &str, topic: &str) -> bool {
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// The end offset of a topic's first partition.
pub(crate) fn end_offset(brokers: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    watermarks(&consumer, topic, 0).1
}

/// Deletes the records of a partition that lie before an offset.
pub(crate) fn delete_records(brokers: &str, topic: &str, partition: i32, before: i64) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let deleting = admin.delete_records(&offsets, &options);
    let answers = futures::executor::block_on(deleting).unwrap();
    answers.elements()[0].error().unwrap();
}
