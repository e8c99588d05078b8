//! `Enricher`: one of a pool that finds out where visitors are, completes their events and sums the rollups that group by
//! place. Each address is one enricher's, so that it lives in one cache.
//!
//! An epoch waits for remote answers at most `enrich.deadline`: what is not known by then is stored and counted without.

mod answer;
mod daily_key;
pub mod database;
pub mod ip2location;
mod locator;
mod lookups;
mod row;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use futures::FutureExt;
use hitstream_domain::geo::GeoStatus;
use hitstream_domain::privacy::{DailyKey, IpPrivacy};
use hitstream_domain::rollup::{KeyHasher, Presum, ROLLUPS};
use hitstream_domain::watermark::Placement;
use prometheus::IntCounterVec;
use tracing::error_span;
use tracing::field::display;

pub(crate) use self::answer::{is_located, without_place};
pub use self::daily_key::DailyKeyHandle;
pub use self::locator::{Provider, Providers, RemoteLocator};
pub use self::row::RowLayout;
pub(crate) use self::row::split_place;

use self::answer::Answer;
use self::locator::{Locator, Look};
use self::lookups::Lookups;
use crate::clock;
use crate::faults::fault_point;
use crate::intake::Intake;
use crate::link::{DeathWatch, Link, Watched};
use crate::messages::{Cut, EpochPart, EventBatch, EventsEnd, HitsEnd, Located, Part};
use crate::packed::{FrozenRows, PackedRows, RowOrigin};
use crate::refuse::RefuseList;
use crate::settings::KeepSettings;
use crate::window::{MAX_PRESUMMED_KEYS, WindowShard, hand_on};
use crate::writer::Writer;

/// Columns of `processed_events` in the order in which they are sent.
pub const EVENT_FIELDS: &[&str] = &[
    "topic",
    "incarnation",
    "partition",
    "\"offset\"",
    "kafka_time",
    "event_time",
    "host",
    "referrer",
    "url",
    "user_agent",
    "ip",
    "headers",
    "geo_source",
    "geo_status",
    "country_code",
    "country",
    "region",
    "city",
    "latitude",
    "longitude",
    "time_zone",
    "asn",
    "as_name",
];

/// How many columns that is, as a row's header has it.
pub(crate) const EVENT_COLUMNS: i16 = 23;

/// The enricher, of `count`, that looks after an address, so that each address lives in one cache.
pub(crate) fn enricher_for(ip: Option<&str>, hasher: &KeyHasher, count: usize) -> usize {
    hasher.shard(ip, count)
}

/// Completes events, keyed by IP.
pub struct Enricher {
    parts: EnricherParts,
    locator: Locator,
    /// What is at work, by epoch: consumers pass a cut one after another, so that two epochs overlap here.
    epochs: BTreeMap<u64, Work>,
    /// Addresses that somebody is asked about, each once, also after their hits have ceased to wait.
    asked: HashSet<IpAddr>,
    /// Hits that wait for a remote answer.
    parked: HashMap<IpAddr, Vec<Parked>>,
    /// Consumers whose events of the ending epoch are all here.
    marks: usize,
    /// Looks that are not counted yet.
    told: Lookups,
    /// Room in which batches are completed, one after another.
    packing: PackedRows,
}

/// What an [`Enricher`] is made of.
pub struct EnricherParts {
    /// Who knows where addresses are.
    pub providers: Providers,
    /// How many addresses it keeps in its cache.
    pub cached_addresses: NonZeroUsize,
    /// What PostgreSQL refused before.
    pub refuse: Arc<RefuseList>,
    /// `enrich.deadline`: how long an epoch waits for remote answers once all its events are here.
    pub deadline: Duration,
    /// How rows come; only events are stored.
    pub layout: RowLayout,
    /// What is kept of addresses once they are located.
    pub keep: Arc<KeepSettings>,
    /// What they are hashed with, where that is kept.
    pub daily_key: DailyKeyHandle,
    /// The rollups to sum, by their places in `ROLLUPS`.
    pub rollups: Vec<usize>,
    /// Hashes keys, the same for all who exchange sums.
    pub hasher: KeyHasher,
    /// Where memory is accounted.
    pub intake: Arc<Intake>,
    /// Counts looks at where visitors are, by provider and outcome.
    pub lookups: IntCounterVec,
    /// Where sums go, by host.
    pub shards: Vec<Link<WindowShard>>,
    /// Where completed events go.
    pub writer: Link<Writer>,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

/// One epoch's share.
struct Work {
    /// Completed events, a piece for each batch.
    rows: Vec<FrozenRows>,
    /// Completed events that had to wait, each by itself.
    loose: PackedRows,
    /// One for each of the rollups that are summed here.
    sums: Vec<Presum>,
    /// Hits of it that wait for an answer.
    parked: usize,
    /// The cut, once all events are here.
    cut: Option<Cut>,
}

/// A hit as it comes.
struct Hit<'a> {
    origin: RowOrigin,
    row: &'a [u8],
    /// Its windows, where rollups are summed.
    placement: Option<Placement>,
}

/// A hit whose visitor somebody has been asked about.
struct Parked {
    epoch: u64,
    origin: RowOrigin,
    row: Box<[u8]>,
    placement: Option<Placement>,
}

impl Enricher {
    /// An enricher without events.
    pub fn new(parts: EnricherParts) -> Self {
        let (providers, refuse) = (parts.providers.clone(), Arc::clone(&parts.refuse));
        let locator = Locator::new(providers, parts.cached_addresses, refuse);
        Self {
            parts,
            locator,
            epochs: BTreeMap::new(),
            asked: HashSet::new(),
            parked: HashMap::new(),
            marks: 0,
            told: Lookups::default(),
            packing: PackedRows::default(),
        }
    }

    fn work(&mut self, epoch: u64) -> &mut Work {
        work_of(&mut self.epochs, &self.parts, epoch)
    }

    /// Asks about each address, with the hits that it has in this batch.
    fn ask(&mut self, asked: HashMap<(IpAddr, usize), u32>, ctx: &Context<Self>) {
        for ((ip, place), hits) in asked {
            let (answer, me) = (self.locator.ask(place, ip, hits), ctx.address());
            if !self.asked.insert(ip) {
                // It is being asked for: these hits only make it more urgent, and nobody waits for them twice.
                let _ = answer.now_or_never();
                continue;
            }
            // Where it is not answered, by whatever fault, the deadline ends the wait.
            actix::spawn(async move {
                let said = answer.await;
                me.do_send(Located { ip, place, said });
            });
        }
    }

    /// Completes hits that had to wait.
    fn complete_parked(&mut self, parked: Vec<Parked>, answer: &Answer) {
        let key = self.parts.daily_key.current();
        for Parked { epoch, origin, row, placement } in parked {
            let work = work_of(&mut self.epochs, &self.parts, epoch);
            work.parked = work.parked.saturating_sub(1);
            let mut rows = std::mem::take(&mut work.loose);
            let hit = Hit { origin, row: &row, placement };
            let (keys, bytes) = work.held();
            work.complete(&self.parts, hit, answer, key.as_ref(), &mut rows);
            let (keys_now, bytes_now) = work.held();
            let grown = bytes_now.saturating_sub(bytes) + answer.columns().len();
            self.parts.intake.decoded(0, keys_now.saturating_sub(keys), grown);
            work.loose = rows;
            if work.loose.bytes() >= MOST_LOOSE_BYTES {
                work.tidy(&self.parts.intake, epoch);
            }
        }
    }

    /// Hands an epoch over if it was cut and nothing of it waits.
    fn try_hand_over(&mut self, epoch: u64) {
        let Some(work) = self.epochs.get(&epoch) else { return };
        let (Some(cut), 0) = (work.cut, work.parked) else { return };
        let Some(mut work) = self.epochs.remove(&epoch) else { return };
        fault_point!("enricher::before_handing_over");
        work.hand_sums_on(&self.parts, epoch);
        work.tidy(&self.parts.intake, epoch);
        for shard in &self.parts.shards {
            shard.send(HitsEnd(cut));
        }
        self.parts.writer.send(EpochPart { cut, part: Part::Events(work.rows) });
        fault_point!("enricher::after_handing_over");
    }

    /// The deadline of an epoch is over: what it still waits for is not known in time.
    fn give_up(&mut self, epoch: u64) {
        if !self.epochs.contains_key(&epoch) {
            return; // all was answered in time
        }
        let addresses: Vec<IpAddr> = self.parked.keys().copied().collect();
        for ip in addresses {
            let Some(parked) = self.parked.remove(&ip) else { continue };
            let (over, waiting): (Vec<_>, Vec<_>) =
                parked.into_iter().partition(|parked| parked.epoch == epoch);
            if !waiting.is_empty() {
                self.parked.insert(ip, waiting);
            }
            if !over.is_empty() {
                let answer = self.locator.conclude_without_remote(ip, GeoStatus::Timeout);
                self.told.add(answer.outcome(), over.len() as u64);
                self.told.flush(&self.parts.lookups);
                self.complete_parked(over, &answer);
            }
        }
        self.try_hand_over(epoch);
    }
}

fn work_of<'a>(
    epochs: &'a mut BTreeMap<u64, Work>,
    parts: &EnricherParts,
    epoch: u64,
) -> &'a mut Work {
    epochs.entry(epoch).or_insert_with(|| {
        let presum = |_: &usize| Presum::new(parts.hasher.clone(), parts.shards.len());
        let sums = parts.rollups.iter().map(presum).collect();
        Work { rows: Vec::new(), loose: PackedRows::default(), sums, parked: 0, cut: None }
    })
}

impl Work {
    /// Adds one hit to the rows and the sums.
    fn complete(
        &mut self,
        parts: &EnricherParts,
        hit: Hit<'_>,
        answer: &Answer,
        key: Option<&DailyKey>,
        rows: &mut PackedRows,
    ) {
        let Hit { origin, row, placement } = hit;
        if let Some(placement) = placement {
            let (host, _) = parts.layout.read(row);
            for (sums, place) in self.sums.iter_mut().zip(&parts.rollups) {
                let dimensions = ROLLUPS.get(*place).map_or(&[][..], |rollup| rollup.dimensions);
                let others = dimensions.iter().skip(1).map(|of| answer.dimension(*of));
                sums.add(host, others, placement.clone());
            }
        }
        if parts.layout == RowLayout::Event {
            if parts.keep.privacy.ip == IpPrivacy::Full {
                rows.fields(row);
            } else {
                let (_, ip) = parts.layout.read(row);
                let (before, after) = parts.layout.around_ip(row);
                let kept = ip.and_then(|ip| parts.keep.privacy.ip(ip, key));
                rows.fields(before).text(kept.as_deref()).fields(after);
            }
            rows.fields(answer.columns());
            rows.end(origin.partition, origin.offset, origin.day);
        }
    }

    /// Distinct keys summed and not handed on, and their bytes.
    fn held(&self) -> (usize, usize) {
        let keys = self.sums.iter().map(Presum::len).sum();
        (keys, self.sums.iter().map(Presum::bytes).sum())
    }

    /// Makes one piece of what came one by one.
    fn tidy(&mut self, intake: &Intake, epoch: u64) {
        if !self.loose.is_empty() {
            let before = self.loose.bytes();
            let rows = self.loose.freeze();
            intake.repacked(epoch, before, rows.bytes());
            self.rows.push(rows);
        }
    }

    fn hand_sums_on(&mut self, parts: &EnricherParts, epoch: u64) {
        for (sums, rollup) in self.sums.iter_mut().zip(&parts.rollups) {
            hand_on(&parts.shards, epoch, None, *rollup, sums.take());
        }
    }
}

impl Watched for Enricher {
    fn watch(&self) -> &DeathWatch {
        &self.parts.watch
    }
}

impl Actor for Enricher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
    }
}

impl Handler<EventBatch> for Enricher {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, ctx: &mut Self::Context) {
        self.parts.watch.handles();
        let EventBatch { epoch, events, placements } = batch;
        let partition = events.range().map(|range| display(range.partition));
        let _span = error_span!("Enricher", partition, epoch).entered();
        if let Some(range) = events.range() {
            self.parts.watch.working_on(range);
        }
        fault_point!("enricher::events");
        self.locator.refresh();
        let (now, key) = (clock::monotonic(), self.parts.daily_key.current());
        let work = work_of(&mut self.epochs, &self.parts, epoch);
        let (keys, bytes) = work.held();
        let mut rows = std::mem::take(&mut self.packing);
        if self.parts.layout == RowLayout::Event {
            rows.reserve(events.len(), events.bytes() + events.len() * TYPICAL_GEO_BYTES);
        }
        let mut asked: HashMap<(IpAddr, usize), u32> = HashMap::new();
        let (mut placements, mut parked_bytes) = (placements.into_iter(), 0);
        for (origin, row) in events.rows() {
            let placement = placements.next();
            let (_, ip) = self.parts.layout.read(row);
            match self.locator.look(ip, now) {
                Look::Known { answer, is_cached } => {
                    self.told.add(
                        if is_cached { answer.outcome().cached() } else { answer.outcome() },
                        1,
                    );
                    let hit = Hit { origin, row, placement };
                    work.complete(&self.parts, hit, &answer, key.as_ref(), &mut rows);
                }
                Look::Ask(ip, place) => {
                    *asked.entry((ip, place)).or_default() += 1;
                    work.parked += 1;
                    parked_bytes += row.len() + size_of::<RowOrigin>();
                    let parked = Parked { epoch, origin, row: row.into(), placement };
                    self.parked.entry(ip).or_default().push(parked);
                }
            }
        }
        let (keys_now, bytes_now) = work.held();
        let frozen = rows.freeze();
        self.packing = rows;
        let intake = &self.parts.intake;
        intake.decoded(0, keys_now.saturating_sub(keys), bytes_now.saturating_sub(bytes));
        intake.repacked(epoch, events.bytes(), frozen.bytes() + parked_bytes);
        if keys_now >= MAX_PRESUMMED_KEYS {
            work.hand_sums_on(&self.parts, epoch);
        }
        if !frozen.is_empty() {
            work.rows.push(frozen);
        }
        self.told.flush(&self.parts.lookups);
        self.ask(asked, ctx);
    }
}

impl Handler<Located> for Enricher {
    type Result = ();

    fn handle(&mut self, Located { ip, place, said }: Located, _: &mut Self::Context) {
        self.asked.remove(&ip);
        let answer = self.locator.learn(place, ip, said, clock::monotonic());
        let Some(parked) = self.parked.remove(&ip) else { return };
        self.told.add(answer.outcome(), parked.len() as u64);
        self.told.flush(&self.parts.lookups);
        let mut epochs: Vec<u64> = parked.iter().map(|parked| parked.epoch).collect();
        epochs.dedup();
        self.complete_parked(parked, &answer);
        for epoch in epochs {
            self.try_hand_over(epoch);
        }
    }
}

impl Handler<EventsEnd> for Enricher {
    type Result = ();

    fn handle(&mut self, EventsEnd(cut): EventsEnd, ctx: &mut Self::Context) {
        self.parts.watch.handles();
        self.marks += 1;
        if self.marks < cut.consumers {
            return;
        }
        self.marks = 0;
        self.work(cut.epoch).cut = Some(cut);
        self.try_hand_over(cut.epoch);
        if self.epochs.contains_key(&cut.epoch) {
            ctx.run_later(self.parts.deadline, move |enricher, _| enricher.give_up(cut.epoch));
        }
    }
}

/// So much makes a piece of what came one by one.
const MOST_LOOSE_BYTES: usize = 64 << 10;

/// What the geographic columns of a row take, more or less.
const TYPICAL_GEO_BYTES: usize = 96;
