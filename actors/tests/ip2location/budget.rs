//! What requests may cost, whoever makes them and however often he starts.

use std::time::Duration;

use hitstream_domain::geo::GeoStatus;

use crate::bench::{Bench, budget, country, eventually, ip, locate_all};
use crate::server::Reply;

#[tokio::test]
async fn not_one_request_more_than_the_budget() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(7));
    let located = locate_all(&bench.start(), (0..20).map(ip)).await;
    assert_eq!(located.iter().filter(|located| located.is_ok()).count(), 7);
    assert_eq!(located.iter().filter(|located| **located == Err(GeoStatus::Quota)).count(), 13);
    assert_eq!((bench.server.seen().len(), bench.store.spent()), (7, 7));
    assert_eq!(bench.metrics.ip2location_budget_left.get(), Some(0));
    assert_eq!(bench.lookups("quota"), 13);
}

#[tokio::test]
async fn budget_is_not_known_before_any_of_it_is_reserved_and_after_its_period() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(200));
    bench.store.end_period_in(Duration::from_secs(3));
    let left = || bench.metrics.ip2location_budget_left.get();
    let provider = bench.start();
    assert_eq!(left(), None);
    provider.locate(ip(1), 1).await.unwrap();
    eventually("a request is told", || left() == Some(199)).await;
    // Nobody asks for anything: the end of the period is noticed all the same.
    eventually("the period ends", || left().is_none()).await;
}

#[tokio::test]
async fn lookups_on_their_way_are_a_mailbox_with_a_depth_and_a_capacity() {
    let bench = Bench::new(|_| Reply::located("DE"));
    let provider = bench.start();
    let of = |gauges: &prometheus::IntGaugeVec| gauges.with_label_values(&["Ip2Location"]).get();
    assert_eq!(of(&bench.metrics.mailbox_messages_max), 4096);
    locate_all(&provider, (0..20).map(ip)).await;
    eventually("all are taken", || of(&bench.metrics.mailbox_messages) == 0).await;
}

#[tokio::test]
async fn retries_cost_too() {
    let bench = Bench::new(|_| Reply::status(500)).with(|settings| settings.budget = budget(2));
    assert_eq!(bench.start().locate(ip(1), 1).await, Err(GeoStatus::Quota));
    assert_eq!(bench.server.seen().len(), 2);
}

#[tokio::test]
async fn restarts_and_other_instances_share_one_budget() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(10));
    let (one, other) = (bench.start(), bench.start());
    for number in 0..3 {
        one.locate(ip(number), 1).await.unwrap();
        other.locate(ip(100 + number), 1).await.unwrap();
    }
    drop((one, other));
    let located = locate_all(&bench.start(), (200..210).map(ip)).await;
    assert_eq!(located.iter().filter(|located| located.is_ok()).count(), 4);
    assert_eq!(bench.server.seen().len(), 10);
}

#[tokio::test]
async fn orderly_end_gives_back_what_it_did_not_use() {
    let bench =
        Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(1000));
    for number in 0..3 {
        let provider = bench.start();
        provider.locate(ip(number), 1).await.unwrap();
        assert_eq!(bench.store.spent(), u64::try_from(number).unwrap() + 10, "a chunk ahead");
        provider.close().await;
    }
    assert_eq!((bench.store.spent(), bench.server.seen().len()), (3, 3));
}

#[tokio::test]
async fn nothing_is_asked_while_the_budget_cannot_be() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(10));
    bench.store.set_away(true);
    let waiting = tokio::spawn(bench.start().locate(ip(1), 1));
    eventually("it waits", || bench.metrics.ip2location_waiting.get() == 1).await;
    assert!(bench.server.seen().is_empty());
    bench.store.set_away(false);
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn last_tenth_of_the_budget_is_kept_for_hits_of_the_present() {
    let bench = Bench::new(|_| Reply::located("DE")).with(|settings| settings.budget = budget(20));
    let provider = bench.start();
    locate_all(&provider, (0..17).map(ip)).await;
    // Three are left: for one that no hit waits for there is one more.
    assert_eq!(country(provider.locate(ip(17), 0).await), Ok("DE".into()));
    assert_eq!(provider.locate(ip(18), 0).await, Err(GeoStatus::Quota));
    for number in 19..21 {
        assert_eq!(country(provider.locate(ip(number), 1).await), Ok("DE".into()));
    }
    assert_eq!(provider.locate(ip(21), 1).await, Err(GeoStatus::Quota));
    assert_eq!(bench.server.seen().len(), 20);
}
