//! `WindowShard`: adds up the hits of its hosts from all partitions, and hands an epoch's sums to the writer in key order.

mod sorted;

use actix::{Actor, Context, Handler};
use hitstream_domain::rollup::{Delta, KeyHasher, ROLLUPS};

pub use sorted::{SortedHits, SortedRow};

use crate::link::{DeathWatch, Link};
use crate::messages::{EpochPart, HitsPart, Part};
use crate::writer::Writer;

/// Sums one share of all hosts. It holds one epoch at a time: the next is cut only after this one is committed.
pub struct WindowShard {
    sums: Vec<Delta>,
    hasher: KeyHasher,
    enrichers: usize,
    marks: usize,
    writer: Link<Writer>,
    _watch: DeathWatch,
}

impl WindowShard {
    /// A shard that waits for `enrichers` marks beside those of the consumers.
    pub fn new(
        hasher: KeyHasher,
        enrichers: usize,
        writer: Link<Writer>,
        watch: DeathWatch,
    ) -> Self {
        Self { sums: empty(&hasher), hasher, enrichers, marks: 0, writer, _watch: watch }
    }
}

impl Actor for WindowShard {
    type Context = Context<Self>;
}

impl Handler<HitsPart> for WindowShard {
    type Result = ();

    fn handle(&mut self, part: HitsPart, _: &mut Self::Context) {
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
        let sums = std::mem::replace(&mut self.sums, empty(&self.hasher));
        let hits = SortedHits::new(sums);
        self.writer.send(EpochPart { cut: part.cut, part: Part::Hits(hits) });
    }
}

fn empty(hasher: &KeyHasher) -> Vec<Delta> {
    ROLLUPS.iter().map(|_| Delta::new(hasher.clone())).collect()
}
