//! `PartitionConsumer`: turns the records of one partition into sums, events and rejects, and ends its epochs.

mod fold;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use hitstream_domain::idle::IdleWatch;
use hitstream_domain::rollup::Pairs;
use prometheus::IntCounter;
use tracing::{Span, debug, error_span};

pub use fold::{FoldSettings, PartitionFold};

use crate::clock;
use crate::enricher::Enricher;
use crate::faults::fault_point;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link, Watched};
use crate::messages::{
    CutEpoch, EpochPart, EventBatch, EventsEnd, HitsEnd, Part, RecordBatch, StopReached,
};
use crate::source::Source;
use crate::window::{MAX_PRESUMMED_KEYS, WindowShard, hand_on};
use crate::writer::Writer;

/// The place of the `web_traffic` rollup in `ROLLUPS`.
const WEB_TRAFFIC_AT: usize = 0;

/// How often to look whether the partition is quiet.
const LOOK_AT_QUIET: Duration = Duration::from_millis(200);

/// Reads one partition.
pub struct PartitionConsumer {
    /// The state of the partition, pure.
    pub fold: PartitionFold,
    /// Grounds for claims that the partition is idle, where such are made.
    pub idle: Option<IdleWatch>,
    /// Whom to ask where the partition ends.
    pub source: Arc<dyn Source>,
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
    /// Who is told, once, that the last wanted record is read.
    pub at_stop: Option<Recipient<StopReached>>,
    /// Whether the last epoch was cut. The actor ends when nobody can send to it any more: the source may go on for a
    /// while, and must not find a closed mailbox.
    pub has_ended: bool,
    /// Counts what it takes.
    pub consumed: IntCounter,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

impl PartitionConsumer {
    /// What each line tells that is written on behalf of this actor, also by a panic.
    fn span(&self) -> Span {
        error_span!("PartitionConsumer", partition = %self.fold.partition(), epoch = self.epoch)
    }

    /// Sends what was summed so far to the shards.
    fn hand_sums_on(&mut self) {
        let (of, sums) = (self.fold.range(), self.fold.take_sums());
        hand_on(&self.shards, self.epoch, Some(of), WEB_TRAFFIC_AT, sums);
    }

    /// Asks the broker where the partition ends, if it was quiet for long enough, and again once that is answered.
    fn look_at_quiet(&mut self, ctx: &mut Context<Self>) {
        let asked_at = clock::monotonic();
        let is_due = self.idle.is_some_and(|idle| idle.is_due(asked_at)) && !self.has_ended;
        if !is_due {
            ctx.run_later(LOOK_AT_QUIET, Self::look_at_quiet);
            return;
        }
        let asking = self.source.end_of(self.fold.partition());
        ctx.spawn(asking.into_actor(self).map(move |answer, consumer, ctx| {
            match (answer, &mut consumer.idle) {
                (Ok(end), Some(idle)) => {
                    consumer.fold.claim(idle.prove(asked_at, end, consumer.fold.next_offset()));
                }
                (Err(error), _) => {
                    consumer.span().in_scope(|| debug!(%error, "the partition's end is not known"));
                }
                (Ok(_), None) => {}
            }
            ctx.run_later(LOOK_AT_QUIET, Self::look_at_quiet);
        }));
    }
}

impl Watched for PartitionConsumer {
    fn watch(&self) -> &DeathWatch {
        &self.watch
    }
}

impl Actor for PartitionConsumer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
        if self.idle.is_some() {
            self.look_at_quiet(ctx);
        }
    }
}

impl Handler<RecordBatch> for PartitionConsumer {
    type Result = ();

    fn handle(&mut self, batch: RecordBatch, _: &mut Self::Context) {
        self.watch.handles();
        if self.has_ended {
            return;
        }
        let _span = self.span().entered();
        if let Some(range) = batch.records.range() {
            self.watch.working_on(range);
        }
        fault_point!("consumer::before_batch");
        let (keys, bytes, accepted) = (self.fold.keys(), self.fold.bytes(), self.fold.accepted());
        let now = clock::now();
        let mut events = 0;
        batch.records.for_each(&mut |record| {
            self.fold.record(record, now);
            events += 1;
        });
        if let Some(end) = batch.end {
            self.fold.ended_at(end);
        }
        if self.fold.accepted() > accepted
            && let Some(idle) = &mut self.idle
        {
            idle.accepted(clock::monotonic());
        }
        self.consumed.inc_by(events as u64);
        let grown = self.fold.bytes().saturating_sub(bytes);
        self.intake.decoded(events, self.fold.keys().saturating_sub(keys), grown);
        for (enricher, (events, placements)) in self.enrichers.iter().zip(self.fold.take_events()) {
            if !events.is_empty() {
                enricher.send(EventBatch { epoch: self.epoch, events, placements });
            }
        }
        if self.fold.keys() >= MAX_PRESUMMED_KEYS {
            self.hand_sums_on();
        }
        if self.fold.has_reached_stop()
            && let Some(whom) = self.at_stop.take()
        {
            whom.do_send(StopReached);
        }
        fault_point!("consumer::after_batch");
    }
}

impl Handler<CutEpoch> for PartitionConsumer {
    type Result = ();

    fn handle(&mut self, CutEpoch { cut, is_last }: CutEpoch, _: &mut Self::Context) {
        self.watch.handles();
        let _span = self.span().entered();
        fault_point!("consumer::before_cut");
        self.hand_sums_on();
        let part = self.fold.cut();
        self.epoch = cut.epoch + 1;
        for shard in &self.shards {
            shard.send(HitsEnd(cut));
        }
        for enricher in &self.enrichers {
            enricher.send(EventsEnd(cut));
        }
        fault_point!("consumer::amid_cut");
        self.writer.send(EpochPart { cut, part: Part::Partition(Box::new(part)) });
        if is_last {
            self.has_ended = true;
            self.watch.retire();
        }
        fault_point!("consumer::after_cut");
    }
}

/// Adds pairs to a ledger.
pub(crate) fn book(ledger: &mut hitstream_domain::progress::Ledger, pairs: Pairs) {
    ledger.counted = ledger.counted.saturating_add(pairs.on_time);
    ledger.late = ledger.late.saturating_add(pairs.late);
}
