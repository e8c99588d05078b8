//! `PartitionConsumer`: turns the records of one partition into sums, events and rejects, and ends its epochs.

mod fold;

use std::sync::Arc;

use actix::{Actor, Context, Handler};
use hitstream_domain::rollup::Pairs;

pub use fold::{FoldSettings, PartitionFold};

use crate::clock;
use crate::enricher::Enricher;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link};
use crate::messages::{CutEpoch, EpochPart, EventBatch, EventsEnd, HitsPart, Part, RecordBatch};
use crate::window::WindowShard;
use crate::writer::Writer;

/// The place of the `web_traffic` rollup in `ROLLUPS`.
const WEB_TRAFFIC_AT: usize = 0;

/// Reads one partition.
pub struct PartitionConsumer {
    /// The state of the partition, pure.
    pub fold: PartitionFold,
    /// The accumulating epoch.
    pub epoch: u64,
    /// Where memory is accounted.
    pub intake: Arc<Intake>,
    /// All window shards, in the order of their numbers.
    pub shards: Vec<Link<WindowShard>>,
    /// All enrichers, in the order of their numbers.
    pub enrichers: Vec<Link<Enricher>>,
    /// Where the epoch's part goes.
    pub writer: Link<Writer>,
    /// Whether the last epoch was cut. The actor ends when nobody can send to it any more: the source may go on for a
    /// while, and must not find a closed mailbox.
    pub has_ended: bool,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

impl Actor for PartitionConsumer {
    type Context = Context<Self>;
}

impl Handler<RecordBatch> for PartitionConsumer {
    type Result = ();

    fn handle(&mut self, batch: RecordBatch, _: &mut Self::Context) {
        if self.has_ended {
            return;
        }
        let (keys, bytes) = (self.fold.keys(), self.fold.bytes());
        let now = clock::now();
        let mut events = 0;
        batch.records.for_each(&mut |record| {
            self.fold.record(record, now);
            events += 1;
        });
        if let Some(end) = batch.end {
            self.fold.ended_at(end);
        }
        let grown = self.fold.bytes().saturating_sub(bytes);
        self.intake.decoded(events, self.fold.keys().saturating_sub(keys), grown);
        for (enricher, events) in self.enrichers.iter().zip(self.fold.take_events()) {
            if !events.is_empty() {
                enricher.send(EventBatch { epoch: self.epoch, events });
            }
        }
    }
}

impl Handler<CutEpoch> for PartitionConsumer {
    type Result = ();

    fn handle(&mut self, CutEpoch { cut, is_last }: CutEpoch, _: &mut Self::Context) {
        let (part, sums) = self.fold.cut();
        self.epoch = cut.epoch + 1;
        for (shard, delta) in self.shards.iter().zip(sums) {
            shard.send(HitsPart { cut, deltas: vec![(WEB_TRAFFIC_AT, delta)] });
        }
        for enricher in &self.enrichers {
            enricher.send(EventsEnd(cut));
        }
        self.writer.send(EpochPart { cut, part: Part::Partition(part) });
        if is_last {
            self.has_ended = true;
            self.watch.retire();
        }
    }
}

/// Adds pairs to a ledger.
pub(crate) fn book(ledger: &mut hitstream_domain::progress::Ledger, pairs: Pairs) {
    ledger.counted = ledger.counted.saturating_add(pairs.on_time);
    ledger.late = ledger.late.saturating_add(pairs.late);
}
