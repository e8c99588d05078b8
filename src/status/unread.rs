//! What Kafka has that the tables do not have yet: how much, and since when it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hitstream_actors::group_member::kafka::unusable_settings;
use hitstream_actors::source::TopicDescription;
use hitstream_domain::time::EventTime;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::tables::{Facts, Progress};
use crate::cli::CliError;
use crate::config::{Config, set_default};

/// How long the first unread records may take to come; without them it is only not told since when they wait.
const LIMIT: Duration = Duration::from_secs(5);

/// What is unread of each partition.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) partitions: BTreeMap<i32, UnreadPartition>,
    /// What is odd about the topic.
    pub(super) notes: Vec<String>,
}

/// What is unread of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnreadPartition {
    /// The offset after the last record.
    pub(super) end: i64,
    /// From the first offset that is not in the tables, or else the first that Kafka has, to the end.
    pub(super) lag: i64,
    /// The Kafka timestamp of the first unread record; `None` where there is none, or it has none.
    pub(super) oldest: Option<EventTime>,
}

impl Unread {
    /// Compares the topic with the tables, and looks at the first unread record of each partition.
    ///
    /// # Errors
    /// Where the client refuses its configuration.
    pub(super) fn read(
        config: &Config,
        facts: &Facts,
        topic: &TopicDescription,
    ) -> Result<Self, CliError> {
        let mut unread = Self::default();
        let is_other = |progress: &Progress| !topic.may_have_id(&progress.topic_id);
        if facts.partitions.iter().any(is_other) {
            unread.notes.push(
                "the topic in Kafka is another one, created since: its lag cannot be told"
                    .to_owned(),
            );
            return Ok(unread);
        }
        let mut first = TopicPartitionList::new();
        for range in &topic.partitions {
            let number = range.partition.0;
            let known = facts.partitions.iter().find(|known| known.partition == range.partition);
            let next = known.map_or(range.low, |known| known.next);
            if known.is_none() {
                unread.notes.push(format!("partition {number} is not in the tables yet"));
            }
            if next < range.low {
                let gone = format!("{next} to {}", range.low.0 - 1);
                unread
                    .notes
                    .push(format!("partition {number}: Kafka deleted offsets {gone} unread"));
            }
            let from = next.max(range.low);
            let lag = (range.high.0 - from.0).max(0);
            if lag > 0 {
                let from = Offset::Offset(from.0);
                first
                    .add_partition_offset(&config.kafka.topic, number, from)
                    .map_err(anyhow::Error::new)?;
            }
            let partition = UnreadPartition { end: range.high.0, lag, oldest: None };
            unread.partitions.insert(number, partition);
        }
        if first.count() > 0 {
            unread.look(config, &first)?;
        }
        Ok(unread)
    }

    /// Reads one record of each of these partitions, in no group's name.
    fn look(&mut self, config: &Config, first: &TopicPartitionList) -> Result<(), CliError> {
        let mut client = config.kafka.client();
        client.set("group.id", &config.kafka.group).set("enable.auto.commit", "false");
        client.set("enable.partition.eof", "true").set("auto.offset.reset", "error");
        set_default(&mut client, "fetch.message.max.bytes", "65536");
        set_default(&mut client, "queued.min.messages", "1");
        let consumer: BaseConsumer =
            client.create().map_err(|error| CliError::Usage(unusable_settings(&error)))?;
        consumer.assign(first).map_err(anyhow::Error::new)?;
        let mut wanted: BTreeSet<i32> = first.elements().iter().map(|e| e.partition()).collect();
        let begin = Instant::now();
        while !wanted.is_empty() && begin.elapsed() < LIMIT {
            let message = match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => message,
                // What is left of it are markers of transactions.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    wanted.remove(&partition);
                    continue;
                }
                // Whoever is away stays unknown.
                Some(Err(_)) | None => continue,
            };
            if !wanted.remove(&message.partition()) {
                continue;
            }
            if let Some(partition) = self.partitions.get_mut(&message.partition()) {
                partition.oldest = message.timestamp().to_millis().map(EventTime::from_millis);
            }
        }
        Ok(())
    }
}
