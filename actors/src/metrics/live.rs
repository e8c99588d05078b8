//! What is only looked at when somebody asks: the running generation's memory and mailboxes, and readiness.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::Metrics;
use crate::intake::Intake;
use crate::readiness::{Part, Readiness};

/// The running generation, as it is looked at from outside. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<Option<Running>>>);

#[derive(Clone, Debug)]
struct Running {
    intake: Arc<Intake>,
    mailboxes: Mailboxes,
    readiness: Readiness,
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
    pub fn begin(&self, intake: Arc<Intake>, mailboxes: Mailboxes, readiness: Readiness) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *running = Some(Running { intake, mailboxes, readiness });
    }

    /// Sets what is looked at.
    pub(super) fn look(&self, metrics: &Metrics) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.assigned_partitions.set(whole(metrics.partitions.count()));
        let Some(Running { intake, mailboxes, readiness }) = running else { return };
        let held = intake.held();
        metrics.held_bytes.set(whole(held.bytes));
        metrics.held_bytes_max.set(whole(held.bytes_max));
        metrics.held_keys.set(whole(held.keys));
        metrics.held_keys_max.set(whole(held.keys_max));
        metrics.undecoded_bytes.set(whole(held.undecoded_bytes));
        metrics.undecoded_bytes_max.set(whole(held.undecoded_bytes_max));
        metrics.credit_wait.inc_by(intake.take_waited().as_secs_f64());
        for (actor, count) in ACTORS.iter().zip(&*mailboxes.0) {
            metrics.mailbox_messages.with_label_values(&[actor]).set(count.load(Relaxed));
        }
        let reasons = readiness.reasons();
        metrics.ready.set(reasons.is_empty().into());
        for part in Part::ALL {
            let label = part.to_string();
            metrics.not_ready.with_label_values(&[&label]).set(reasons.contains_key(&part).into());
        }
    }
}
