//! Who is asked for, how often, in which order and how fast.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use hitstream_domain::geo::{GeoStatus, Location};

use crate::bench::{Bench, KEY, country, eventually, ip, locate_all};
use crate::server::Reply;

#[tokio::test]
async fn answer_becomes_a_location_and_the_key_is_sent() {
    let bench = Bench::new(|_| Reply::located("DE"));
    let location = bench.start().locate(ip(1), 1).await.unwrap();
    let expected = Location {
        country_code: Some("DE".into()),
        country: Some("Germany".into()),
        city: Some("City".into()),
        latitude: Some(1.5),
        longitude: Some(-2.5),
        time_zone: Some("+01:00".into()),
        asn: Some(64500),
        as_name: Some("Net".into()),
        region: None,
    };
    assert_eq!(location, expected);
    let seen = &bench.server.seen()[0];
    assert_eq!((seen.ip.as_str(), seen.key.as_deref()), ("8.8.0.1", Some(KEY)));
    assert_eq!((bench.lookups("located"), bench.requests("located")), (1, 1));
}

#[tokio::test]
async fn without_a_key_none_is_sent_and_ipv6_is_asked_for_as_it_is() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.key = None);
    let provider = bench.start();
    for (address, asked) in [("2001:4860::8888", "2001:4860::8888"), ("::ffff:8.8.8.8", "8.8.8.8")]
    {
        assert_eq!(country(provider.locate(address.parse().unwrap(), 1).await), Ok("DE".into()));
        let last = bench.server.seen().pop().unwrap();
        assert_eq!((last.ip.as_str(), last.key), (asked, None));
    }
}

#[tokio::test]
async fn lookups_of_one_address_are_one_request() {
    let bench = Bench::new(|_| Reply::located("DE").after(Duration::from_millis(100)));
    let located = locate_all(&bench.start(), (0..100).map(|n| ip(n % 4))).await;
    assert!(located.into_iter().all(|located| located.is_ok()));
    assert_eq!(bench.server.seen().len(), 4);
}

#[test]
fn any_runtime_may_ask_and_may_end() {
    let bench = Bench::new(|_| Reply::located("DE"));
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let home = home.unwrap();
    let provider = home.block_on(async { bench.start() });
    for generation in 0..3 {
        let provider = provider.clone();
        let arbiter = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(provider.locate(ip(generation), 1))
        });
        assert_eq!(country(arbiter.join().unwrap()), Ok("DE".into()));
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_are_allowed() {
    let bench = Bench::new(|_| Reply::located("DE").after(Duration::from_millis(20)))
        .with(|settings| settings.concurrency = NonZeroUsize::new(3).unwrap());
    locate_all(&bench.start(), (0..30).map(ip)).await;
    let most = bench.server.seen().iter().map(|seen| seen.at_once).max();
    assert_eq!(most, Some(3));
}

#[tokio::test]
async fn no_second_sees_more_requests_than_are_allowed() {
    let bench = Bench::new(|_| Reply::located("DE"))
        .with(|settings| settings.per_second = NonZeroU32::new(5).unwrap());
    locate_all(&bench.start(), (0..12).map(ip)).await;
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 12);
    for (first, sixth) in seen.iter().zip(seen.iter().skip(5)) {
        // What delays the first on its way brings it nearer to the sixth.
        assert!(sixth.at - first.at > Duration::from_millis(700));
    }
}

/// One request at a time, and the first address is not answered for before the gate is waited at.
fn held_at_the_first() -> (Bench, Arc<Barrier>) {
    let gate = Arc::new(Barrier::new(2));
    let opened = gate.clone();
    let bench = Bench::new(move |seen| {
        if seen.ip == "8.8.0.0" {
            opened.wait();
        }
        Reply::located("DE")
    })
    .with(|settings| settings.concurrency = NonZeroUsize::MIN);
    (bench, gate)
}

#[tokio::test]
async fn hottest_address_is_asked_for_first() {
    let (bench, gate) = held_at_the_first();
    let provider = bench.start();
    let ask = |number, hits| tokio::spawn(provider.locate(ip(number), hits));
    let mut asked = vec![ask(0, 1)];
    eventually("the first is asked for", || bench.server.seen().len() == 1).await;
    // The last one is cold at first, and then as hot as all its lookups together.
    asked.extend([ask(1, 1), ask(2, 30), ask(3, 20), ask(4, 9), ask(4, 16)]);
    eventually("they wait", || bench.metrics.ip2location_waiting.get() == 4).await;
    // A lookup that joins does not show: this one comes after those.
    let last = ask(5, 40);
    eventually("all wait", || bench.metrics.ip2location_waiting.get() == 5).await;
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    asked.push(last);
    for located in asked {
        assert_eq!(country(located.await.unwrap()), Ok("DE".into()));
    }
    let order: Vec<String> = bench.server.seen().into_iter().map(|seen| seen.ip).collect();
    assert_eq!(order, ["8.8.0.0", "8.8.0.5", "8.8.0.2", "8.8.0.4", "8.8.0.3", "8.8.0.1"]);
}

#[tokio::test]
async fn unknown_address_is_remembered_for_a_while() {
    let bench = Bench::new(|seen| {
        let unknown = seen.before == 0;
        if unknown { Reply::json(r#"{"country_code":"-"}"#) } else { Reply::located("DE") }
    })
    .with(|settings| settings.negative_ttl = Duration::from_millis(300));
    let provider = bench.start();
    while let Err(status) = provider.locate(ip(1), 1).await {
        assert_eq!(status, GeoStatus::NotFound);
    }
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(300));
    assert!(bench.lookups("remembered") > 0);
}

#[tokio::test]
async fn nobody_is_asked_for_whom_nobody_waits() {
    let (bench, gate) = held_at_the_first();
    let provider = bench.start();
    let first = tokio::spawn(provider.locate(ip(0), 1));
    let given_up = tokio::spawn(provider.locate(ip(1), 1));
    eventually("the second waits", || bench.metrics.ip2location_waiting.get() == 1).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(country(provider.locate(ip(2), 1).await), Ok("DE".into()));
    assert_eq!(bench.server.counts().get("8.8.0.1"), None);
}
