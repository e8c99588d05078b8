//! Lag is that of the whole topic, by Kafka's timestamps and across restarts, and never zero where it is not known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::Bench;
use crate::support::hit::{Hit, Sendable};
use crate::support::http::{address, get, scrape, value};
use crate::support::process::{Running, wait_until};
use crate::support::server::Server;
use crate::support::traffic::committed;

/// How long the records of these tests have waited when they are sent.
const HOUR: f64 = 3_600.0;

/// Hits whose Kafka timestamps are of an hour ago.
fn old(count: i64) -> Vec<Sendable> {
    let hour_ago = jiff::Timestamp::now().as_millisecond() - 3_600_000;
    (0..count).map(|second| (Some(Hit::at(second).host("h").json()), Some(hour_ago))).collect()
}

fn start(bench: &Bench) -> (Running, String) {
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    (running, at)
}

/// A metric of partitions, by their numbers.
fn by_partition(at: &str, metric: &str) -> BTreeMap<i32, f64> {
    let of = |(series, value): &(String, f64)| {
        let number = series.strip_prefix(metric)?.strip_prefix("{partition=\"")?;
        Some((number.strip_suffix("\"}")?.parse().unwrap(), *value))
    };
    scrape(at).iter().filter_map(of).collect()
}

/// A member of the group that takes partitions and counts nothing.
struct Idler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Idler {
    fn join(bench: &Bench) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bench.kafka_url)
            .set("group.id", &bench.topic)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[&bench.topic]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !is_told.load(Relaxed) {
                drop(consumer.poll(Duration::from_millis(50)));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[test]
fn partition_that_nobody_counts_is_told_of_with_its_lag_and_its_age() {
    let Some(bench) = Bench::new("lag_nobody") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "100ms");
    bench.create_topic(2);
    let (running, at) = start(&bench);
    wait_until("it has both", || by_partition(&at, "hitstream_partition_lag_records").len() == 2);
    let idler = Idler::join(&bench);
    wait_until("it has one, and knows of both", || {
        by_partition(&at, "hitstream_partition_lag_records").len() == 1
            && by_partition(&at, "hitstream_group_lag_records").len() == 2
    });
    let own = *by_partition(&at, "hitstream_partition_lag_records").keys().next().unwrap();
    let other = 1 - own;
    for partition in [own, other] {
        bench.send(partition, &old(3));
    }
    let due = BTreeMap::from([(own, 0.0), (other, 3.0)]);
    wait_until("what nobody counts is told", || {
        by_partition(&at, "hitstream_group_lag_records") == due
    });
    assert_eq!(committed(&bench), 3);
    assert_eq!(by_partition(&at, "hitstream_partition_lag_records"), BTreeMap::from([(own, 0.0)]));
    assert_eq!(value(&at, "hitstream_lag_unknown"), Some(0.0));
    let ages = by_partition(&at, "hitstream_group_lag_seconds");
    assert!(ages[&own] == 0.0 && ages[&other] > 0.0, "{ages:?}");
    running.stop();
    // One that has just been started has seen nothing come: the records themselves say when they did. Which of the two it
    // is given is up to the group.
    for partition in [own, other] {
        bench.send(partition, &old(3));
    }
    let (running, at) = start(&bench);
    wait_until("the age of the other one's is known", || {
        let own = by_partition(&at, "hitstream_partition_lag_seconds");
        let all = by_partition(&at, "hitstream_group_lag_seconds");
        let mut others = all.iter().filter(|(partition, _)| !own.contains_key(partition));
        own.values().eq([&0.0]) && others.all(|(_, age)| *age >= HOUR) && all.len() == 2
    });
    drop(idler);
    wait_until("all is counted", || {
        by_partition(&at, "hitstream_group_lag_records")
            == BTreeMap::from([(own, 0.0), (other, 0.0)])
    });
    running.stop();
    bench.clean_audit();
}

#[test]
fn age_of_what_waits_is_that_of_its_record_also_after_a_start() {
    let Some(bench) = Bench::new("lag_start") else { return };
    bench.create_topic(1);
    bench.done(&["migrate"]);
    bench.send(0, &old(2));
    let mut sql = bench.sql();
    let mut lock = sql.transaction().unwrap();
    // Who reads may go on; who commits hits waits.
    lock.batch_execute("LOCK TABLE open_web_traffic IN SHARE MODE").unwrap();
    // The second one is given none: the session of the first goes on waiting where it was.
    for metric in ["hitstream_partition_lag", "hitstream_group_lag"] {
        let (running, at) = start(&bench);
        let of = |what: &str| by_partition(&at, &format!("{metric}_{what}")).get(&0).copied();
        wait_until("it says how long they have waited", || {
            let age = of("seconds");
            assert!(age.is_none_or(|age| age >= HOUR), "{age:?}: neither zero nor since the start");
            age.is_some()
        });
        assert_eq!(of("records"), Some(2.0));
        running.kill();
    }
    lock.rollback().unwrap();
    let (running, at) = start(&bench);
    wait_until("they are counted", || {
        by_partition(&at, "hitstream_partition_lag_seconds").get(&0) == Some(&0.0)
    });
    assert_eq!(committed(&bench), 2);
    running.stop();
}

#[test]
fn lag_is_absent_and_not_zero_before_it_is_known_and_once_brokers_are_away() {
    let Some(kafka) = Server::start("kafka") else { return };
    let Some(bench) = Bench::on("lag_unknown", Some(&kafka), None) else { return };
    bench.create_topic(1);
    bench.send(0, &old(1));
    kafka.kill("KILL");
    let (running, at) = start(&bench);
    let is_unknown = || {
        by_partition(&at, "hitstream_partition_lag_records").is_empty()
            && by_partition(&at, "hitstream_group_lag_records").is_empty()
            && value(&at, "hitstream_lag_unknown") == Some(1.0)
    };
    assert!(is_unknown(), "{:?}", scrape(&at));
    kafka.start_again();
    let is_counted = || {
        by_partition(&at, "hitstream_group_lag_records").get(&0) == Some(&0.0)
            && value(&at, "hitstream_lag_unknown") == Some(0.0)
    };
    wait_until("it is counted, and that is known", || committed(&bench) == 1 && is_counted());
    wait_until("it is told there, too, once Kafka is seen to be back", || {
        get(&at, "/readyz").json()["lag_records"] == 0
    });
    kafka.kill("KILL");
    wait_until("it is unknown", is_unknown);
    wait_until("it is unknown there, too", || get(&at, "/readyz").json()["lag_records"].is_null());
    kafka.start_again();
    wait_until("it is known again", is_counted);
    running.stop();
}
