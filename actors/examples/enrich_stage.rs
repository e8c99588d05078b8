//! Measures the enrich stage: how many events a second one enricher completes, and what its cache takes. docs/BENCHMARKS.md
//! has what came of it.
//!
//! `cargo run --release -p hitstream-actors --example enrich_stage`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    dead_code,
    reason = "a measurement, with the tests' own server"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter, AsyncContext, Context};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use hitstream_actors::enricher::database::DatabaseHandle;
use hitstream_actors::enricher::ip2location::{Ip2Location, Ip2LocationSettings, MemoryLocations};
use hitstream_actors::enricher::{
    DailyKeyHandle, EVENT_FIELDS, Enricher, EnricherParts, Provider, Providers, RemoteLocator,
    RowLayout,
};
use hitstream_actors::intake::Intake;
use hitstream_actors::link::{Link, Obituary};
use hitstream_actors::messages::EventBatch;
use hitstream_actors::metrics::Metrics;
use hitstream_actors::packed::{Day, PackedRows};
use hitstream_actors::settings::{FlushLimits, KeepSettings};
use hitstream_actors::supervisor::PipelineSupervisor;
use hitstream_actors::window::WindowShard;
use hitstream_actors::writer::Writer;
use hitstream_domain::geo::{GeoSource, GeoStatus, Location, address};
use hitstream_domain::privacy::Privacy;
use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::Watermark;
use hitstream_domain::window::WindowSpec;

#[path = "../../tests/support/ip2location.rs"]
mod server;

const BATCH: usize = 1_000;
const EVENTS: usize = 200_000;
const ROUNDS: usize = 5;
/// `enrich.cached_addresses`, and its share where there are two enrichers.
const CACHED: usize = 100_000;
const SHARE: usize = CACHED / 2;
/// Addresses that the service is asked about in a round.
const ASKED: usize = 4_000;

/// An enricher whose rows and sums go nowhere.
struct Stage {
    enricher: Addr<Enricher>,
    arbiter: Arbiter,
    /// Mailboxes that nobody empties.
    _sinks: (Context<PipelineSupervisor>, Context<Writer>, Context<WindowShard>),
}

impl Stage {
    fn start(providers: Vec<Provider>, addresses: usize, layout: RowLayout) -> Self {
        let sinks = (Context::new(), Context::new(), Context::new());
        let (supervisor, writer, shard): &(
            Context<PipelineSupervisor>,
            Context<Writer>,
            Context<WindowShard>,
        ) = &sinks;
        let obituary = Obituary::new(supervisor.address().recipient(), 0);
        let most = usize::MAX / 2;
        let interval = Duration::from_secs(1);
        let limits = FlushLimits {
            interval,
            catch_up_interval: interval,
            max_keys: most,
            max_events: most,
            max_bytes: most,
        };
        let parts = EnricherParts {
            lookups: Metrics::new().geo_lookups,
            providers: Providers::new(providers),
            cached_addresses: NonZeroUsize::new(addresses).unwrap(),
            refuse: Arc::default(),
            deadline: Duration::from_secs(60),
            layout,
            keep: Arc::new(KeepSettings {
                client: None,
                privacy: Privacy::default(),
                payloads: true,
            }),
            daily_key: DailyKeyHandle::default(),
            // By country, as by default, wherever rows are made.
            rollups: if layout == RowLayout::Event { vec![1] } else { Vec::new() },
            hasher: Default::default(),
            intake: Arc::new(Intake::new(limits)),
            shards: vec![Link::new(shard.address(), "WindowShard", &obituary)],
            writer: Link::new(writer.address(), "Writer", &obituary),
            watch: obituary.watch("Enricher"),
        };
        let arbiter = Arbiter::new();
        let enricher = Enricher::start_in_arbiter(&arbiter.handle(), move |_| Enricher::new(parts));
        Self { enricher, arbiter, _sinks: sinks }
    }

    async fn complete(&self, batches: Vec<EventBatch>) {
        for batch in batches {
            self.enricher.send(batch).await.unwrap();
        }
    }

    /// Drops the enricher and all it holds.
    fn end(self) {
        self.arbiter.stop();
        self.arbiter.join().unwrap();
    }
}

/// Events as consumers pack them, one of each address.
fn batches(addresses: &[IpAddr], layout: RowLayout) -> Vec<EventBatch> {
    let time = EventTime::from_micros(1_700_000_000_000_000);
    let minutes = Duration::from_secs(300);
    let windows = WindowSpec::new(minutes, minutes).unwrap();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
    let pack = |addresses: &[IpAddr]| {
        let (mut events, mut watermark) = (PackedRows::default(), Watermark::new(None, minutes));
        let mut placements = Vec::new();
        for (at, ip) in addresses.iter().enumerate() {
            let (ip, host) = (ip.to_string(), format!("host-{}.example", at % 200));
            match layout {
                RowLayout::Event => {
                    events.begin(i16::try_from(EVENT_FIELDS.len()).unwrap());
                    events.text(Some("hits")).int(0).int(0).bigint(0);
                    events.time(Some(time)).time(Some(time)).text(Some(&host));
                    events.text(Some("https://search.example/results")).text(Some("/a/page.html"));
                    events.text(Some(agent)).text(Some(&ip)).text(Some(r#"{"Accept":"*/*"}"#));
                    placements.push(watermark.place(time, &windows));
                }
                RowLayout::HostAndIp => {
                    events.begin(2).text(Some(&host)).text(Some(&ip));
                }
            }
            events.end(PartitionId(0), Offset(0), Day::of(time));
        }
        EventBatch { epoch: 0, events, placements }
    };
    addresses.chunks(BATCH).map(pack).collect()
}

/// Public addresses all over IPv4, the same in every run; hardly one comes twice.
struct Random(u64);

impl Random {
    fn addresses(&mut self, count: usize) -> Vec<IpAddr> {
        let mut next = || {
            // splitmix64
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            IpAddr::V4(Ipv4Addr::from_bits((z >> 32) as u32))
        };
        let public = std::iter::from_fn(|| Some(next()));
        public.filter(|ip| address(&ip.to_string()).is_ok()).take(count).collect()
    }
}

/// Knows a city of its own for each address, at once.
struct Cities;

impl RemoteLocator for Cities {
    fn source(&self) -> GeoSource {
        GeoSource::Ip2Location
    }

    fn locate(&self, ip: IpAddr, _: u32) -> BoxFuture<'static, Result<Location, GeoStatus>> {
        let text = |what: &str| Some(Arc::from(format!("{what} of {ip}")));
        let location = Location {
            country_code: Some("DE".into()),
            country: Some("Germany".into()),
            region: text("Region"),
            city: text("City"),
            latitude: Some(52.5),
            longitude: Some(13.25),
            time_zone: Some("+01:00".into()),
            asn: Some(64_500),
            as_name: text("Network"),
        };
        ready(Ok(location)).boxed()
    }
}

/// Prints the median of some rounds, and the least and the greatest.
fn report(what: &str, unit: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (median, least, most) = (values[values.len() / 2], values[0], values[values.len() - 1]);
    println!("{what}: {median:.2} ({least:.2} to {most:.2}) {unit}");
}

fn per_second(events: usize, begun: Instant) -> f64 {
    events as f64 / begun.elapsed().as_secs_f64() / 1e6
}

fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1e6
}

fn database() -> Vec<Provider> {
    let database = DatabaseHandle::embedded(Metrics::new()).unwrap();
    vec![Provider::Database(Arc::new(database))]
}

async fn rates(random: &mut Random) {
    let providers = database();
    let (mut cached, mut uncached) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let known = random.addresses(10_000);
        let stage = Stage::start(providers.clone(), CACHED, RowLayout::Event);
        stage.complete(batches(&known, RowLayout::Event)).await;
        let again: Vec<IpAddr> = known.iter().copied().cycle().take(EVENTS).collect();
        let work = batches(&again, RowLayout::Event);
        let begun = Instant::now();
        stage.complete(work).await;
        cached.push(per_second(EVENTS, begun));
        stage.end();

        let stage = Stage::start(providers.clone(), CACHED, RowLayout::Event);
        // Full from the start, as it is in the long run.
        stage.complete(batches(&random.addresses(CACHED), RowLayout::Event)).await;
        let work = batches(&random.addresses(EVENTS), RowLayout::Event);
        let begun = Instant::now();
        stage.complete(work).await;
        uncached.push(per_second(EVENTS, begun));
        stage.end();
    }
    report("cached", "million events/s", cached);
    report("database, random addresses", "million events/s", uncached);
}

async fn service(random: &mut Random) {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let server = server::Ip2LocationServer::start(|_| server::Reply::located("SE"));
        let settings = Ip2LocationSettings {
            base_url: server.base_url(),
            key: None,
            root_ca: None,
            timeout: Duration::from_secs(20),
            concurrency: NonZeroUsize::new(8).unwrap(),
            per_second: NonZeroU32::MAX,
            budget: None,
            retries: 2,
            negative_ttl: Duration::from_secs(60),
            keep_for: None,
            failing_rest: Duration::from_secs(10),
            refused_rest: Duration::from_secs(1800),
        };
        let metrics = Metrics::new();
        let store = Arc::new(MemoryLocations::default());
        let remote = Ip2Location::start(settings, store, metrics.clone()).unwrap();
        let providers = vec![Provider::Remote(Arc::new(remote))];
        let stage = Stage::start(providers, CACHED, RowLayout::Event);
        let work = batches(&random.addresses(ASKED), RowLayout::Event);
        let begun = Instant::now();
        stage.complete(work).await;
        let located = metrics.ip2location_lookups.with_label_values(&["located"]);
        while located.get() < ASKED as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rates.push(per_second(ASKED, begun) * 1e3);
        stage.end();
    }
    report("IP2Location.io, 8 at a time, no limit a second", "thousand events/s", rates);
}

async fn memory(random: &mut Random, what: &str, providers: Vec<Provider>) {
    let (mut one, mut all) = (Vec::new(), Vec::new());
    // Kept, so that no round finds memory that another has freed.
    let mut stages = Vec::new();
    for _ in 0..ROUNDS {
        let before = resident_mb();
        for found in [&mut one, &mut all] {
            let stage = Stage::start(providers.clone(), SHARE, RowLayout::HostAndIp);
            for _ in 0..SHARE / BATCH {
                let addresses = random.addresses(BATCH);
                stage.complete(batches(&addresses, RowLayout::HostAndIp)).await;
            }
            found.push(resident_mb() - before);
            stages.push(stage);
        }
    }
    report(&format!("cache of one enricher, {SHARE} addresses, {what}"), "MB", one);
    report(&format!("caches of two, {CACHED} addresses, {what}"), "MB", all);
    stages.into_iter().for_each(Stage::end);
}

fn main() {
    actix::System::new().block_on(async {
        let mut random = Random(20_261_124);
        memory(&mut random, "countries of the database", database()).await;
        let cities = vec![Provider::Remote(Arc::new(Cities))];
        memory(&mut random, "a city of its own each", cities).await;
        rates(&mut random).await;
        service(&mut random).await;
    });
}
