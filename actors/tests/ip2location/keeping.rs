//! What is kept, and what is not.

use std::num::NonZeroUsize;
use std::time::Duration;

use hitstream_domain::geo::GeoStatus;

use crate::bench::{Bench, country, eventually, ip, locate_all};
use crate::server::{Reply, Seen};

const KEEP_FOR: Option<Duration> = Some(Duration::from_secs(3600));

fn keeping(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Bench {
    Bench::new(script).with(|settings| settings.keep_for = KEEP_FOR)
}

#[tokio::test]
async fn what_one_run_was_told_no_other_asks_for() {
    let bench = keeping(|_| Reply::located("DE"));
    let provider = bench.start();
    provider.locate(ip(1), 1).await.unwrap();
    // At once, before it can be in the store for certain.
    provider.locate(ip(1), 1).await.unwrap();
    eventually("it is kept", || bench.store.kept().len() == 1).await;
    assert_eq!(country(bench.start().locate(ip(1), 1).await), Ok("DE".into()));
    assert_eq!((bench.server.seen().len(), bench.lookups("stored")), (1, 2));
}

#[tokio::test]
async fn many_addresses_are_looked_up_together() {
    let bench = keeping(|_| Reply::located("DE"));
    locate_all(&bench.start(), (0..200).map(ip)).await;
    assert!(bench.store.finds() < 20, "{}", bench.store.finds());
}

#[tokio::test]
async fn only_locations_are_kept() {
    let bench = keeping(|_| Reply::json("{}"));
    assert_eq!(bench.start().locate(ip(1), 1).await, Err(GeoStatus::NotFound));
    assert!(bench.store.kept().is_empty());
}

#[tokio::test]
async fn answer_that_nobody_waits_for_any_more_is_kept() {
    let bench = keeping(|_| Reply::located("DE").after(Duration::from_millis(200)));
    let provider = bench.start();
    let given_up = tokio::time::timeout(Duration::from_millis(50), provider.locate(ip(1), 1));
    assert!(given_up.await.is_err());
    eventually("it is kept", || bench.store.kept().len() == 1).await;
}

#[tokio::test]
async fn answer_that_comes_after_the_end_is_kept() {
    let bench = keeping(|_| Reply::located("DE").after(Duration::from_millis(200)));
    let asked = tokio::spawn(bench.start().locate(ip(1), 1));
    eventually("it is asked for", || bench.server.seen().len() == 1).await;
    asked.abort();
    eventually("it is kept", || bench.store.kept().len() == 1).await;
}

#[tokio::test]
async fn end_waits_for_answers_under_way_and_asks_nothing_more() {
    let bench = keeping(|_| Reply::located("DE").after(Duration::from_millis(200)))
        .with(|settings| settings.concurrency = NonZeroUsize::new(2).unwrap());
    let provider = bench.start();
    let asked: Vec<_> = (0..5).map(|n| tokio::spawn(provider.locate(ip(n), 1))).collect();
    eventually("two are asked for", || bench.server.seen().len() == 2).await;
    eventually("three wait", || bench.metrics.ip2location_waiting.get() == 3).await;
    provider.close().await;
    assert_eq!((bench.store.kept().len(), bench.server.seen().len()), (2, 2));
    let located = futures::future::join_all(asked).await;
    assert_eq!(located.iter().filter(|located| located.as_ref().unwrap().is_ok()).count(), 2);
    assert_eq!(provider.locate(ip(9), 1).await, Err(GeoStatus::Error));
    provider.close().await;
}

#[tokio::test]
async fn store_out_of_reach_keeps_nobody_from_asking() {
    let bench = keeping(|_| Reply::located("DE"));
    bench.store.set_away(true);
    let provider = bench.start();
    assert_eq!(country(provider.locate(ip(1), 1).await), Ok("DE".into()));
    assert_eq!(country(provider.locate(ip(1), 1).await), Ok("DE".into()), "remembered meanwhile");
    bench.store.set_away(false);
    eventually("it is kept", || bench.store.kept().len() == 1).await;
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn where_nothing_may_be_kept_the_store_is_not_touched() {
    let bench = Bench::new(|_| Reply::located("DE"));
    let provider = bench.start();
    for _ in 0..2 {
        provider.locate(ip(1), 1).await.unwrap();
    }
    assert_eq!((bench.store.finds(), bench.store.kept().len()), (0, 0));
    assert_eq!(bench.server.seen().len(), 2);
}
