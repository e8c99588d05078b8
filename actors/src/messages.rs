//! What actors tell each other, in the order in which data flow.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use hitstream_domain::geo::{GeoStatus, Location};
use hitstream_domain::idle::IdleClaim;
use hitstream_domain::progress::{Ledger, Offset, OffsetRange, PartitionId};
use hitstream_domain::reject::RejectReason;
use hitstream_domain::rollup::Delta;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::Placement;

use crate::intake::Credit;
use crate::metrics::Arrivals;
use crate::packed::{FrozenRows, PackedRows};
use crate::refuse::RefuseList;
use crate::source::{Records, SourceError};
use crate::window::SortedHits;

/// The end of one epoch and the beginning of the next, as every actor on the data path sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The epoch that ends; epochs are numbered within their generation.
    pub epoch: u64,
    /// How many consumers take part in it.
    pub consumers: usize,
    /// When it was made, on the monotonic clock.
    pub at: Duration,
}

/// What the source tells the `GroupMember`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum SourceEvent {
    /// The group gives these partitions to this instance.
    Assigned(Vec<PartitionId>),
    /// The group takes these partitions back; they are held until released.
    Revoked(Vec<PartitionId>),
    /// This instance is a member of the group, whether or not partitions are left for it.
    Joined,
    /// This instance was a member before the generation was; whether brokers answer is not said by that.
    IsMember,
    /// The brokers do not let it join, and why; the client goes on trying.
    Refused(String),
    /// No broker answers; the client goes on trying.
    BrokersAway(String),
    /// The source ended and does not come back by itself.
    Failed(SourceError),
    /// The group was left, as asked.
    Left,
}

/// Records of one partition, in offset order. Source → `PartitionConsumer`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RecordBatch {
    /// The records.
    pub records: Box<dyn Records>,
    /// What they took of the intake, until they are dropped.
    pub credit: Credit,
    /// The broker's word that the partition ended here: everything before this offset was delivered.
    pub end: Option<Offset>,
}

/// Orders a consumer to end its epoch here. `GroupMember` → `PartitionConsumer`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CutEpoch {
    /// The cut.
    pub cut: Cut,
    /// Whether the partition is let go after this epoch: what still comes belongs to its next owner.
    pub is_last: bool,
}

/// The partition's last wanted record is read, under `run --until-end`. `PartitionConsumer` → `GroupMember`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct StopReached;

/// Hits of one partition to be enriched and stored. `PartitionConsumer` → `Enricher`, by IP.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EventBatch {
    /// The epoch they belong to: consumers pass a cut one after another.
    pub epoch: u64,
    /// Packed as the enricher's [`crate::enricher::RowLayout`] has it.
    pub events: PackedRows,
    /// The windows of each, where enrichers sum rollups; else empty.
    pub placements: Vec<Placement>,
}

/// A remote provider has answered. `Enricher` → itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Located {
    /// The address.
    pub ip: IpAddr,
    /// The provider's place in the chain.
    pub place: usize,
    /// What it said.
    pub said: Result<Location, GeoStatus>,
}

/// One consumer's mark: all its events of the epoch were sent before it. `PartitionConsumer` → every `Enricher`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EventsEnd(pub Cut);

/// Sums of one shard's hosts, to be added to those of others. `PartitionConsumer`, `Enricher` → `WindowShard`, by host.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HitsBatch {
    /// The epoch they belong to: senders pass a cut one after another.
    pub epoch: u64,
    /// The records that the sums are of, where they are one partition's.
    pub of: Option<OffsetRange>,
    /// The place of their rollup in `ROLLUPS`.
    pub rollup: usize,
    /// The sums.
    pub sums: Delta,
}

/// One sender's mark: all its sums of the epoch were sent before it. `PartitionConsumer`, `Enricher` → every
/// `WindowShard`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct HitsEnd(pub Cut);

/// What belongs to one epoch, from everyone who has a part in it → `Writer`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EpochPart {
    /// The epoch.
    pub cut: Cut,
    /// The part.
    pub part: Part,
}

/// The three kinds of parts of an epoch.
#[derive(Debug)]
pub enum Part {
    /// From each `PartitionConsumer`.
    Partition(Box<PartitionPart>),
    /// From each `Enricher`, in pieces.
    Events(Vec<FrozenRows>),
    /// From each `WindowShard`.
    Hits(SortedHits),
}

/// The id of the topic that all epochs of the generation are of. `GroupMember` → `Writer`, before any part.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct TopicOpened(pub String);

/// How one partition moved on in an epoch.
#[derive(Clone, Debug)]
pub struct PartitionPart {
    /// The partition.
    pub partition: PartitionId,
    /// The topic's incarnation.
    pub incarnation: i32,
    /// The next offset as committed before.
    pub from: Offset,
    /// The next offset after this epoch.
    pub to: Offset,
    /// The greatest event time accepted up to here.
    pub max_event_time: Option<EventTime>,
    /// What became of the records; nothing diverted yet.
    pub ledger: Ledger,
    /// Rejected records, packed as rows of `rejected_events`.
    pub rejects: FrozenRows,
    /// Proof that the partition is idle, if there is.
    pub claim: Option<IdleClaim>,
    /// What is told of it and not stored.
    pub told: Told,
}

/// What is told of a partition's epoch to those who watch.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// When its records came to Kafka.
    pub arrivals: Arrivals,
    /// The Kafka timestamp of the last one.
    pub last: Option<EventTime>,
    /// The partition's watermark, once there is one.
    pub watermark: Option<EventTime>,
    /// Rejected records by reason, in the order of `RejectReason::ALL`.
    pub rejected: [u64; RejectReason::ALL.len()],
}

impl PartitionPart {
    /// The records that it stands for.
    pub fn range(&self) -> OffsetRange {
        OffsetRange { partition: self.partition, from: self.from, to: self.to }
    }
}

/// The epoch is in the tables. `Writer` → `GroupMember`, `Finalizer`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct EpochCommitted {
    /// The epoch.
    pub epoch: u64,
    /// The next offsets now committed.
    pub offsets: Vec<(PartitionId, Offset)>,
    /// What was in it.
    pub ledger: Ledger,
}

/// The end offsets seen at start, for `run --until-end`. `GroupMember` → `Finalizer`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ReadUntil(pub Arc<Vec<(PartitionId, Offset)>>);

/// Orders a last cut and commit, then to leave the group. `PipelineSupervisor` → `GroupMember`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// An actor is no more. Anyone → `PipelineSupervisor`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ActorDied {
    /// Its generation.
    pub generation: u64,
    /// What it was.
    pub actor: &'static str,
    /// How it ended.
    pub cause: Death,
    /// The records it was at.
    pub work: Option<OffsetRange>,
}

/// How an actor ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Death {
    /// A panic, and what it said.
    #[error("panic: {0}")]
    Panic(String),
    /// It is gone, without a panic that anybody saw.
    #[error("stopped")]
    Stopped,
    /// It hangs.
    #[error("no sign of life for {} s", .0.as_secs())]
    Stalled(Duration),
}

impl Death {
    /// Its kind, as metrics have it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Panic(_) => "panic",
            Self::Stopped => "stopped",
            Self::Stalled(_) => "stalled",
        }
    }
}

/// Something that a generation cannot go on from. Actors → `PipelineSupervisor`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GenerationEnded {
    /// The generation.
    pub generation: u64,
    /// Why.
    pub reason: EndReason,
}

/// Why a generation ends by itself.
#[derive(Clone, Debug)]
pub enum EndReason {
    /// Another owner has moved a partition on; what was read here is void.
    Fenced(String),
    /// Partitions were taken back, and what was read of them could not be committed in time.
    RevokedUncommitted,
    /// The topic is not the one that was opened; what was read may be of either.
    TopicRecreated,
    /// The source ended, and why; another takes its place.
    SourceFailed(String),
    /// PostgreSQL refused rows; their records go on the refuse list.
    Refused(Box<RefuseList>),
    /// Every partition reached the end seen at start.
    ReachedEnd,
    /// Drained, as ordered.
    Drained,
    /// Nothing to be mended by trying again.
    Fatal(Fatal),
}

/// Why a pipeline must stop, and what its user can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// Configuration, or what is in the database or the topic, does not fit.
    #[error("{0}")]
    Mismatch(String),
    /// A service stayed out of reach past its limit.
    #[error("{0}")]
    OutOfReach(String),
}
