//! Where records come from: the trait of an event source, and what it tells.
//!
//! The real one is [`crate::group_member::kafka`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use futures::future::BoxFuture;
use hitstream_domain::progress::{Offset, OffsetRange, PartitionId};
use hitstream_domain::time::EventTime;

use crate::contact::Contact;
use crate::intake::Intake;
use crate::link::DeathWatch;
use crate::messages::{RecordBatch, SourceEvent};
use crate::metrics::Partitions;

/// One record as it lies in the client's memory.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its position in the partition.
    pub offset: Offset,
    /// Its Kafka timestamp, where it has one.
    pub timestamp: Option<EventTime>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Records that stay where the client put them until they are dropped.
pub trait Records: Send {
    /// Visits each record in offset order.
    fn for_each(&self, visit: &mut dyn FnMut(Record<'_>));

    /// Bytes of all values.
    fn bytes(&self) -> usize;

    /// Where they are; `None` where there are none.
    fn range(&self) -> Option<OffsetRange>;
}

/// A topic as the source finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The cluster's id; empty where the broker has none.
    pub cluster_id: String,
    /// The topic's id, 128 bits in hexadecimal; zero where the broker has none.
    pub topic_id: String,
    /// Every partition of the topic, by number.
    pub partitions: Vec<PartitionRange>,
}

impl TopicDescription {
    /// The first of these partitions that is not in it.
    pub fn lacks(&self, partitions: &[PartitionId]) -> Option<PartitionId> {
        let known = |wanted: &PartitionId| self.partitions.iter().any(|at| at.partition == *wanted);
        partitions.iter().copied().find(|partition| !known(partition))
    }

    /// Whether this may be the topic that had this id.
    pub fn may_have_id(&self, id: &str) -> bool {
        may_be_same_topic(&self.topic_id, id)
    }
}

/// Whether two topic ids may be one topic's. Brokers before 2.8 have no topic ids: zeros are no evidence.
pub fn may_be_same_topic(one: &str, other: &str) -> bool {
    one == other || !is_topic_id(one) || !is_topic_id(other)
}

/// Whether this tells one topic from another.
pub fn is_topic_id(id: &str) -> bool {
    !id.bytes().all(|byte| byte == b'0')
}

/// The records that a broker has of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRange {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset there is.
    pub low: Offset,
    /// The offset after the last one.
    pub high: Offset,
}

/// Where each partition of a topic ends, as far as that is known.
pub type PartitionEnds = BTreeMap<PartitionId, Option<Offset>>;

/// Kafka timestamps of records, by partition; `None` for one that has none.
pub type FirstTimestamps = BTreeMap<PartitionId, Option<EventTime>>;

/// Where to start reading a partition, and where to send what comes.
pub struct Feed {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset wanted.
    pub from: Offset,
    /// Its consumer.
    pub sink: Box<dyn Fn(RecordBatch) + Send>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} from {}", self.partition, self.from)
    }
}

/// What a generation of actors gives to its source.
pub struct Attachment {
    /// Its number.
    pub generation: u64,
    /// Who is told of assignments.
    pub events: Recipient<SourceEvent>,
    /// How much may be taken in.
    pub intake: Arc<Intake>,
    /// Where each partition ends, for those who watch.
    pub partitions: Partitions,
    /// Reports the death of whoever serves the source; retired when the generation detaches.
    pub watch: DeathWatch,
}

/// Why a source cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The brokers know no such topic.
    #[error("topic {0:?} does not exist")]
    TopicMissing(String),
    /// The brokers are out of reach, or busy with themselves. Worth another try.
    #[error("{0}")]
    Unavailable(String),
    /// The client's configuration is refused; trying again changes nothing.
    #[error("{0}")]
    Configuration(String),
}

/// A member of a consumer group that outlives generations of actors: a new generation attaches to the same membership,
/// so that a crash inside the process moves no partition.
pub trait Source: Send + Sync {
    /// Sends events to a new generation from now on, beginning with the present assignment. Feeds of the generation
    /// before end. Nothing is drained while the intake has no room. A source that had died starts anew.
    fn attach(&self, generation: Attachment);

    /// Drops all feeds; the membership stays.
    fn detach(&self);

    /// Asks the brokers what the topic is like now.
    fn describe(
        &self,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<TopicDescription, SourceError>>;

    /// Asks the brokers for the id of the topic as it is now; for a short time.
    fn topic_id(&self) -> BoxFuture<'static, Result<String, SourceError>>;

    /// Asks the broker where a partition ends now.
    fn end_of(&self, partition: PartitionId) -> BoxFuture<'static, Result<Offset, SourceError>>;

    /// How it stands with brokers and group; asks nobody.
    fn contact(&self) -> Contact;

    /// Asks the brokers where every partition of the topic ends now, at little cost to them; `None` for one whose broker
    /// does not answer.
    fn ends(&self) -> BoxFuture<'static, Result<PartitionEnds, SourceError>>;

    /// Looks up the Kafka timestamp, if it has one, of the first record at each of these positions or behind it. Those that
    /// are not found in time are left out.
    fn first_timestamps(
        &self,
        positions: Vec<(PartitionId, Offset)>,
    ) -> BoxFuture<'static, Result<FirstTimestamps, SourceError>>;

    /// Reads these partitions, which were assigned. This and what follows is heeded from the attached generation only: an
    /// actor of a former one may wake up late.
    fn feed(&self, generation: u64, feeds: Vec<Feed>);

    /// Lets go of these partitions, which were revoked.
    fn release(&self, generation: u64, partitions: Vec<PartitionId>);

    /// Commits offsets to the brokers, for tools that watch lag; they decide nothing.
    fn publish_offsets(&self, generation: u64, offsets: Vec<(PartitionId, Offset)>);

    /// Gives the client up, and says so to the generation ([`SourceEvent::Failed`]); the next one that attaches gets another.
    fn renew(&self, generation: u64, reason: String);

    /// Leaves the group and ends.
    fn leave(&self, generation: u64);
}
