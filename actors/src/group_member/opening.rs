//! Before a partition is read: what the topic is like, a row for every partition, and where to read on.

use std::sync::Arc;
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionProgress};
use tracing::warn;

use super::ASK_BROKERS;
use crate::backoff::Backoff;
use crate::messages::Fatal;
use crate::readiness::{Part, Readiness};
use crate::settings::OnDataLoss;
use crate::source::{PartitionRange, Source, SourceError, TopicDescription};
use crate::store::{Store, StoreError, TopicProgress};

/// Describes the topic and puts rows first, trying for as long as it takes.
pub(super) async fn open(
    source: Arc<dyn Source>,
    store: Arc<dyn Store>,
    readiness: Readiness,
    patience: Option<Duration>,
) -> Result<(TopicDescription, TopicProgress), Fatal> {
    let mut backoff =
        Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).with_patience(patience);
    loop {
        let reason = match source.describe(ASK_BROKERS).await {
            Ok(topic) => match store.open_topic(&topic).await {
                Ok(progress) => {
                    readiness.works(Part::Postgres);
                    return Ok((topic, progress));
                }
                Err(StoreError::Mismatch(reason)) => return Err(Fatal::Mismatch(reason)),
                Err(error) => {
                    readiness.fails(Part::Postgres, error.to_string());
                    format!("PostgreSQL: {error}")
                }
            },
            Err(SourceError::Configuration(reason)) => return Err(Fatal::Mismatch(reason)),
            Err(error) => {
                readiness.fails(Part::Kafka, error.to_string());
                format!("Kafka: {error}")
            }
        };
        if backoff.is_exhausted() {
            return Err(Fatal::OutOfReach(reason));
        }
        let wait = backoff.next_wait();
        warn!(%reason, retry_in = ?wait, "the topic cannot be opened; trying again");
        tokio::time::sleep(wait).await;
    }
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
        warn!(missing, "Kafka no longer has records that were not read; counted as lost");
        return Ok(range.low);
    }
    Err(Fatal::Mismatch(format!(
        "Kafka no longer has {missing}, which were never read. Give the topic a longer retention; to go on without \
         them, set kafka.on_data_loss = \"continue\": they are then counted as lost in the ledger"
    )))
}
