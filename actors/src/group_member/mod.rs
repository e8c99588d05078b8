//! `GroupMember`: takes up and lets go partitions as the group says, and cuts epochs.

mod cutter;
pub mod kafka;
mod lookout;
mod opening;
mod parts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use hitstream_domain::progress::PartitionId;
use tracing::{Instrument, error_span, info, warn};

pub use cutter::{Cutter, Rhythm};
pub use parts::{EndOffsets, MemberParts};

use self::lookout::Lookout;
use self::opening::Unopened;

use crate::clock;
use crate::consumer::PartitionConsumer;
use crate::faults::fault_point;
use crate::link::{DeathWatch, HEARTBEAT, Link, Watched};
use crate::messages::{
    Cut, CutEpoch, Drain, EndReason, EpochCommitted, Fatal, GenerationEnded, ReadUntil,
    RecordBatch, SourceEvent, StopReached, TopicOpened,
};
use crate::source::{Attachment, Feed, SourceError, TopicDescription};
use crate::store::TopicProgress;

/// How often limits and the interval are looked at.
const TICK: Duration = Duration::from_millis(5);
/// How long one question to the brokers may take.
const ASK_BROKERS: Duration = Duration::from_secs(10);

/// Owns the partitions that the group gives to this instance, and the rhythm of epochs.
pub struct GroupMember {
    /// What it needs from outside; fixed for the generation.
    pub parts: MemberParts,
    cutter: Cutter,
    since_cut: Duration,
    consumers: BTreeMap<PartitionId, Link<PartitionConsumer>>,
    /// Partitions to be let go, whose last epoch is still accumulating.
    leaving: BTreeSet<PartitionId>,
    /// Those whose last epoch is on its way; they are let go when it is committed.
    letting_go: Option<(u64, BTreeSet<PartitionId>)>,
    /// When to give up committing before partitions are let go.
    revocation_limit: Option<SpawnHandle>,
    lookout: Lookout,
    /// The topic whose progress is moved on, once it was opened.
    topic: Option<OpenTopic>,
    opening: Option<Opening>,
    /// What the group did while the topic was being opened: a revocation must find the consumers it is about.
    unheard: VecDeque<Change>,
    draining: bool,
    has_left: bool,
}

/// One topic for the whole generation.
struct OpenTopic {
    id: String,
    incarnation: i32,
}

/// The topic is being opened, for these partitions or for none in particular.
struct Opening {
    handle: SpawnHandle,
    is_answer: bool,
    /// Why the brokers' part of it has not been done yet.
    unopened: Unopened,
}

/// What the group does with partitions.
enum Change {
    Assigned(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
    Left,
}

impl GroupMember {
    /// A member that attaches to the source when it starts.
    pub fn new(parts: MemberParts) -> Self {
        Self {
            lookout: Lookout::new(parts.settings.patience),
            topic: None,
            parts,
            cutter: Cutter::default(),
            since_cut: Duration::ZERO,
            consumers: BTreeMap::new(),
            leaving: BTreeSet::new(),
            letting_go: None,
            revocation_limit: None,
            opening: None,
            unheard: VecDeque::new(),
            draining: false,
            has_left: false,
        }
    }

    fn end(&self, reason: EndReason) {
        self.parts.ended.do_send(GenerationEnded { generation: self.parts.generation, reason });
    }

    /// Whether the accumulating epoch is old enough.
    fn is_epoch_over(&self) -> bool {
        let rhythm = self.parts.settings.rhythm();
        self.since_cut >= rhythm.interval && {
            let uncommitted = self.parts.metrics.partitions.lag().unwrap_or(0);
            let held = self.parts.intake.held().records;
            rhythm.is_over(self.cutter.accumulating(), self.since_cut, held, uncommitted)
        }
    }

    /// Cuts an epoch if one is due and may be.
    fn try_cut(&mut self) {
        if self.consumers.is_empty() {
            self.finish_drain();
            return;
        }
        let Some(epoch) = self.cutter.cut() else { return };
        fault_point!("member::cut");
        let cut = Cut { epoch, consumers: self.consumers.len(), at: clock::monotonic() };
        self.since_cut = Duration::ZERO;
        // First the account, then the cut: what is decoded in between counts for the new epoch, never for none.
        self.parts.intake.begin(self.cutter.accumulating());
        for (partition, consumer) in &self.consumers {
            consumer.send(CutEpoch { cut, is_last: self.leaving.contains(partition) });
        }
        if !self.leaving.is_empty() {
            self.letting_go = Some((epoch, std::mem::take(&mut self.leaving)));
        }
    }

    /// Lets go what was revoked, once the epoch that holds its last records is committed.
    fn let_go(&mut self, committed: u64, ctx: &mut Context<Self>) {
        let Some((_, gone)) = self.letting_go.take_if(|(last, _)| committed >= *last) else {
            return;
        };
        fault_point!("member::let_go");
        self.lift_limit(ctx);
        self.consumers.retain(|partition, _| !gone.contains(partition));
        for partition in &gone {
            self.parts.metrics.partitions.end(*partition);
        }
        if self.draining && self.consumers.is_empty() {
            self.finish_drain();
        } else {
            self.parts.source.release(self.parts.generation, gone.into_iter().collect());
        }
    }

    fn finish_drain(&mut self) {
        if self.draining && self.consumers.is_empty() && !self.has_left {
            self.has_left = true;
            self.parts.source.leave(self.parts.generation);
        }
    }

    /// Takes partitions up: rows first, then from where their progress is.
    fn take_up(&mut self, partitions: Vec<PartitionId>, ctx: &mut Context<Self>) {
        // The group waits for an answer, also where nothing is left to read; without a question there is none.
        let is_answer = !partitions.is_empty();
        let (parts, unopened) = (&self.parts, Unopened::default());
        let opening = opening::open(
            Arc::clone(&parts.source),
            Arc::clone(&parts.store),
            partitions.clone(),
            parts.readiness.clone(),
            unopened.clone(),
            parts.settings.patience,
        );
        let opening = opening.instrument(error_span!("GroupMember"));
        let handle = ctx.spawn(opening.into_actor(self).map(move |opened, member, ctx| {
            member.opening = None;
            fault_point!("member::opened");
            let feeds = opened.map_err(EndReason::Fatal).and_then(|(topic, progress)| {
                member.start_consumers(&partitions, &topic, &progress, ctx)
            });
            match feeds {
                Ok(feeds) if is_answer => member.parts.source.feed(member.parts.generation, feeds),
                Ok(_) => {}
                Err(reason) => member.end(reason),
            }
            member.hear(ctx);
        }));
        self.opening = Some(Opening { handle, is_answer, unopened });
    }

    /// All that a generation reads is of one topic: parts of two would be committed as one.
    fn bind(&mut self, topic: &TopicDescription, incarnation: i32) -> Result<(), EndReason> {
        let id = topic.topic_id.clone();
        match &self.topic {
            None => self.parts.writer.send(TopicOpened(id.clone())),
            Some(open) if open.incarnation != incarnation => return Err(EndReason::TopicRecreated),
            Some(_) => return Ok(()),
        }
        self.topic = Some(OpenTopic { id, incarnation });
        Ok(())
    }

    fn start_consumers(
        &mut self,
        partitions: &[PartitionId],
        topic: &TopicDescription,
        progress: &TopicProgress,
        ctx: &Context<Self>,
    ) -> Result<Vec<Feed>, EndReason> {
        self.bind(topic, progress.incarnation)?;
        if self.parts.settings.until_end {
            let ends = self.parts.ends.get_or_init(|| {
                Arc::new(topic.partitions.iter().map(|at| (at.partition, at.high)).collect())
            });
            self.parts.finalizer.send(ReadUntil(Arc::clone(ends)));
        }
        let incarnation = progress.incarnation;
        let on_data_loss = self.parts.settings.kafka.on_data_loss;
        let mut feeds = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            let range = topic.partitions.iter().find(|range| range.partition == partition);
            let (Some(range), Some(progress)) = (range, progress.partitions.get(&partition)) else {
                continue; // the topic was opened with all of them
            };
            let from =
                opening::first_offset(range, progress, on_data_loss).map_err(EndReason::Fatal)?;
            let epoch = self.cutter.accumulating();
            let at_stop = ctx.address().recipient();
            let consumer = self.parts.start_consumer(progress, incarnation, from, epoch, at_stop);
            self.consumers.insert(partition, consumer.clone());
            let sink = Box::new(move |batch: RecordBatch| consumer.send(batch));
            feeds.push(Feed { partition, from, sink });
        }
        Ok(feeds)
    }

    /// Does what the group did, in its order, as far as nothing is being opened.
    fn hear(&mut self, ctx: &mut Context<Self>) {
        while self.opening.is_none()
            && let Some(change) = self.unheard.pop_front()
        {
            match change {
                // What is given to a member about to leave goes to another; but the group waits for an answer.
                Change::Assigned(_) if self.draining => {
                    self.parts.source.feed(self.parts.generation, Vec::new())
                }
                Change::Assigned(partitions) => self.take_up(partitions, ctx),
                Change::Revoked(partitions) => self.revoked(partitions, ctx),
                Change::Left => self.end(EndReason::Drained),
            }
        }
    }

    /// Cuts a last epoch of what was taken back, to let it go when that is committed, or when it takes too long.
    fn revoked(&mut self, partitions: Vec<PartitionId>, ctx: &mut Context<Self>) {
        fault_point!("member::revoked");
        if !partitions.iter().any(|partition| self.consumers.contains_key(partition)) {
            self.parts.source.release(self.parts.generation, partitions);
            return self.lift_limit(ctx);
        }
        // All of them together: one answer is all that the group takes.
        self.leaving.extend(partitions);
        self.limit_revocation(ctx);
        self.cutter.ask();
        self.try_cut();
    }

    /// Ends the generation unless what was taken back is let go in time.
    fn limit_revocation(&mut self, ctx: &mut Context<Self>) {
        let limit = self.parts.settings.kafka.revocation_limit();
        if self.revocation_limit.is_none() {
            self.revocation_limit = Some(ctx.run_later(limit, move |member, _| {
                warn!(
                    ?limit,
                    "partitions taken back are not committed in time; what was read since the last commit is void"
                );
                member.end(EndReason::RevokedUncommitted);
            }));
        }
    }

    /// Nothing that was taken back is left to be let go.
    fn lift_limit(&mut self, ctx: &mut Context<Self>) {
        if self.leaving.is_empty()
            && self.letting_go.is_none()
            && let Some(limit) = self.revocation_limit.take()
        {
            ctx.cancel_future(limit);
        }
    }
}

impl Watched for GroupMember {
    fn watch(&self) -> &DeathWatch {
        &self.parts.watch
    }
}

impl Actor for GroupMember {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
        self.parts.source.attach(Attachment {
            generation: self.parts.generation,
            events: ctx.address().recipient(),
            intake: Arc::clone(&self.parts.intake),
            partitions: self.parts.metrics.partitions.clone(),
            watch: self.parts.obituary.watch("KafkaPoller"),
        });
        ctx.run_interval(TICK, |member, _| {
            member.since_cut += TICK;
            if member.parts.intake.is_full() || member.is_epoch_over() {
                member.cutter.ask();
            }
            member.try_cut();
        });
        ctx.run_interval(HEARTBEAT, |member, _| member.judge());
        // Also a member that is never given a partition sees what does not fit, and the ends to reach.
        self.take_up(Vec::new(), ctx);
        self.look_out(ctx);
    }
}

impl Handler<SourceEvent> for GroupMember {
    type Result = ();

    /// What the group does waits for its turn; what the source says of itself holds now, whatever is being opened.
    fn handle(&mut self, event: SourceEvent, ctx: &mut Self::Context) {
        match event {
            SourceEvent::Assigned(partitions) => {
                self.unheard.push_back(Change::Assigned(partitions))
            }
            SourceEvent::Revoked(partitions) => {
                // The group waits from now on, also while the topic is being opened.
                self.limit_revocation(ctx);
                self.unheard.push_back(Change::Revoked(partitions));
            }
            SourceEvent::Left => self.unheard.push_back(Change::Left),
            SourceEvent::Joined | SourceEvent::IsMember => {
                self.lookout.has_joined = true;
                self.lookout.is_worried = true;
                self.lookout.refused = None;
                self.judge();
            }
            SourceEvent::Refused(reason) => {
                self.lookout.has_joined = false;
                self.lookout.refused = Some(reason);
                self.judge();
            }
            SourceEvent::BrokersAway(reason) => self.worry(reason),
            SourceEvent::Failed(SourceError::Configuration(reason)) => {
                return self.end(EndReason::Fatal(Fatal::Mismatch(reason)));
            }
            SourceEvent::Failed(error) => {
                return self.end(EndReason::SourceFailed(error.to_string()));
            }
        }
        self.hear(ctx);
    }
}

impl Handler<EpochCommitted> for GroupMember {
    type Result = ();

    fn handle(&mut self, committed: EpochCommitted, ctx: &mut Self::Context) {
        self.cutter.committed(committed.epoch);
        if !committed.offsets.is_empty() {
            self.parts.source.publish_offsets(self.parts.generation, committed.offsets);
        }
        self.let_go(committed.epoch, ctx);
        self.try_cut();
    }
}

impl Handler<StopReached> for GroupMember {
    type Result = ();

    /// What is read is committed without waiting for more.
    fn handle(&mut self, _: StopReached, _: &mut Self::Context) {
        self.cutter.ask();
        self.try_cut();
    }
}

impl Handler<Drain> for GroupMember {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) {
        info!("cutting and committing a last epoch");
        self.draining = true;
        self.parts.intake.close();
        if let Some(opening) = self.opening.take() {
            ctx.cancel_future(opening.handle);
            if opening.is_answer {
                self.parts.source.feed(self.parts.generation, Vec::new());
            }
        }
        self.hear(ctx);
        self.leaving.extend(self.consumers.keys());
        self.cutter.ask();
        self.try_cut();
    }
}
