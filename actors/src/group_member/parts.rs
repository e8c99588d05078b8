//! What a `GroupMember` is made of, and how it makes consumers of that.

use std::sync::{Arc, OnceLock};

use actix::{Actor, ArbiterHandle, Recipient};
use hitstream_domain::idle::IdleWatch;
use hitstream_domain::progress::{Offset, PartitionId, PartitionProgress};
use hitstream_domain::rollup::KeyHasher;
use tracing::debug;

use crate::clock;
use crate::consumer::{FoldSettings, PartitionConsumer, PartitionFold};
use crate::enricher::{Enricher, RowLayout};
use crate::finalizer::Finalizer;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link, Obituary};
use crate::messages::{GenerationEnded, StopReached};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::refuse::RefuseList;
use crate::settings::Settings;
use crate::source::Source;
use crate::store::Store;
use crate::window::WindowShard;
use crate::writer::Writer;

/// The end of each partition as first seen; all generations of a run go to the same.
pub type EndOffsets = Arc<OnceLock<Arc<Vec<(PartitionId, Offset)>>>>;

/// What a [`super::GroupMember`] is made of.
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
    /// What is measured.
    pub metrics: Metrics,
    /// Who asks whether the group is joined and the topic can be opened.
    pub readiness: Readiness,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

impl MemberParts {
    /// Starts the consumer of a partition whose first epoch is `epoch`.
    pub(super) fn start_consumer(
        &self,
        progress: &PartitionProgress,
        incarnation: i32,
        from: Offset,
        epoch: u64,
        at_stop: Recipient<StopReached>,
    ) -> Link<PartitionConsumer> {
        let partition = progress.partition;
        debug!(%partition, %from, "taking a partition up");
        let delay = self.settings.rules.delay;
        let watermark = progress.max_event_time.map(|latest| latest.minus(delay));
        self.metrics.partitions.begin(partition, from, watermark);
        let ends = self.ends.get().map(|ends| ends.as_slice()).unwrap_or_default();
        let end = ends.iter().find(|(ending, _)| *ending == partition);
        let settings = FoldSettings {
            topic: self.settings.kafka.topic.as_str().into(),
            incarnation,
            rules: self.settings.rules,
            hasher: self.hasher.clone(),
            shards: self.shards.len(),
            enrichers: self.enrichers.len(),
            layout: RowLayout::of(self.settings.store_events),
            sums_by_place: !self.settings.enrich.rollups.is_empty(),
            refuse: Arc::clone(&self.refuse),
            keep: Arc::clone(&self.settings.keep),
        };
        let consumer = PartitionConsumer {
            fold: PartitionFold::new(settings, *progress, from, end.map(|(_, end)| *end)),
            idle: (!self.settings.until_end)
                .then(|| IdleWatch::new(clock::monotonic(), self.settings.idle_timeout)),
            source: Arc::clone(&self.source),
            epoch,
            intake: Arc::clone(&self.intake),
            shards: self.shards.clone(),
            enrichers: self.enrichers.clone(),
            writer: self.writer.clone(),
            at_stop: Some(at_stop),
            has_ended: false,
            consumed: self.metrics.consumed_records.clone(),
            watch: self.obituary.watch("PartitionConsumer"),
        };
        let at = usize::try_from(partition.0).unwrap_or(0) % self.threads.len().max(1);
        let addr = match self.threads.get(at) {
            Some(thread) => PartitionConsumer::start_in_arbiter(thread, |_| consumer),
            None => consumer.start(),
        };
        Link::new(addr, "PartitionConsumer", &self.obituary)
    }
}
