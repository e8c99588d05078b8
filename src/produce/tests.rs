use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::config::Layers;

fn settings(brokers: &str) -> KafkaConfig {
    let env = vec![
        ("KAFKA_URL".to_owned(), brokers.to_owned()),
        ("KAFKA_TOPIC".to_owned(), "t".to_owned()),
    ];
    Layers { env, ..Layers::default() }.load().unwrap().config.kafka
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
