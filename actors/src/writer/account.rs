//! What commits tell those who watch.

use std::time::Duration;

use hitstream_domain::progress::Ledger;
use hitstream_domain::reject::RejectReason;
use hitstream_domain::time::EventTime;

use super::Epoch;
use crate::clock;
use crate::metrics::{Metrics, seconds};
use crate::store::StoreError;

/// An epoch is committed.
pub(super) fn committed(metrics: &Metrics, epoch: &Epoch, ledger: &Ledger) {
    if epoch.is_empty() {
        return;
    }
    let now = clock::now();
    metrics.book(ledger);
    metrics.epochs.inc();
    metrics.last_commit.set(seconds(now));
    let took = clock::monotonic().saturating_sub(epoch.cut_at);
    metrics.epoch_commit.observe(took.as_secs_f64());
    for part in &epoch.partitions {
        for (arrived, records) in part.told.arrivals.slots() {
            metrics.latency.observe(between(arrived, now), records);
        }
        for (reason, records) in RejectReason::ALL.iter().zip(part.told.rejected) {
            if records > 0 {
                metrics.rejected_records.with_label_values(&[reason.as_str()]).inc_by(records);
            }
        }
        metrics.partitions.committed(part.partition, part.to, part.told.last, part.told.watermark);
    }
}

/// A try to commit failed.
pub(super) fn failed(metrics: &Metrics, error: &StoreError) {
    let class = match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Fenced(_) => "fenced",
        StoreError::Refused(_) => "refused",
        StoreError::Mismatch(_) => "mismatch",
    };
    metrics.postgres_errors.with_label_values(&[class]).inc();
}

/// Nothing where the brokers' clock is ahead.
fn between(from: EventTime, to: EventTime) -> Duration {
    Duration::from_micros(u64::try_from(to.as_micros() - from.as_micros()).unwrap_or(0))
}
