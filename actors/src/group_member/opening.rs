//! Before a partition is read: what the topic is like, a row for every partition, and where to read on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryFutureExt;
use hitstream_domain::progress::{Offset, PartitionId, PartitionProgress};
use tracing::warn;

use super::ASK_BROKERS;
use crate::awaited::{LONG, awaited};
use crate::backoff::Backoff;
use crate::messages::Fatal;
use crate::readiness::{Part, Readiness};
use crate::settings::OnDataLoss;
use crate::source::{PartitionRange, Source, SourceError, TopicDescription};
use crate::store::{Store, StoreError, TopicProgress};

/// What keeps the brokers from saying what the topic is like; shared with who waits for that.
#[derive(Clone, Default)]
pub(super) struct Unopened(Arc<Mutex<Option<String>>>);

impl Unopened {
    /// Why it is not known yet; `None` before anything failed, and afterwards.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// Describes the topic, with the wanted partitions in it, and puts rows first, trying for as long as it takes.
pub(super) async fn open(
    source: Arc<dyn Source>,
    store: Arc<dyn Store>,
    wanted: Vec<PartitionId>,
    readiness: Readiness,
    unopened: Unopened,
    patience: Option<Duration>,
) -> Result<(TopicDescription, TopicProgress), Fatal> {
    let mut backoff =
        Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).with_patience(patience);
    loop {
        let reason = match try_open(&*source, &*store, &wanted, &readiness, &unopened).await {
            Ok(opened) => {
                readiness.works(Part::Postgres);
                return Ok(opened);
            }
            Err(
                Closed::Source(SourceError::Configuration(reason))
                | Closed::Store(StoreError::Mismatch(reason)),
            ) => return Err(Fatal::Mismatch(reason)),
            Err(Closed::Store(error)) => {
                readiness.fails(Part::Postgres, error.to_string());
                format!("PostgreSQL: {error}")
            }
            Err(Closed::Source(SourceError::TopicMissing(topic))) => {
                unopened.set(Some(format!("topic {topic:?} does not exist")));
                format!(
                    "Kafka: topic {topic:?} does not exist; `hitstream run --create-topic` creates it"
                )
            }
            Err(Closed::Source(error)) => {
                unopened.set(Some(error.to_string()));
                format!("Kafka: {error}")
            }
            Err(Closed::Unknown(partition)) => {
                format!("Kafka: partition {partition} is assigned, but the brokers do not show it")
            }
        };
        if backoff.is_exhausted() {
            return Err(Fatal::OutOfReach(reason));
        }
        let wait = backoff.next_wait();
        if backoff.is_worth_a_word() {
            warn!(%reason, retry_in = ?wait, "the topic cannot be opened; trying again");
        }
        tokio::time::sleep(wait).await;
    }
}

/// Why the topic could not be opened.
enum Closed {
    Source(SourceError),
    Store(StoreError),
    /// A broker may not know yet of a partition that was just added.
    Unknown(PartitionId),
}

async fn try_open(
    source: &dyn Source,
    store: &dyn Store,
    wanted: &[PartitionId],
    readiness: &Readiness,
    unopened: &Unopened,
) -> Result<(TopicDescription, TopicProgress), Closed> {
    let describe = || source.describe(ASK_BROKERS).map_err(Closed::Source);
    let topic = describe().await?;
    if let Some(unknown) = topic.lacks(wanted) {
        return Err(Closed::Unknown(unknown));
    }
    unopened.set(None);
    let progress =
        awaited(readiness, "the partitions' progress", LONG, store.open_topic(&topic)).await;
    let progress = progress.map_err(Closed::Store)?;
    // Another instance may have read on meanwhile, past the ends as they were.
    let is_behind = |range: &PartitionRange| {
        progress.partitions.get(&range.partition).is_some_and(|at| at.next_offset > range.high)
    };
    let is_old = topic.partitions.iter().any(is_behind);
    let topic = if is_old { describe().await? } else { topic };
    Ok((topic, progress))
}

/// Where to read on, or why that cannot be.
pub(super) fn first_offset(
    range: &PartitionRange,
    progress: &PartitionProgress,
    on_data_loss: OnDataLoss,
) -> Result<Offset, Fatal> {
    let (partition, next) = (range.partition, progress.next_offset);
    if next > range.high {
        return Err(Fatal::Mismatch(format!(
            "partition {partition} ends at offset {} in Kafka, but records up to {next} are in PostgreSQL: the topic was \
             truncated or restored. Use another schema or database for what it holds now",
            range.high
        )));
    }
    if next >= range.low {
        return Ok(next);
    }
    let missing = format!("offsets {next} to {} of partition {partition}", range.low.0 - 1);
    if on_data_loss == OnDataLoss::Continue {
        warn!(%partition, missing, "Kafka no longer has records that were not read; counted as lost");
        return Ok(range.low);
    }
    Err(Fatal::Mismatch(format!(
        "Kafka no longer has {missing}, which were never read. Give the topic a longer retention; to go on without \
         them, set kafka.on_data_loss = \"continue\": they are then counted as lost in the ledger"
    )))
}
