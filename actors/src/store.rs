//! Where results and progress live together: the trait of a store. The real one is [`crate::writer::postgres`].

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use hitstream_domain::frontier::PartitionClock;
use hitstream_domain::progress::{Ledger, Offset, PartitionId, PartitionProgress};
use hitstream_domain::time::EventTime;

use crate::packed::Damaged;
use crate::refuse::RefuseList;
use crate::source::TopicDescription;
use crate::writer::Epoch;

/// Why a store did not do what it was asked; nothing was changed, unless the answer itself was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, overloaded, shutting down, or the answer was lost: try the same again, for ever.
    #[error("{0}")]
    Unavailable(String),
    /// A partition has been moved on by another owner, or memory is damaged: everything in memory is void.
    #[error("{0}")]
    Fenced(String),
    /// The rows themselves are refused: find which, and reject their records.
    #[error("{0}")]
    Refused(String),
    /// Settings and database do not fit together: stop.
    #[error("{0}")]
    Mismatch(String),
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        // What is in memory is void here, too: it is read again.
        Self::Fenced(damaged.to_string())
    }
}

/// Progress of every partition of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicProgress {
    /// Rises when the topic is recreated.
    pub incarnation: i32,
    /// By number.
    pub partitions: BTreeMap<PartitionId, PartitionProgress>,
}

/// What the frontier is and what it could be computed from.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The frontier as committed.
    pub frontier: EventTime,
    /// The store's own clock.
    pub now: EventTime,
    /// Every partition of the topic.
    pub partitions: Vec<(PartitionId, Offset, PartitionClock)>,
}

/// What a try to move a window came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// This window, by its start, is now among the final ones.
    Moved(EventTime),
    /// No window is left to move.
    Nothing,
    /// None is left but such as the final tables refuse: one of them, and why. It is tried again later.
    Stuck {
        /// Its start.
        window: EventTime,
        /// What the store says against it.
        reason: String,
    },
    /// Another instance is moving windows.
    Busy,
}

/// A store that takes epochs whole or not at all (DESIGN section 5).
pub trait Store: Send + Sync {
    /// *Rows first*: makes sure that every partition of the topic has a progress row, and reads them all.
    ///
    /// # Errors
    /// `Mismatch` where the store belongs to another pipeline, topic or time rule.
    fn open_topic<'a>(
        &'a self,
        topic: &'a TopicDescription,
    ) -> BoxFuture<'a, Result<TopicProgress, StoreError>>;

    /// *Commit*: adds an epoch to the tables if each partition stands where the epoch began.
    ///
    /// # Errors
    /// All kinds; after `Unavailable` the same epoch is sent again.
    fn commit<'a>(&'a self, epoch: &'a Epoch) -> BoxFuture<'a, Result<Ledger, StoreError>>;

    /// Finds what in a refused epoch is refused, by trying, without leaving a trace.
    ///
    /// # Errors
    /// `Unavailable`.
    fn find_refused<'a>(
        &'a self,
        epoch: &'a Epoch,
    ) -> BoxFuture<'a, Result<RefuseList, StoreError>>;

    /// Reads the frontier and what it depends on.
    ///
    /// # Errors
    /// `Unavailable`.
    fn survey(&self) -> BoxFuture<'_, Result<Survey, StoreError>>;

    /// *Advance*: moves the frontier on, and returns it.
    ///
    /// # Errors
    /// `Unavailable`.
    fn advance(&self, claims: Claims) -> BoxFuture<'_, Result<EventTime, StoreError>>;

    /// *Move*: makes one window behind the frontier final.
    ///
    /// # Errors
    /// `Unavailable`.
    fn move_window(&self) -> BoxFuture<'_, Result<Move, StoreError>>;

    /// Counts what is not final yet.
    ///
    /// # Errors
    /// `Unavailable`.
    fn open(&self) -> BoxFuture<'_, Result<Open, StoreError>>;

    /// Ends what instances that were frozen amid a commit hold up, as far as that can be done.
    fn end_hung_sessions(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What is not final yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Windows.
    pub windows: i64,
    /// Rows in them, each a key in one window, of each rollup in the order of `ROLLUPS`.
    pub rows: Vec<i64>,
}

/// Whether idle claims count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// By the store's clock.
    Valid,
    /// Not at all, as `run --until-end` wants it.
    Ignored,
}
