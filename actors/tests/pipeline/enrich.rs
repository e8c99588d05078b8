//! Remote answers: who is asked, how long an epoch waits, and what becomes of hits without an answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_actors::enricher::{Provider, Providers, RemoteLocator};
use hitstream_domain::geo::{GeoSource, GeoStatus, Location};
use tokio::sync::watch;

use crate::model::{Hit, Record};
use crate::stage::{Stage, minutes, until};

/// A provider that knows where even addresses are, does not know odd ones, and never answers about those that end in 9.
#[derive(Default)]
struct Remote {
    asked: Mutex<Vec<(IpAddr, u32)>>,
}

impl RemoteLocator for Remote {
    fn source(&self) -> GeoSource {
        GeoSource::Ip2Location
    }

    fn locate(&self, ip: IpAddr, hits: u32) -> BoxFuture<'static, Result<Location, GeoStatus>> {
        self.asked.lock().unwrap().push((ip, hits));
        let IpAddr::V4(v4) = ip else { panic!("{ip}") };
        let last = v4.octets()[3];
        async move {
            if last % 10 == 9 {
                return std::future::pending().await;
            }
            actix::clock::sleep(Duration::from_millis(u64::from(last))).await;
            let country_code = Some(Arc::from(if last < 4 { "AA" } else { "BB" }));
            let known = Location { country_code, ..Location::default() };
            if last % 2 == 0 { Ok(known) } else { Err(GeoStatus::NotFound) }
        }
        .boxed()
    }
}

fn hit_from(ip: &str) -> Record {
    let time = 1_700_000_000_000_000;
    let value = format!(r#"{{"event_time":{time},"host":"a","ip":"{ip}"}}"#);
    let hit = Hit { time, host: Some("a".to_owned()), referrer: None };
    Record { value: Some(value.into_bytes()), timestamp: None, truth: Ok(hit) }
}

fn stage(addresses: &[&str], deadline: Duration) -> (Stage, Arc<Remote>) {
    let topic = vec![addresses.iter().map(|ip| hit_from(ip)).collect()];
    let mut stage = Stage::with_topic(minutes(), topic);
    let remote = Arc::new(Remote::default());
    stage.providers = Providers::new(vec![Provider::Remote(Arc::clone(&remote) as _)]);
    stage.settings.enrich.deadline = deadline;
    (stage, remote)
}

#[actix::test]
async fn hits_wait_for_their_visitors_to_be_located() {
    let addresses = ["8.8.8.2", "8.8.8.4", "8.8.8.2", "8.8.8.3", "192.168.0.2", "no address"];
    let (stage, remote) = stage(&addresses, Duration::from_secs(60));
    stage.run(&stage.source(100)).await;
    stage.check();
    let tables = stage.store.tables();
    let found = |offset| tables.places[&(0, offset)].clone().map(|text| text.unwrap_or_default());
    assert_eq!(found(0), ["ip2location", "", "AA"]);
    assert_eq!(found(1), ["ip2location", "", "BB"]);
    assert_eq!(found(2), found(0));
    assert_eq!(found(3), ["", "not_found", ""]);
    assert_eq!(found(4), ["", "private", ""]);
    assert_eq!(found(5), ["", "invalid_ip", ""]);
    let by_country = |code: Option<&str>| -> u64 {
        let of = tables
            .by_place
            .iter()
            .filter(|((rollup, _, _, country), _)| *rollup == 1 && country.as_deref() == code);
        of.map(|(_, hits)| hits).sum()
    };
    assert_eq!([Some("AA"), Some("BB"), None].map(by_country), [2, 1, 3]);
    let mut asked = remote.asked.lock().unwrap().clone();
    asked.sort();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(asked, [(ip("8.8.8.2"), 2), (ip("8.8.8.3"), 1), (ip("8.8.8.4"), 1)]);
}

#[actix::test]
async fn provider_that_never_answers_costs_an_epoch_the_deadline_and_nothing_else() {
    let deadline = Duration::from_millis(300);
    let (stage, _) = stage(&["8.8.8.9", "8.8.8.2", "8.8.8.9"], deadline);
    let begin = Instant::now();
    stage.run(&stage.source(100)).await;
    assert!(begin.elapsed() >= deadline, "{:?}", begin.elapsed());
    stage.check();
    let places = stage.store.tables().places;
    let statuses: Vec<_> = places.values().map(|[_, status, _]| status.as_deref()).collect();
    assert_eq!(statuses, [Some("timeout"), None, Some("timeout")]);
}

/// A provider that answers nobody until it is allowed to, and knows how many wait for each address.
struct Slow {
    is_open: watch::Sender<bool>,
    waiting: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// Somebody who waits.
struct Waiting(Arc<Mutex<BTreeMap<IpAddr, usize>>>, IpAddr);

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.0.lock().unwrap().entry(self.1).or_default() -= 1;
    }
}

impl RemoteLocator for Slow {
    fn source(&self) -> GeoSource {
        GeoSource::Ip2Location
    }

    fn locate(&self, ip: IpAddr, _: u32) -> BoxFuture<'static, Result<Location, GeoStatus>> {
        let (mut is_open, waiting) = (self.is_open.subscribe(), Arc::clone(&self.waiting));
        async move {
            *waiting.lock().unwrap().entry(ip).or_default() += 1;
            let _waiting = Waiting(waiting, ip);
            let _ = is_open.wait_for(|is_open| *is_open).await;
            Ok(Location { country_code: Some("AA".into()), ..Location::default() })
        }
        .boxed()
    }
}

#[actix::test]
async fn batches_behind_a_slow_provider_are_bounded_and_wait_once_for_an_address() {
    const EVENTS: usize = 500;
    const BATCH: usize = 10;
    const BYTES: usize = 100_000;
    let visitors = ["8.8.8.2", "8.8.8.4", "8.8.8.6"];
    // Large values, so that what may lie undecoded is few of them.
    let large = |ip: &&str| {
        let mut record = hit_from(ip);
        let value = record.value.as_mut().unwrap();
        value.truncate(value.len() - 1);
        value.extend(format!(r#","x":"{}"}}"#, "x".repeat(BYTES)).into_bytes());
        record
    };
    let records: Vec<Record> = visitors.iter().map(large).collect();
    let records = vec![records.iter().cycle().take(3_000).cloned().collect()];
    let mut stage = Stage::with_topic(minutes(), records);
    let slow = Slow { is_open: watch::Sender::new(false), waiting: Arc::default() };
    let slow = Arc::new(slow);
    stage.providers = Providers::new(vec![Provider::Remote(Arc::clone(&slow) as _)]);
    stage.settings.enrich.deadline = Duration::from_secs(3600);
    stage.settings.flush.max_events = EVENTS;
    let source = stage.source(BATCH);
    let running = stage.start(&source);
    // Of what joins an answer that is under way nobody waits for longer than a moment.
    let due: BTreeMap<_, _> = visitors.iter().map(|ip| (ip.parse().unwrap(), 1)).collect();
    until(|| {
        let (taken, refused) = (&source.seen.records, &source.seen.refused);
        let is_full = taken.load(SeqCst) >= EVENTS && refused.load(SeqCst) > 100;
        is_full && *slow.waiting.lock().unwrap() == due
    })
    .await;
    let taken = source.seen.records.load(SeqCst);
    // Each of two epochs is overrun by what lay undecoded, 8 MiB, when it was full, and by a batch.
    let most = 2 * (EVENTS + (8 << 20) / BYTES + BATCH);
    assert!(taken <= most, "{taken} records");
    assert_eq!(stage.store.tables().places.len(), 0, "nothing can be committed");
    slow.is_open.send_replace(true);
    running.end().await.unwrap();
    stage.check();
    let places = stage.store.tables().places;
    assert!(places.values().all(|[_, _, country]| country.as_deref() == Some("AA")));
    assert_eq!(places.len(), 3_000);
}
