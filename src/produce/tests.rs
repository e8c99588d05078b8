use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::config::Layers;

fn settings(brokers: &str) -> KafkaConfig {
    settings_with(brokers, &[])
}

fn settings_with(brokers: &str, more: &[(&str, &str)]) -> KafkaConfig {
    let env = [("KAFKA_URL", brokers), ("KAFKA_TOPIC", "t")];
    let env = env.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Layers { env: env.collect(), ..Layers::default() }.load().unwrap().config.kafka
}

/// Reads the values of one partition until `count` have come.
fn read(brokers: &str, partition: i32, count: usize) -> Vec<Vec<u8>> {
    let mut client = settings(brokers).client();
    let consumer: BaseConsumer = client.set("group.id", "reader").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("t", partition, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut values = Vec::new();
    while values.len() < count && Instant::now() < deadline {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            values.push(message.payload().unwrap_or_default().to_vec());
        }
    }
    values
}

#[test]
fn records_arrive_in_the_order_they_were_sent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let mut producer = Producer::connect(&settings(&brokers)).unwrap();
    assert_eq!(producer.partition_count().unwrap(), 2);
    let expected: Vec<Vec<u8>> = (0..5_000).map(|i| format!("{i}").into_bytes()).collect();
    for value in &expected {
        producer.send(Some(1), None, Some(value)).unwrap();
    }
    let sent = producer.flush(Duration::from_secs(20)).unwrap();
    assert_eq!(sent, Sent { delivered: 5_000, refused: 0 });
    assert_eq!(read(&brokers, 1, 5_000), expected);
}

#[test]
fn record_beyond_the_limit_concerns_itself_alone() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut producer = Producer::connect(&settings(&cluster.bootstrap_servers())).unwrap();
    let large = vec![b'x'; MAX_RECORD_BYTES + 1];
    assert!(matches!(producer.send(None, None, Some(&large)), Err(ProduceError::TooLarge { .. })));
    producer.send(None, None, Some(b"small")).unwrap();
    producer.send(None, None, None).unwrap();
    assert_eq!(producer.flush(Duration::from_secs(20)).unwrap().delivered, 2);
}

#[test]
fn topic_without_a_leader_is_waited_for_and_is_not_absent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let producer = Producer::connect(&settings(&cluster.bootstrap_servers())).unwrap();
    cluster.partition_leader("t", 1, None).unwrap();
    let (begin, limit) = (Instant::now(), Duration::from_millis(300));
    let error = producer.partition_count_within(limit).unwrap_err();
    assert!(matches!(&error, ProduceError::Unreachable { .. }), "{error}");
    assert!(begin.elapsed() > limit);
    cluster.partition_leader("t", 1, Some(1)).unwrap();
    assert_eq!(producer.partition_count().unwrap(), 2);
}

#[test]
fn absent_topic_is_named_and_other_partitions_refused() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("other", 3, 1).unwrap();
    let producer = Producer::connect(&settings(&cluster.bootstrap_servers())).unwrap();
    let error = producer.partition_count().unwrap_err();
    assert!(matches!(&error, ProduceError::NoTopic { topic } if topic == "t"), "{error}");
    assert_eq!(producer.ensure_topic("other", Some(3)).unwrap(), 3);
    let error = producer.ensure_topic("other", Some(4)).unwrap_err();
    assert!(
        matches!(error, ProduceError::OtherPartitions { existing: 3, wanted: 4, .. }),
        "{error}"
    );
}

#[test]
fn brokers_out_of_reach_are_named_with_the_reason() {
    // Bound and dropped: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = format!("127.0.0.1:{port}");
    let error = Producer::connect_within(&settings(&brokers), Duration::from_millis(1500), None)
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(matches!(error, ProduceError::Unreachable { .. }), "{text}");
    assert!(text.contains(&brokers) && text.contains("refused"), "{text}");
}

#[test]
fn brokers_lost_on_the_way_end_the_work_with_what_arrived() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    // Long enough for the first record on a busy machine; the second waits it out.
    let short = [("HITSTREAM_KAFKA__PROPERTIES__MESSAGE_TIMEOUT_MS", "5000")];
    let mut producer =
        Producer::connect(&settings_with(&cluster.bootstrap_servers(), &short)).unwrap();
    producer.send(None, None, Some(b"before")).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
    cluster.broker_down(1).unwrap();
    producer.send(None, None, Some(b"after")).unwrap();
    let error = producer.flush(Duration::from_secs(20)).unwrap_err();
    assert!(matches!(&error, ProduceError::Undelivered { delivered: 1, .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// Sends one record and lets the broker refuse its batch as too large.
fn refused_batch(bytes: usize) -> Result<Sent, ProduceError> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut producer = Producer::connect(&settings(&cluster.bootstrap_servers())).unwrap();
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    producer.send(None, None, Some(&vec![b'x'; bytes])).unwrap();
    producer.flush(Duration::from_secs(20))
}

#[test]
fn refused_batch_is_no_record_of_its_own_unless_that_was_alone_in_it() {
    let error = refused_batch(BATCH_BYTES / 2).unwrap_err();
    assert!(matches!(error, ProduceError::BatchRefused { .. }), "{error}");
    let sent = refused_batch(BATCH_BYTES + 1).unwrap();
    assert_eq!(sent, Sent { delivered: 0, refused: 1 });
}

#[test]
fn partition_whose_leader_does_not_lead_yet_is_asked_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let producer = Producer::connect(&settings(&cluster.bootstrap_servers())).unwrap();
    let not_yet = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[not_yet; 2]);
    assert_eq!(producer.end_offsets().unwrap(), [0]);
}
