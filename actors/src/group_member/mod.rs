//! `GroupMember`: takes up and lets go partitions as the group says, and cuts epochs.

mod cutter;
pub mod kafka;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, ArbiterHandle, AsyncContext, Context, Handler, Recipient,
    WrapFuture,
};
use hitstream_domain::progress::{Offset, PartitionId, PartitionProgress};
use hitstream_domain::rollup::KeyHasher;
use tracing::{debug, info, warn};

pub use cutter::Cutter;

use crate::backoff::Backoff;
use crate::consumer::{FoldSettings, PartitionConsumer, PartitionFold};
use crate::enricher::Enricher;
use crate::finalizer::Finalizer;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link, Obituary};
use crate::messages::{
    Cut, CutEpoch, Drain, EndReason, EpochCommitted, Fatal, GenerationEnded, ReadUntil,
    RecordBatch, SourceEvent,
};
use crate::refuse::RefuseList;
use crate::settings::{OnDataLoss, Settings};
use crate::source::{Feed, PartitionRange, Source, SourceError, TopicDescription};
use crate::store::{Store, StoreError, TopicProgress};
use crate::window::WindowShard;
use crate::writer::Writer;

/// How often limits and the interval are looked at.
const TICK: Duration = Duration::from_millis(5);
/// How often to find out whether brokers answer, where patience with them is limited.
const LOOK_AT_BROKERS: Duration = Duration::from_secs(5);
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
    draining: bool,
    has_left: bool,
}

/// The end of each partition as first seen; all generations of a run go to the same.
pub type EndOffsets = Arc<OnceLock<Arc<Vec<(PartitionId, Offset)>>>>;

/// What a [`GroupMember`] is made of.
pub struct MemberParts {
    /// The generation it belongs to.
    pub generation: u64,
    /// Settings of the pipeline.
    pub settings: Settings,
    /// Where records come from.
    pub source: Arc<dyn Source>,
    /// The ends to reach under `run --until-end`, once they are known.
    pub ends: EndOffsets,
    /// Where progress is.
    pub store: Arc<dyn Store>,
    /// Where memory is accounted.
    pub intake: Arc<Intake>,
    /// Hashes keys for all actors of the generation.
    pub hasher: KeyHasher,
    /// What PostgreSQL refused before.
    pub refuse: Arc<RefuseList>,
    /// Threads to put consumers on.
    pub threads: Vec<ArbiterHandle>,
    /// All window shards.
    pub shards: Vec<Link<WindowShard>>,
    /// All enrichers.
    pub enrichers: Vec<Link<Enricher>>,
    /// The writer.
    pub writer: Link<Writer>,
    /// The finalizer.
    pub finalizer: Link<Finalizer>,
    /// Who is told that the generation cannot go on.
    pub ended: Recipient<GenerationEnded>,
    /// Whom deaths are reported to.
    pub obituary: Obituary,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

impl GroupMember {
    /// A member that attaches to the source when it starts.
    pub fn new(parts: MemberParts) -> Self {
        Self {
            parts,
            cutter: Cutter::default(),
            since_cut: Duration::ZERO,
            consumers: BTreeMap::new(),
            leaving: BTreeSet::new(),
            letting_go: None,
            draining: false,
            has_left: false,
        }
    }

    fn end(&self, reason: EndReason) {
        self.parts.ended.do_send(GenerationEnded { generation: self.parts.generation, reason });
    }

    /// Cuts an epoch if one is due and may be.
    fn try_cut(&mut self) {
        if self.consumers.is_empty() {
            self.finish_drain();
            return;
        }
        let Some(epoch) = self.cutter.cut() else { return };
        let cut = Cut { epoch, consumers: self.consumers.len() };
        self.since_cut = Duration::ZERO;
        // First the account, then the cut: what is decoded in between counts for the new epoch, never for none.
        self.parts.intake.new_epoch();
        for (partition, consumer) in &self.consumers {
            consumer.send(CutEpoch { cut, is_last: self.leaving.contains(partition) });
        }
        if !self.leaving.is_empty() {
            self.letting_go = Some((epoch, std::mem::take(&mut self.leaving)));
        }
    }

    /// Lets go what was revoked, once the epoch that holds its last records is committed.
    fn let_go(&mut self, committed: u64) {
        let Some((_, gone)) = self.letting_go.take_if(|(last, _)| committed >= *last) else {
            return;
        };
        self.consumers.retain(|partition, _| !gone.contains(partition));
        if self.draining && self.consumers.is_empty() {
            self.finish_drain();
        } else {
            self.parts.source.release(gone.into_iter().collect());
        }
    }

    /// Ends when the brokers do not answer for longer than `patience`: the client itself would wait for ever.
    fn watch_brokers(&self, patience: Duration, ctx: &mut Context<Self>) {
        let source = Arc::clone(&self.parts.source);
        let watching = async move {
            let mut backoff =
                Backoff::new(LOOK_AT_BROKERS, LOOK_AT_BROKERS).with_patience(Some(patience));
            loop {
                tokio::time::sleep(LOOK_AT_BROKERS).await;
                match source.describe(ASK_BROKERS).await {
                    Ok(_) => backoff.reset(),
                    Err(error) if backoff.is_exhausted() => return error,
                    Err(_) => drop(backoff.next_wait()),
                }
            }
        };
        ctx.spawn(watching.into_actor(self).map(|error, member, _| {
            member.end(EndReason::Fatal(Fatal::OutOfReach(format!("Kafka: {error}"))));
        }));
    }

    fn finish_drain(&mut self) {
        if self.draining && self.consumers.is_empty() && !self.has_left {
            self.has_left = true;
            self.parts.source.leave();
        }
    }

    /// Takes partitions up: rows first, then from where their progress is.
    fn take_up(&mut self, partitions: Vec<PartitionId>, ctx: &mut Context<Self>) {
        let opening = open(
            Arc::clone(&self.parts.source),
            Arc::clone(&self.parts.store),
            self.parts.settings.patience,
        );
        // No message is handled meanwhile: a revocation must find the consumers it is about.
        ctx.wait(opening.into_actor(self).map(move |opened, member, _| match opened {
            Ok((topic, progress)) => {
                if let Err(fatal) = member.start_consumers(&partitions, &topic, &progress) {
                    member.end(EndReason::Fatal(fatal));
                }
            }
            Err(fatal) => member.end(EndReason::Fatal(fatal)),
        }));
    }

    fn start_consumers(
        &mut self,
        partitions: &[PartitionId],
        topic: &TopicDescription,
        progress: &TopicProgress,
    ) -> Result<(), Fatal> {
        if self.parts.settings.until_end {
            let ends = self.parts.ends.get_or_init(|| {
                Arc::new(topic.partitions.iter().map(|at| (at.partition, at.high)).collect())
            });
            self.parts.finalizer.send(ReadUntil(Arc::clone(ends)));
        }
        let incarnation = progress.incarnation;
        let mut feeds = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let range = topic.partitions.iter().find(|range| range.partition == *partition);
            let (Some(range), Some(progress)) = (range, progress.partitions.get(partition)) else {
                continue; // deleted since
            };
            let from = first_offset(range, progress, self.parts.settings.kafka.on_data_loss)?;
            feeds.push(self.start_consumer(progress, incarnation, from));
        }
        // The group waits for an answer, also where nothing is left to read; without a question there is none.
        if !partitions.is_empty() {
            self.parts.source.feed(feeds);
        }
        Ok(())
    }

    fn start_consumer(
        &mut self,
        progress: &PartitionProgress,
        incarnation: i32,
        from: Offset,
    ) -> Feed {
        let partition = progress.partition;
        debug!(%partition, %from, "taking a partition up");
        let parts = &self.parts;
        let stop_at = parts.ends.get().and_then(|ends| {
            ends.iter().find(|(ending, _)| *ending == partition).map(|(_, end)| *end)
        });
        let settings = FoldSettings {
            topic: parts.settings.kafka.topic.as_str().into(),
            incarnation,
            rules: parts.settings.rules,
            hasher: parts.hasher.clone(),
            shards: parts.shards.len(),
            enrichers: parts.settings.store_events.then_some(parts.enrichers.len()),
            refuse: Arc::clone(&parts.refuse),
        };
        let consumer = PartitionConsumer {
            fold: PartitionFold::new(settings, *progress, from, stop_at),
            epoch: self.cutter.accumulating(),
            intake: Arc::clone(&parts.intake),
            shards: parts.shards.clone(),
            enrichers: parts.enrichers.clone(),
            writer: parts.writer.clone(),
            has_ended: false,
            watch: parts.obituary.watch("PartitionConsumer"),
        };
        let at = usize::try_from(partition.0).unwrap_or(0) % parts.threads.len().max(1);
        let addr = match parts.threads.get(at) {
            Some(thread) => PartitionConsumer::start_in_arbiter(thread, |_| consumer),
            None => consumer.start(),
        };
        let link = Link::new(addr, "PartitionConsumer", &parts.obituary);
        self.consumers.insert(partition, link.clone());
        Feed { partition, from, sink: Box::new(move |batch: RecordBatch| link.send(batch)) }
    }
}

impl Actor for GroupMember {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.parts.source.attach(ctx.address().recipient(), Arc::clone(&self.parts.intake));
        ctx.run_interval(TICK, |member, _| {
            member.since_cut += TICK;
            if member.since_cut >= member.parts.settings.flush.interval
                || member.parts.intake.is_full()
            {
                member.cutter.ask();
            }
            member.try_cut();
        });
        if self.parts.settings.until_end {
            // The ends to reach are known at once, also to a member that is never given a partition.
            self.take_up(Vec::new(), ctx);
        }
        if let Some(patience) = self.parts.settings.patience {
            self.watch_brokers(patience, ctx);
        }
    }
}

impl Handler<SourceEvent> for GroupMember {
    type Result = ();

    fn handle(&mut self, event: SourceEvent, ctx: &mut Self::Context) {
        match event {
            // What is given to a member about to leave goes to another; but the group waits for an answer.
            SourceEvent::Assigned(_) if self.draining => self.parts.source.feed(Vec::new()),
            SourceEvent::Assigned(partitions) => self.take_up(partitions, ctx),
            SourceEvent::Revoked(partitions) => {
                let (ours, others): (Vec<_>, Vec<_>) = partitions
                    .into_iter()
                    .partition(|partition| self.consumers.contains_key(partition));
                if !others.is_empty() {
                    self.parts.source.release(others);
                }
                self.leaving.extend(ours);
                self.cutter.ask();
                self.try_cut();
            }
            SourceEvent::Failed(SourceError::Configuration(reason)) => {
                self.end(EndReason::Fatal(Fatal::Mismatch(reason)));
            }
            SourceEvent::Failed(error) => {
                warn!(%error, "the source failed");
                ctx.stop(); // reported as this actor's death: a new generation starts
            }
            SourceEvent::Left => {
                self.end(EndReason::Drained);
            }
        }
    }
}

impl Handler<EpochCommitted> for GroupMember {
    type Result = ();

    fn handle(&mut self, committed: EpochCommitted, _: &mut Self::Context) {
        self.cutter.committed(committed.epoch);
        if !committed.offsets.is_empty() {
            self.parts.source.publish_offsets(committed.offsets);
        }
        self.let_go(committed.epoch);
        self.try_cut();
    }
}

impl Handler<Drain> for GroupMember {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        info!("cutting and committing a last epoch");
        self.draining = true;
        self.parts.intake.close();
        self.leaving.extend(self.consumers.keys());
        self.cutter.ask();
        self.try_cut();
    }
}

/// Describes the topic and puts rows first, trying for as long as it takes.
async fn open(
    source: Arc<dyn Source>,
    store: Arc<dyn Store>,
    patience: Option<Duration>,
) -> Result<(TopicDescription, TopicProgress), Fatal> {
    let mut backoff =
        Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).with_patience(patience);
    loop {
        let reason = match source.describe(ASK_BROKERS).await {
            Ok(topic) => match store.open_topic(&topic).await {
                Ok(progress) => return Ok((topic, progress)),
                Err(StoreError::Mismatch(reason)) => return Err(Fatal::Mismatch(reason)),
                Err(error) => format!("PostgreSQL: {error}"),
            },
            Err(SourceError::Configuration(reason)) => return Err(Fatal::Mismatch(reason)),
            Err(error) => format!("Kafka: {error}"),
        };
        if backoff.is_exhausted() {
            return Err(Fatal::OutOfReach(reason));
        }
        let wait = backoff.next_wait();
        warn!(%reason, retry_in = ?wait, "the topic cannot be opened; trying again");
        tokio::time::sleep(wait).await;
    }
}

/// Where to read on, or why that cannot be.
fn first_offset(
    range: &PartitionRange,
    progress: &PartitionProgress,
    on_data_loss: OnDataLoss,
) -> Result<Offset, Fatal> {
    let (partition, next) = (range.partition, progress.next_offset);
    if next > range.high {
        return Err(Fatal::Mismatch(format!(
            "partition {partition} ends at offset {} in Kafka, but records up to {next} are in PostgreSQL: the topic was \
             truncated or restored. Use another schema or database for what it holds now",
            range.high
        )));
    }
    if next >= range.low {
        return Ok(next);
    }
    let missing = format!("offsets {next} to {} of partition {partition}", range.low.0 - 1);
    if on_data_loss == OnDataLoss::Continue {
        warn!(missing, "Kafka no longer has records that were not read; counted as lost");
        return Ok(range.low);
    }
    Err(Fatal::Mismatch(format!(
        "Kafka no longer has {missing}, which were never read. Give the topic a longer retention; to go on without \
         them, set kafka.on_data_loss = \"continue\": they are then counted as lost in the ledger"
    )))
}
