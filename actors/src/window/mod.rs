//! `WindowShard`: adds up the hits of its hosts from all partitions, and hands an epoch's sums to the writer in key order.

mod sorted;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, Context, Handler};
use hitstream_domain::progress::OffsetRange;
use hitstream_domain::rollup::{Delta, KeyHasher, ROLLUPS};
use tracing::error_span;
use tracing::field::display;

pub use sorted::{SortedHits, SortedRow};

use crate::faults::fault_point;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link, Watched};
use crate::messages::{EpochPart, HitsBatch, HitsEnd, Part};
use crate::refuse::RefuseList;
use crate::writer::Writer;

/// So many keys are summed before a shard at most, few enough for a core's cache: hits of frequent keys become one sum,
/// and what is seldom is held once, by its shard, and not by every sender.
pub(crate) const MAX_PRESUMMED_KEYS: usize = 4_096;

/// Sends sums of an epoch, one for each shard, to those of them that have any.
pub(crate) fn hand_on(
    shards: &[Link<WindowShard>],
    epoch: u64,
    of: Option<OffsetRange>,
    rollup: usize,
    sums: Vec<Delta>,
) {
    for (shard, sums) in shards.iter().zip(sums) {
        if !sums.is_empty() {
            shard.send(HitsBatch { epoch, of, rollup, sums });
        }
    }
}

/// Sums one share of all hosts.
pub struct WindowShard {
    /// By epoch, in the order of `ROLLUPS`: senders pass a cut one after another, so that two epochs overlap here.
    sums: BTreeMap<u64, Vec<Delta>>,
    hasher: KeyHasher,
    refuse: Arc<RefuseList>,
    enrichers: usize,
    /// Senders whose sums of the ending epoch are all here.
    marks: usize,
    intake: Arc<Intake>,
    writer: Link<Writer>,
    watch: DeathWatch,
}

impl WindowShard {
    /// A shard that waits for `enrichers` marks beside those of the consumers.
    pub fn new(
        hasher: KeyHasher,
        refuse: Arc<RefuseList>,
        enrichers: usize,
        intake: Arc<Intake>,
        writer: Link<Writer>,
        watch: DeathWatch,
    ) -> Self {
        Self { sums: BTreeMap::new(), hasher, refuse, enrichers, marks: 0, intake, writer, watch }
    }
}

impl Watched for WindowShard {
    fn watch(&self) -> &DeathWatch {
        &self.watch
    }
}

impl Actor for WindowShard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
    }
}

impl Handler<HitsBatch> for WindowShard {
    type Result = ();

    fn handle(&mut self, batch: HitsBatch, _: &mut Self::Context) {
        self.watch.handles();
        let partition = batch.of.map(|range| display(range.partition));
        let _span = error_span!("WindowShard", partition, epoch = batch.epoch).entered();
        if let Some(range) = batch.of {
            self.watch.working_on(range);
        }
        fault_point!("shard::hits");
        let rollups = self.sums.entry(batch.epoch).or_insert_with(|| empty(&self.hasher));
        let Some(sums) = rollups.get_mut(batch.rollup) else { return };
        let (keys, bytes) = (sums.len() + batch.sums.len(), sums.bytes() + batch.sums.bytes());
        sums.merge(&batch.sums);
        self.intake.merged(batch.epoch, keys - sums.len(), bytes.saturating_sub(sums.bytes()));
    }
}

impl Handler<HitsEnd> for WindowShard {
    type Result = ();

    fn handle(&mut self, HitsEnd(cut): HitsEnd, _: &mut Self::Context) {
        self.watch.handles();
        self.marks += 1;
        if self.marks < cut.consumers + self.enrichers {
            return;
        }
        self.marks = 0;
        let _span = error_span!("WindowShard", epoch = cut.epoch).entered();
        fault_point!("shard::before_handing_over");
        let sums = self.sums.remove(&cut.epoch).unwrap_or_else(|| empty(&self.hasher));
        let hits = SortedHits::new(sums, &self.refuse);
        self.writer.send(EpochPart { cut, part: Part::Hits(hits) });
        fault_point!("shard::after_handing_over");
    }
}

fn empty(hasher: &KeyHasher) -> Vec<Delta> {
    ROLLUPS.iter().map(|_| Delta::new(hasher.clone())).collect()
}
