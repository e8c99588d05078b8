//! `WindowShard`: adds up the hits of its hosts from all partitions, and hands an epoch's sums to the writer in key order.

mod sorted;

use actix::{Actor, Context, Handler};
use hitstream_domain::rollup::{Delta, KeyHasher, ROLLUPS};

pub use sorted::{SortedHits, SortedRow};

use crate::faults::fault_point;
use crate::link::{DeathWatch, Link, Watched};
use crate::messages::{EpochPart, HitsPart, Part};
use crate::writer::Writer;

/// Sums one share of all hosts. It holds one epoch at a time: the next is cut only after this one is committed.
pub struct WindowShard {
    sums: Vec<Delta>,
    hasher: KeyHasher,
    enrichers: usize,
    marks: usize,
    writer: Link<Writer>,
    watch: DeathWatch,
}

impl WindowShard {
    /// A shard that waits for `enrichers` marks beside those of the consumers.
    pub fn new(
        hasher: KeyHasher,
        enrichers: usize,
        writer: Link<Writer>,
        watch: DeathWatch,
    ) -> Self {
        Self { sums: empty(&hasher), hasher, enrichers, marks: 0, writer, watch }
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

impl Handler<HitsPart> for WindowShard {
    type Result = ();

    fn handle(&mut self, part: HitsPart, _: &mut Self::Context) {
        if let Some(range) = part.of {
            self.watch.working_on(range);
        }
        fault_point!("shard::hits");
        for (rollup, delta) in part.deltas {
            if let Some(sums) = self.sums.get_mut(rollup) {
                if sums.is_empty() {
                    *sums = delta;
                } else {
                    sums.merge(&delta);
                }
            }
        }
        self.marks += 1;
        if self.marks < part.cut.consumers + self.enrichers {
            return;
        }
        self.marks = 0;
        fault_point!("shard::before_handing_over");
        let sums = std::mem::replace(&mut self.sums, empty(&self.hasher));
        let hits = SortedHits::new(sums);
        self.writer.send(EpochPart { cut: part.cut, part: Part::Hits(hits) });
        fault_point!("shard::after_handing_over");
    }
}

fn empty(hasher: &KeyHasher) -> Vec<Delta> {
    ROLLUPS.iter().map(|_| Delta::new(hasher.clone())).collect()
}
