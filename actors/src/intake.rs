//! Credit: what the pipeline may still take in. All memory between Kafka and PostgreSQL is bounded here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::settings::FlushLimits;

/// Bytes handed to consumers and not yet decoded; enough to keep every core busy.
const MAX_UNDECODED_BYTES: usize = 8 << 20;

/// Counts what is on its way, and what the accumulating epoch holds, against their limits.
///
/// The source drains partitions only while there is [`Intake::room`]. As at most two epochs exist, and each closes the
/// intake when it reaches a limit, memory stays bounded however long PostgreSQL is away.
#[derive(Debug)]
pub struct Intake {
    limits: FlushLimits,
    undecoded_bytes: AtomicUsize,
    undecoded_records: AtomicUsize,
    /// The accumulating epoch, and what it holds.
    epoch: AtomicU64,
    keys: AtomicUsize,
    events: AtomicUsize,
    bytes: AtomicUsize,
    closed: AtomicBool,
    /// How long the source found no room, since that was last asked.
    waited_micros: AtomicU64,
}

/// What is held, and the limits of that.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Bytes of the accumulating epoch.
    pub bytes: usize,
    /// Bytes at which it is cut.
    pub bytes_max: usize,
    /// Keys of the accumulating epoch.
    pub keys: usize,
    /// Keys at which it is cut.
    pub keys_max: usize,
    /// Records of the accumulating epoch.
    pub records: usize,
    /// Records at which it is cut.
    pub records_max: usize,
    /// Bytes that are not decoded yet.
    pub undecoded_bytes: usize,
    /// Undecoded bytes at which no more is taken.
    pub undecoded_bytes_max: usize,
    /// Records that are not decoded yet.
    pub undecoded_records: usize,
    /// Undecoded records at which no more is taken, also where the epoch holds none yet.
    pub undecoded_records_max: usize,
}

/// Memory of one batch on its way to a consumer: given back when the batch is dropped, whether it was decoded or not.
#[derive(Debug)]
pub struct Credit {
    intake: Arc<Intake>,
    bytes: usize,
    records: usize,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.intake.undecoded_bytes.fetch_sub(self.bytes, Relaxed);
        self.intake.undecoded_records.fetch_sub(self.records, Relaxed);
    }
}

impl Intake {
    /// An open intake.
    pub fn new(limits: FlushLimits) -> Self {
        Self {
            limits,
            undecoded_bytes: AtomicUsize::new(0),
            undecoded_records: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            keys: AtomicUsize::new(0),
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            waited_micros: AtomicU64::new(0),
        }
    }

    /// What is held.
    pub fn held(&self) -> Held {
        Held {
            bytes: self.bytes.load(Relaxed),
            bytes_max: self.limits.max_bytes / 2,
            keys: self.keys.load(Relaxed),
            keys_max: self.limits.max_keys,
            records: self.events.load(Relaxed),
            records_max: self.limits.max_events,
            undecoded_bytes: self.undecoded_bytes.load(Relaxed),
            undecoded_bytes_max: MAX_UNDECODED_BYTES,
            undecoded_records: self.undecoded_records.load(Relaxed),
            undecoded_records_max: self.limits.max_keys.min(self.limits.max_events),
        }
    }

    /// The source found no room for so long.
    pub fn waited(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waited_micros.fetch_add(micros, Relaxed);
    }

    /// How long the source found no room since this was last asked.
    pub fn take_waited(&self) -> Duration {
        Duration::from_micros(self.waited_micros.swap(0, Relaxed))
    }

    /// How many records may be taken from the source; each counts as a key and an event until it is decoded.
    pub fn room(&self) -> usize {
        let bytes = self.undecoded_bytes.load(Relaxed);
        if self.closed.load(Relaxed) || bytes >= MAX_UNDECODED_BYTES || self.is_full() {
            return 0;
        }
        let undecoded = self.undecoded_records.load(Relaxed);
        let left =
            |limit: usize, held: &AtomicUsize| limit.saturating_sub(held.load(Relaxed) + undecoded);
        left(self.limits.max_keys, &self.keys).min(left(self.limits.max_events, &self.events))
    }

    /// Whether the accumulating epoch has reached a limit.
    pub fn is_full(&self) -> bool {
        self.keys.load(Relaxed) >= self.limits.max_keys
            || self.events.load(Relaxed) >= self.limits.max_events
            // Another epoch may be on its way, and hold as much.
            || self.bytes.load(Relaxed) >= self.limits.max_bytes / 2
    }

    /// Records leave the source.
    pub fn lend(self: &Arc<Self>, records: usize, bytes: usize) -> Credit {
        self.undecoded_bytes.fetch_add(bytes, Relaxed);
        self.undecoded_records.fetch_add(records, Relaxed);
        Credit { intake: Arc::clone(self), bytes, records }
    }

    /// Records were decoded and belong to the accumulating epoch; `bytes` is what it grew by.
    pub fn decoded(&self, events: usize, keys: usize, bytes: usize) {
        self.events.fetch_add(events, Relaxed);
        self.keys.fetch_add(keys, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Sums of several senders became one: so many keys and bytes less than they were apart.
    pub fn merged(&self, epoch: u64, keys: usize, bytes: usize) {
        if epoch != self.epoch.load(Relaxed) {
            return; // it was cut meanwhile
        }
        for (held, less) in [(&self.keys, keys), (&self.bytes, bytes)] {
            // An epoch that begins at this very moment holds nothing yet.
            let _ = held.fetch_update(Relaxed, Relaxed, |held| Some(held.saturating_sub(less)));
        }
    }

    /// What was held in `before` bytes is now held in `after`.
    pub fn repacked(&self, epoch: u64, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(grown) => self.decoded(0, 0, grown),
            None => self.merged(epoch, 0, before - after),
        }
    }

    /// A cut: what comes now belongs to this epoch.
    pub fn begin(&self, epoch: u64) {
        self.epoch.store(epoch, Relaxed);
        self.events.store(0, Relaxed);
        self.keys.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }

    /// Takes nothing in any more.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_epoch_closes_the_intake_until_the_cut() {
        let limits = FlushLimits {
            interval: Duration::from_secs(1),
            catch_up_interval: Duration::from_secs(5),
            max_keys: 10,
            max_events: 100,
            max_bytes: 1000,
        };
        let intake = Arc::new(Intake::new(limits));
        intake.decoded(1, 10, 1);
        assert!(intake.is_full() && intake.room() == 0);
        intake.begin(1);
        assert_eq!(intake.room(), 10);
        let credit = intake.lend(4, MAX_UNDECODED_BYTES);
        assert!(!intake.is_full() && intake.room() == 0);
        drop(credit);
        let few = intake.lend(4, 100);
        intake.decoded(1, 1, 1);
        assert_eq!(intake.room(), 5);
        drop(few);
        assert_eq!(intake.room(), 9);
    }
}
