//! The whole graph of one generation, sink first, on one page.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Recipient};
use hitstream_domain::rollup::KeyHasher;

use crate::backoff::Backoff;
use crate::enricher::{DailyKeyHandle, Enricher, EnricherParts, Providers, RowLayout};
use crate::finalizer::{Beside, Finalizer, Round};
use crate::group_member::{EndOffsets, GroupMember, MemberParts};
use crate::intake::Intake;
use crate::link::{Link, Obituary};
use crate::messages::{ActorDied, EpochCommitted, GenerationEnded};
use crate::metrics::{Metrics, Pools};
use crate::readiness::Readiness;
use crate::refuse::RefuseList;
use crate::settings::Settings;
use crate::source::Source;
use crate::store::{Claims, Store};
use crate::window::WindowShard;
use crate::writer::{EpochAssembly, PartsExpected, TellCommits, Writer};

/// What every generation is made from.
#[derive(Clone)]
pub struct Blueprint {
    /// Settings of the pipeline.
    pub settings: Settings,
    /// Where records come from; outlives generations.
    pub source: Arc<dyn Source>,
    /// Where results go; outlives generations.
    pub store: Arc<dyn Store>,
    /// Who knows where visitors are; outlives generations.
    pub providers: Providers,
    /// What addresses are hashed with; outlives generations.
    pub daily_key: DailyKeyHandle,
    /// Beside the supervisor, who wants to know of commits.
    pub observers: Vec<Recipient<EpochCommitted>>,
    /// Whether the pipeline works, for whoever asks.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
}

/// One set of actors, from spawn to end. Nothing in it survives it.
pub struct Generation {
    number: u64,
    control: Arbiter,
    data: Vec<Arbiter>,
    obituary: Obituary,
    /// The actor that takes orders.
    pub group_member: Addr<GroupMember>,
}

impl Generation {
    /// Spawns all actors but the consumers, which the `GroupMember` spawns as partitions are assigned.
    pub fn spawn(
        number: u64,
        blueprint: &Blueprint,
        refuse: Arc<RefuseList>,
        ends: EndOffsets,
        ended: Recipient<GenerationEnded>,
        died: Recipient<ActorDied>,
    ) -> Self {
        let Blueprint {
            settings,
            source,
            store,
            providers,
            daily_key,
            observers,
            readiness,
            metrics,
        } = blueprint;
        let obituary = Obituary::new(died, number);
        let hasher = KeyHasher::default();
        let intake = Arc::new(Intake::new(settings.flush));
        metrics.partitions.clear();
        let (mailboxes, pools) = (obituary.mailboxes().clone(), settings.pools);
        let pools = Pools { enrichers: settings.enrichers(), shards: pools.window_shards };
        metrics.live().begin(Arc::clone(&intake), mailboxes, readiness.clone(), pools);
        let control = Arbiter::new();
        let data: Vec<Arbiter> =
            (0..settings.pools.threads.max(1)).map(|_| Arbiter::new()).collect();
        let mut threads = data.iter().map(Arbiter::handle).cycle();
        let mut next_thread = || threads.next().unwrap_or_else(|| control.handle());

        let expected =
            PartsExpected { shards: settings.pools.window_shards, enrichers: settings.enrichers() };
        let writer = {
            let (store, source) = (Arc::clone(store), Arc::clone(source));
            let (ended, watch) = (ended.clone(), obituary.watch("Writer"));
            let (committed, patience) = (observers.clone(), settings.patience);
            let (readiness, metrics) = (readiness.clone(), metrics.clone());
            Writer::start_in_arbiter(&control.handle(), move |_| Writer {
                generation: number,
                store,
                source,
                topic_id: None,
                assembly: EpochAssembly::new(expected),
                committed,
                ended,
                patience,
                committing_since: None,
                readiness,
                metrics,
                watch,
            })
        };
        let to_writer = Link::new(writer, "Writer", &obituary);

        let shards: Vec<Link<WindowShard>> = (0..expected.shards)
            .map(|_| {
                let (hasher, writer) = (hasher.clone(), to_writer.clone());
                let (intake, refuse) = (Arc::clone(&intake), Arc::clone(&refuse));
                let watch = obituary.watch("WindowShard");
                let shard = WindowShard::start_in_arbiter(&next_thread(), move |_| {
                    WindowShard::new(hasher, refuse, expected.enrichers, intake, writer, watch)
                });
                Link::new(shard, "WindowShard", &obituary)
            })
            .collect();

        let enrichers: Vec<Link<Enricher>> = (0..expected.enrichers)
            .map(|_| {
                let parts = EnricherParts {
                    providers: providers.clone(),
                    cached_addresses: cached_addresses(settings, expected.enrichers),
                    refuse: Arc::clone(&refuse),
                    deadline: settings.enrich.deadline,
                    layout: RowLayout::of(settings.store_events),
                    keep: Arc::clone(&settings.keep),
                    daily_key: daily_key.clone(),
                    rollups: settings.enrich.rollups.clone(),
                    hasher: hasher.clone(),
                    intake: Arc::clone(&intake),
                    lookups: metrics.geo_lookups.clone(),
                    shards: shards.clone(),
                    writer: to_writer.clone(),
                    watch: obituary.watch("Enricher"),
                };
                let enricher =
                    Enricher::start_in_arbiter(&next_thread(), move |_| Enricher::new(parts));
                Link::new(enricher, "Enricher", &obituary)
            })
            .collect();

        let finalizer = {
            let (store, ended, watch) =
                (Arc::clone(store), ended.clone(), obituary.watch("Finalizer"));
            let (rules, readiness) = (settings.rules, readiness.clone());
            let metrics = metrics.clone();
            let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5))
                .with_patience(settings.patience);
            let claims = if settings.until_end { Claims::Ignored } else { Claims::Valid };
            Finalizer::start_in_arbiter(&control.handle(), move |_| Finalizer {
                generation: number,
                store,
                rules,
                until: None,
                claims,
                ended,
                readiness,
                metrics,
                round: Round::default(),
                beside: Beside::default(),
                backoff,
                watch,
            })
        };
        to_writer.send(TellCommits(finalizer.clone().recipient()));

        let parts = MemberParts {
            generation: number,
            settings: settings.clone(),
            source: Arc::clone(source),
            store: Arc::clone(store),
            intake,
            hasher,
            refuse,
            ends,
            threads: data.iter().map(Arbiter::handle).collect(),
            shards,
            enrichers,
            writer: to_writer.clone(),
            finalizer: Link::new(finalizer, "Finalizer", &obituary),
            ended,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            watch: obituary.watch("GroupMember"),
            obituary: obituary.clone(),
        };
        let group_member =
            GroupMember::start_in_arbiter(&control.handle(), move |_| GroupMember::new(parts));
        to_writer.send(TellCommits(group_member.clone().recipient()));
        Self { number, control, data, obituary, group_member }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// An actor that hangs, and for how long it has.
    pub fn stalled(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        self.obituary.stalled(limit)
    }

    /// Ends it: all actors and all they hold are dropped with their threads.
    pub fn end(self, source: &dyn Source) {
        source.detach();
        self.control.stop();
        for arbiter in &self.data {
            arbiter.stop();
        }
    }
}

/// One enricher's share of the addresses that are cached.
fn cached_addresses(settings: &Settings, enrichers: usize) -> NonZeroUsize {
    NonZeroUsize::new(settings.enrich.cached_addresses / enrichers.max(1))
        .unwrap_or(NonZeroUsize::MIN)
}
