//! What is only looked at when somebody asks: the running generation's memory and mailboxes, and readiness.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::Metrics;
use crate::intake::{Held, Intake};
use crate::readiness::{Part, Readiness};

/// The running generation, as it is looked at from outside. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<Option<Running>>>);

#[derive(Clone, Debug)]
struct Running {
    intake: Arc<Intake>,
    mailboxes: Mailboxes,
    readiness: Readiness,
    pools: Pools,
}

/// How many there are of the actors that consumers send to.
#[derive(Clone, Copy, Debug)]
pub struct Pools {
    /// Enrichers.
    pub enrichers: usize,
    /// Window shards.
    pub shards: usize,
}

impl Pools {
    /// Most messages that can be waiting for the actors of each name, in the order of [`ACTORS`]. A batch holds one record,
    /// hit or key at least. Of those before the decoder one credit bounds all; behind it two epochs may be full. An end of
    /// an epoch, or of a partition, is a message more.
    fn capacities(self, consumers: usize, held: &Held) -> [usize; ACTORS.len()] {
        let Self { enrichers, shards } = self;
        [
            held.undecoded_records_max + 2 * consumers,
            2 * held.records_max + 2 * consumers * enrichers,
            2 * held.keys_max + 2 * (consumers + enrichers) * shards,
            2 * (consumers + enrichers + shards),
        ]
    }
}

/// The actors whose mailboxes data go through.
const ACTORS: [&str; 4] = ["PartitionConsumer", "Enricher", "WindowShard", "Writer"];

/// How many messages wait for the actors of each name, within one generation. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Mailboxes(Arc<[AtomicI64; ACTORS.len()]>);

impl Mailboxes {
    /// A message was sent.
    pub fn sent(&self, actor: &str) {
        self.add(actor, 1);
    }

    /// A message is being handled.
    pub fn handled(&self, actor: &str) {
        self.add(actor, -1);
    }

    fn add(&self, actor: &str, number: i64) {
        let counts = ACTORS.iter().zip(&*self.0);
        if let Some((_, count)) = counts.into_iter().find(|(name, _)| **name == actor) {
            count.fetch_add(number, Relaxed);
        }
    }
}

impl Live {
    /// A generation begins.
    pub fn begin(
        &self,
        intake: Arc<Intake>,
        mailboxes: Mailboxes,
        readiness: Readiness,
        pools: Pools,
    ) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *running = Some(Running { intake, mailboxes, readiness, pools });
    }

    /// Sets what is looked at.
    pub(super) fn look(&self, metrics: &Metrics) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let consumers = metrics.partitions.count();
        metrics.assigned_partitions.set(whole(consumers));
        let Some(Running { intake, mailboxes, readiness, pools }) = running else { return };
        let held = intake.held();
        metrics.held_bytes.set(whole(held.bytes));
        metrics.held_bytes_max.set(whole(held.bytes_max));
        metrics.held_keys.set(whole(held.keys));
        metrics.held_keys_max.set(whole(held.keys_max));
        metrics.held_records.set(whole(held.records));
        metrics.held_records_max.set(whole(held.records_max));
        metrics.undecoded_records.set(whole(held.undecoded_records));
        metrics.undecoded_records_max.set(whole(held.undecoded_records_max));
        metrics.undecoded_bytes.set(whole(held.undecoded_bytes));
        metrics.undecoded_bytes_max.set(whole(held.undecoded_bytes_max));
        metrics.credit_wait.inc_by(intake.take_waited().as_secs_f64());
        for (actor, count) in ACTORS.iter().zip(&*mailboxes.0) {
            metrics.mailbox_messages.with_label_values(&[actor]).set(count.load(Relaxed));
        }
        for (actor, most) in ACTORS.iter().zip(pools.capacities(consumers, &held)) {
            metrics.mailbox_messages_max.with_label_values(&[actor]).set(whole(most));
        }
        metrics.tell(&readiness);
    }
}

impl Metrics {
    /// Tells of readiness; before the first generation nobody else does.
    pub fn tell(&self, readiness: &Readiness) {
        let reasons = readiness.reasons();
        self.ready.set(reasons.is_empty().into());
        for part in Part::ALL {
            let label = part.to_string();
            self.not_ready.with_label_values(&[&label]).set(reasons.contains_key(&part).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::FlushLimits;

    #[test]
    fn every_mailbox_has_a_depth_and_a_capacity() {
        let metrics = Metrics::new();
        let limits = FlushLimits {
            interval: Duration::from_secs(1),
            catch_up_interval: Duration::from_secs(5),
            max_keys: 10,
            max_events: 100,
            max_bytes: 1_000,
        };
        let (intake, mailboxes) = (Arc::new(Intake::new(limits)), Mailboxes::default());
        let pools = Pools { enrichers: 2, shards: 3 };
        metrics.live().begin(Arc::clone(&intake), mailboxes.clone(), Readiness::default(), pools);
        for partition in 0..4 {
            let partition = hitstream_domain::progress::PartitionId(partition);
            metrics.partitions.begin(partition, hitstream_domain::progress::Offset(0), None);
        }
        let _credit = intake.lend(6, 60);
        intake.decoded(3, 2, 1);
        mailboxes.sent("Writer");
        metrics.gather();
        let of = |gauges: &prometheus::IntGaugeVec| {
            ACTORS.map(|actor| gauges.with_label_values(&[actor]).get())
        };
        assert_eq!(of(&metrics.mailbox_messages), [0, 0, 0, 1]);
        // Four consumers; a mark of each sender for each receiver, and of two epochs.
        assert_eq!(of(&metrics.mailbox_messages_max), [10 + 8, 200 + 16, 20 + 36, 18]);
        let credit = [&metrics.undecoded_records, &metrics.undecoded_records_max];
        assert_eq!(credit.map(|gauge| gauge.get()), [6, 10]);
        let held = [&metrics.held_records, &metrics.held_records_max, &metrics.held_keys];
        assert_eq!(held.map(|gauge| gauge.get()), [3, 100, 2]);
    }
}
