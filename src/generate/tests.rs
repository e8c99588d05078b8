//! The whole command against a broker in this process: what lies in the topic is what the file expects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::command::generate_until;
use super::reading::read;
use crate::cli::{Cli, CliError, Command};
use crate::config::{Config, Layers};

const PARTITIONS: i32 = 3;
const MINUTE: i64 = 60_000_000;

/// A broker with one empty topic, and a place for the expected file.
struct Stage {
    /// Kept for its life alone.
    _brokers: MockCluster<'static, DefaultProducerContext>,
    config: Config,
    file: PathBuf,
}

impl Stage {
    fn new(name: &str) -> Self {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic("hits", PARTITIONS, 1).unwrap();
        let env = [("KAFKA_URL", brokers.bootstrap_servers()), ("KAFKA_TOPIC", "hits".to_owned())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let config = Layers { env, ..Layers::default() }.load().unwrap().config;
        let file =
            std::env::temp_dir().join(format!("hitstream-{}-{name}.json", std::process::id()));
        Self { _brokers: brokers, config, file }
    }

    /// Runs `hitstream generate` with the options and `--expected`.
    fn generate(&self, options: &str, stop: &Arc<AtomicBool>) -> Result<(), CliError> {
        let expected = format!("--expected={}", self.file.display());
        let words =
            ["hitstream", "generate", &expected].into_iter().chain(options.split_whitespace());
        let Some(Command::Generate(args)) = Cli::try_parse_from(words).unwrap().command else {
            panic!()
        };
        generate_until(&self.config, &args, stop).map(drop)
    }

    fn consumer(&self) -> BaseConsumer {
        let mut client = self.config.kafka.client();
        client.set("group.id", "reader").set("enable.partition.eof", "true").create().unwrap()
    }

    /// Counts what lies in the topic by the rules, from the records alone.
    fn count(&self) -> Value {
        let consumer = self.consumer();
        let (mut records, mut rejected, mut rows) = (0, 0, BTreeMap::<_, (u64, u64)>::new());
        for partition in 0..PARTITIONS {
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset("hits", partition, Offset::Beginning).unwrap();
            consumer.assign(&assignment).unwrap();
            let mut newest = i64::MIN / 2;
            // The error is the end of the partition.
            while let Ok(record) = next(&consumer) {
                records += 1;
                let kafka = record.timestamp().to_millis().unwrap() * 1_000;
                let Some((time, host, referrer)) =
                    read(record.payload()).filter(|(time, ..)| *time <= kafka + 5 * MINUTE)
                else {
                    rejected += 1;
                    continue;
                };
                let start = time - time.rem_euclid(5 * MINUTE);
                let row = rows.entry((start, host, referrer)).or_default();
                if start + 5 * MINUTE <= newest - MINUTE {
                    row.1 += 1;
                } else {
                    row.0 += 1;
                }
                newest = newest.max(time);
            }
        }
        let windows: Vec<Value> = rows
            .into_iter()
            .map(|((start, host, referrer), (on_time, late))| {
                let start = super::timestamp::rfc3339(start);
                json!({"window_start": start, "host": host, "referrer": referrer, "on_time": on_time, "late": late})
            })
            .collect();
        json!({"records": records, "rejected": rejected, "windows": windows})
    }

    fn expected(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.file).unwrap()).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

/// The next record, or the end of the partition as an error.
fn next(consumer: &BaseConsumer) -> KafkaResult<BorrowedMessage<'_>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(answer) => return answer,
            None => assert!(Instant::now() < deadline, "nothing comes from the broker"),
        }
    }
}

fn sum(file: &Value, field: &str) -> u64 {
    file["windows"].as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
}

#[test]
fn file_expects_what_lies_in_the_topic() {
    let stage = Stage::new("batch");
    stage.generate("--count 20000 --key host --late 5% --malformed 3%", &Arc::default()).unwrap();
    let expected = stage.expected();
    assert_eq!(expected, stage.count());
    assert_eq!(expected["records"], 20_000);
    assert!(sum(&expected, "late") > 300, "{}", sum(&expected, "late"));
    assert!(expected["rejected"].as_u64().unwrap() > 400);
}

#[test]
fn events_ahead_of_their_kafka_timestamp_are_expected_to_be_rejected() {
    let stage = Stage::new("skew");
    // From four minutes ahead to six: the edge of what is accepted lies within.
    let ahead = std::time::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(240);
    let start = super::timestamp::rfc3339(i64::try_from(ahead.as_micros()).unwrap());
    stage.generate(&format!("--count 12000 --start {start}"), &Arc::default()).unwrap();
    let expected = stage.expected();
    assert_eq!(expected, stage.count());
    let rejected = expected["rejected"].as_u64().unwrap();
    assert!((1_000..11_000).contains(&rejected), "{rejected}");
}

#[test]
fn live_traffic_that_is_stopped_leaves_a_true_file() {
    let stage = Stage::new("live");
    let stop = Arc::new(AtomicBool::new(false));
    let consumer = stage.consumer();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(30);
            let end = || {
                consumer
                    .fetch_watermarks("hits", 0, Duration::from_secs(5))
                    .map_or(0, |(_, end)| end)
            };
            while end() < 100 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            stop.store(true, Ordering::Relaxed);
        });
        stage.generate("--rate 3000 --key ip --malformed 1%", &stop).unwrap();
    });
    let expected = stage.expected();
    assert_eq!(expected, stage.count());
    assert!(expected["records"].as_u64().unwrap() >= 100);
}

#[test]
fn topic_that_has_held_records_cannot_be_expected_of() {
    let stage = Stage::new("used");
    stage.generate("--count 10", &Arc::default()).unwrap();
    let written = stage.expected();
    let error = stage.generate("--count 10", &Arc::default()).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().contains("has held records before"), "{error}");
    assert_eq!(stage.expected(), written, "the file before stays as it was");
    assert!(!Path::new(&format!("{}.partial", stage.file.display())).exists());
}
