//! What becomes of failures: tried again, or not, and when nothing is asked any more.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hitstream_domain::geo::GeoStatus;

use crate::bench::{Bench, country, ip, locate_all};
use crate::server::Reply;

/// A failure and what it means: the outcome of its request, the status, and how often the address was asked for.
type Case = (fn() -> Reply, &'static str, GeoStatus, usize);

/// With two retries.
const CASES: &[Case] = &[
    (|| Reply::status(500), "status", GeoStatus::Error, 3),
    (|| Reply::status(503), "status", GeoStatus::Error, 3),
    (|| Reply::status(404), "status", GeoStatus::Error, 1),
    (|| Reply::status(400), "status", GeoStatus::Error, 1),
    (|| Reply::json(r#"{"country_code":"D"#), "unreadable", GeoStatus::Error, 3),
    (|| Reply::json("<html>sorry</html>"), "unreadable", GeoStatus::Error, 3),
    (|| Reply::json(&" ".repeat(70_000)), "unreadable", GeoStatus::Error, 3),
    (|| Reply::CutOff(r#"{"country_code":"#.to_owned()), "network", GeoStatus::Error, 3),
    (|| Reply::Reset, "network", GeoStatus::Error, 3),
    (|| Reply::Never, "timeout", GeoStatus::Error, 3),
    (|| Reply::limited("0"), "limited", GeoStatus::Quota, 3),
    (|| Reply::refused(400, None), "refused", GeoStatus::Quota, 1),
    (|| Reply::refused(401, None), "refused", GeoStatus::Quota, 1),
    (|| Reply::refused(200, None), "refused", GeoStatus::Quota, 1),
    (|| Reply::status(401), "refused", GeoStatus::Quota, 1),
    (
        || Reply::Answer(400, Vec::new(), r#"{"error":{"error_code":10001}}"#.to_owned()),
        "declined",
        GeoStatus::Error,
        1,
    ),
    (
        || Reply::Answer(302, vec!["Location: /?ip=1.1.1.1".to_owned()], String::new()),
        "status",
        GeoStatus::Error,
        1,
    ),
];

#[tokio::test]
async fn each_failure_has_its_status_and_its_tries() {
    let one = |(reply, outcome, status, tries): Case| async move {
        let bench = Bench::new(move |_| reply());
        // Short only where it has to pass: this machine may be slow itself.
        let timeout = if outcome == "timeout" { 400 } else { 20_000 };
        let bench = bench.with(|settings| settings.timeout = Duration::from_millis(timeout));
        assert_eq!(bench.start().locate(ip(1), 1).await, Err(status), "{:?}", reply());
        assert_eq!(bench.server.seen().len(), tries, "{:?}", reply());
        let counted = usize::try_from(bench.requests(outcome)).unwrap();
        assert_eq!(counted, tries, "{:?} {outcome}", reply());
        assert_eq!(bench.lookups(status.as_str()), 1);
        let retries = usize::try_from(bench.metrics.ip2location_retries.get()).unwrap();
        assert_eq!(retries, tries - 1);
    };
    futures::future::join_all(CASES.iter().copied().map(one)).await;
}

#[tokio::test]
async fn failure_that_passes_costs_time_only() {
    let bench = Bench::new(|seen| match seen.before {
        0 => Reply::status(502),
        1 => Reply::Reset,
        _ => Reply::located("DE"),
    });
    assert_eq!(country(bench.start().locate(ip(1), 1).await), Ok("DE".into()));
    let seen = bench.server.seen();
    let (first, second) = (seen[1].at - seen[0].at, seen[2].at - seen[1].at);
    assert!(first >= Duration::from_millis(100), "250 ms, less jitter: {first:?}");
    assert!(second >= Duration::from_millis(230), "twice that: {second:?}");
}

#[tokio::test]
async fn refused_connection_is_an_error() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| {
        settings.base_url = "http://127.0.0.1:1/".to_owned();
        settings.retries = 0;
    });
    assert_eq!(bench.start().locate(ip(1), 1).await, Err(GeoStatus::Error));
    assert_eq!(bench.requests("network"), 1);
}

#[tokio::test]
async fn retry_after_holds_every_address() {
    let bench = Bench::new(|seen| {
        let limits = seen.ip == "8.8.0.1" && seen.before == 0;
        if limits { Reply::limited("1") } else { Reply::located("DE") }
    })
    .with(|settings| settings.concurrency = NonZeroUsize::MIN);
    let located = locate_all(&bench.start(), (1..4).map(ip)).await;
    assert!(located.into_iter().all(|located| located.is_ok()));
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 4);
    for later in &seen[1..] {
        assert!(later.at - seen[0].at >= Duration::from_millis(950));
    }
}

#[tokio::test]
async fn retry_after_as_a_date_is_taken_by_the_servers_clock() {
    let bench = Bench::new(|seen| {
        if seen.before > 0 {
            return Reply::located("DE");
        }
        let dates = [
            "Date: Wed, 21 Oct 2015 07:28:00 GMT".to_owned(),
            "Retry-After: Wed, 21 Oct 2015 07:28:01 GMT".to_owned(),
        ];
        Reply::Answer(429, dates.to_vec(), String::new())
    });
    assert_eq!(country(bench.start().locate(ip(1), 1).await), Ok("DE".into()));
    let seen = bench.server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(950));
}

#[tokio::test]
async fn long_retry_after_is_waited_for_by_nobody() {
    let bench = Bench::new(|_| Reply::limited("600"));
    let provider = bench.start();
    let began = Instant::now();
    for number in 0..20 {
        assert_eq!(provider.locate(ip(number), 1).await, Err(GeoStatus::Quota));
    }
    assert_eq!(bench.server.seen().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn refused_key_is_not_tried_again_for_long() {
    let bench = Bench::new(|_| Reply::refused(401, None));
    let provider = bench.start();
    for number in 0..100 {
        assert_eq!(provider.locate(ip(number), 1).await, Err(GeoStatus::Quota));
    }
    assert_eq!(bench.server.seen().len(), 1);
    assert_eq!(bench.metrics.ip2location_breaker_open.get(), 1);
}

#[tokio::test]
async fn after_a_rest_one_request_sees_whether_the_key_works() {
    let works = std::sync::Arc::new(AtomicBool::new(false));
    let key_works = works.clone();
    let rest = Duration::from_millis(400);
    let bench = Bench::new(move |_| {
        let works = key_works.load(Ordering::Relaxed);
        if works { Reply::located("DE") } else { Reply::refused(400, None) }
    })
    .with(|settings| settings.refused_rest = rest);
    let provider = bench.start();
    let mut number = 0;
    while bench.server.seen().len() < 3 {
        number += 1;
        let located = locate_all(&provider, [ip(2 * number), ip(2 * number + 1)]).await;
        assert!(located.iter().all(|located| *located == Err(GeoStatus::Quota)));
    }
    works.store(true, Ordering::Relaxed);
    while provider.locate(ip(1), 1).await.is_err() {}
    let seen = bench.server.seen();
    // At the very first both were under way; after that one request a rest.
    let rests = seen.windows(2).filter(|pair| pair[1].at - pair[0].at >= rest.mul_f64(0.9));
    assert!(rests.count() >= seen.len() - 2, "{seen:?}");
    assert_eq!(bench.metrics.ip2location_breaker_open.get(), 0);
    let located = locate_all(&provider, (1000..1010).map(ip)).await;
    assert!(located.into_iter().all(|located| located.is_ok()));
}

#[tokio::test]
async fn service_that_fails_is_left_alone_until_it_works() {
    let works = std::sync::Arc::new(AtomicBool::new(false));
    let answers = works.clone();
    let rest = Duration::from_millis(400);
    let bench = Bench::new(move |_| {
        let works = answers.load(Ordering::Relaxed);
        if works { Reply::located("DE") } else { Reply::status(500) }
    })
    .with(|settings| {
        settings.failing_rest = rest;
        settings.retries = 0;
    });
    let provider = bench.start();
    let located = locate_all(&provider, (0..1000).map(ip)).await;
    assert!(located.into_iter().all(|located| located == Err(GeoStatus::Error)));
    let asked = bench.server.seen().len();
    assert!((5..=8).contains(&asked), "five failures, and three that were under way: {asked}");
    works.store(true, Ordering::Relaxed);
    let mut number = 2000;
    while provider.locate(ip(number), 1).await.is_err() {
        number += 1;
    }
    let seen = bench.server.seen();
    assert_eq!(seen.len(), asked + 1, "the first request after the rest is answered");
    assert!(seen[asked].at - seen[4].at >= rest / 2);
}

#[tokio::test]
async fn no_time_is_too_long() {
    let bench = Bench::new(|seen| match seen.ip.as_str() {
        "8.8.0.1" => Reply::json("{}"),
        _ => Reply::refused(400, None),
    })
    .with(|settings| {
        settings.timeout = Duration::MAX;
        settings.negative_ttl = Duration::MAX;
        settings.failing_rest = Duration::MAX;
        settings.refused_rest = Duration::MAX;
        settings.keep_for = Some(Duration::MAX);
    });
    let provider = bench.start();
    assert_eq!(provider.locate(ip(1), 1).await, Err(GeoStatus::NotFound));
    assert_eq!(provider.locate(ip(2), 1).await, Err(GeoStatus::Quota));
    assert_eq!(provider.locate(ip(1), 1).await, Err(GeoStatus::NotFound));
}
