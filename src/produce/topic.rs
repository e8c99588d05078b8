//! Looks for the topic and creates it on request.

use std::time::{Duration, Instant};

use hitstream_actors::group_member::kafka::partition_range;
use hitstream_domain::progress::PartitionId;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::{CONNECT_LIMIT, ProduceError, Producer};

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How the brokers know a topic.
enum Known {
    /// It does not exist.
    Absent,
    /// It exists, and some partition has no leader: it was created a moment ago, or a broker comes back.
    WithoutLeader,
    /// It can be used, with so many partitions.
    Led(u32),
}

impl Producer {
    /// Makes sure that the topic `name` exists, with `partitions` partitions where a number is given
    /// (else the broker's default). A topic created here takes records as large as this producer sends.
    ///
    /// # Errors
    /// [`ProduceError::OtherPartitions`] where it exists with another number of partitions,
    /// [`ProduceError::NotCreated`] where the brokers refuse.
    pub fn ensure_topic(&self, name: &str, partitions: Option<u32>) -> Result<u32, ProduceError> {
        if let Known::Led(existing) = self.lookup_topic(name)? {
            return match partitions {
                Some(wanted) if wanted != existing => {
                    Err(ProduceError::OtherPartitions { topic: name.to_owned(), existing, wanted })
                }
                _ => Ok(existing),
            };
        }
        self.create_topic(name, partitions)?;
        // Brokers answer before all of them know the new topic.
        match self.lookup_until(name, CONNECT_LIMIT, |known| matches!(known, Known::Led(_)))? {
            Known::Led(count) => Ok(count),
            _ => Err(not_created(name, "it does not appear in the brokers' metadata")),
        }
    }

    /// Gives the number of the topic's partitions, as soon as each has a leader.
    ///
    /// # Errors
    /// [`ProduceError::NoTopic`] where there is none; it is never created on the way. [`ProduceError::Unreachable`] where
    /// partitions are without a leader for too long.
    pub fn partition_count(&self) -> Result<u32, ProduceError> {
        self.partition_count_within(CONNECT_LIMIT)
    }

    pub(super) fn partition_count_within(&self, limit: Duration) -> Result<u32, ProduceError> {
        let topic = &self.settings.topic;
        let is_plain = |known: &Known| !matches!(known, Known::WithoutLeader);
        match self.lookup_until(topic, limit, is_plain)? {
            Known::Led(count) => Ok(count),
            Known::Absent => Err(ProduceError::NoTopic { topic: topic.clone() }),
            Known::WithoutLeader => Err(ProduceError::Unreachable {
                brokers: self.settings.brokers.clone(),
                reason: format!("topic {topic} has partitions without a leader"),
            }),
        }
    }

    /// Gives the end offset of each of the topic's partitions, which is 0 where there never was a record.
    ///
    /// # Errors
    /// As [`partition_count`](Self::partition_count), and [`ProduceError::Unreachable`].
    pub fn end_offsets(&self) -> Result<Vec<i64>, ProduceError> {
        let partitions = i32::try_from(self.partition_count()?).unwrap_or(i32::MAX);
        (0..partitions)
            .map(|partition| {
                let (client, topic) = (self.inner.client(), &self.settings.topic);
                let range = partition_range(client, topic, PartitionId(partition), CONNECT_LIMIT);
                range.map(|range| range.high.0).map_err(|error| self.unreachable(&error))
            })
            .collect()
    }

    /// Asks until the answer will do, or past the limit.
    fn lookup_until(
        &self,
        name: &str,
        limit: Duration,
        will_do: impl Fn(&Known) -> bool,
    ) -> Result<Known, ProduceError> {
        let begin = Instant::now();
        loop {
            let known = self.lookup_topic(name)?;
            if will_do(&known) || begin.elapsed() > limit {
                return Ok(known);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn lookup_topic(&self, name: &str) -> Result<Known, ProduceError> {
        // All topics, for asking after one by name creates it where brokers do that on their own.
        let metadata = self
            .inner
            .client()
            .fetch_metadata(None, CONNECT_LIMIT)
            .map_err(|error| self.unreachable(&error))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(Known::Absent);
        };
        let is_led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
        let count = u32::try_from(topic.partitions().len()).unwrap_or(0);
        Ok(if is_led && count > 0 { Known::Led(count) } else { Known::WithoutLeader })
    }

    /// Waits for the first answer of a broker.
    pub(super) fn wait_for_brokers(&self, limit: Duration) -> Result<(), ProduceError> {
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            match self.inner.client().fetch_metadata(None, left.min(Duration::from_secs(1))) {
                Ok(_) => return Ok(()),
                Err(error) if left.is_zero() => return Err(self.unreachable(&error)),
                // Serves the error callback, whose words explain the failure.
                Err(_) => self.inner.poll(POLL_INTERVAL.min(left)),
            }
        }
    }

    fn create_topic(&self, name: &str, partitions: Option<u32>) -> Result<(), ProduceError> {
        let admin: AdminClient<DefaultClientContext> =
            self.settings.client().create().map_err(|error| ProduceError::settings(&error))?;
        let count = match partitions {
            Some(count) => {
                i32::try_from(count).map_err(|_| not_created(name, "too many partitions"))?
            }
            None => -1,
        };
        let largest = self.max_record_bytes.to_string();
        // -1: the brokers' own number of replicas.
        let topic = NewTopic::new(name, count, TopicReplication::Fixed(-1))
            .set("max.message.bytes", &largest);
        let options = AdminOptions::new()
            .operation_timeout(Some(CONNECT_LIMIT))
            .request_timeout(Some(CONNECT_LIMIT));
        let answers = futures::executor::block_on(admin.create_topics([&topic], &options))
            .map_err(|error| not_created(name, &self.inner.context().explain(&error)))?;
        for answer in answers {
            match answer {
                // Somebody else may have been quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(not_created(name, &code.to_string())),
            }
        }
        Ok(())
    }

    fn unreachable(&self, error: &rdkafka::error::KafkaError) -> ProduceError {
        ProduceError::Unreachable {
            brokers: self.settings.brokers.clone(),
            reason: self.inner.context().explain(error),
        }
    }
}

fn not_created(topic: &str, reason: &str) -> ProduceError {
    ProduceError::NotCreated { topic: topic.to_owned(), reason: reason.to_owned() }
}
