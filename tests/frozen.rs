//! Services that are frozen, or held up by a lock: they take connections and answer nothing. An instance says so, and goes
//! on by itself.

use std::time::Duration;

use crate::support::Bench;
use crate::support::group::{bench, start};
use crate::support::hit::Hit;
use crate::support::http::{address, get};
use crate::support::process::{wait_until, wait_within};
use crate::support::server::Server;
use crate::support::traffic::{Traffic, committed};

/// `health.stall`: within so long an instance has to notice.
const STALL: Duration = Duration::from_secs(30);

/// Why a part is not ready; empty where it is.
fn reason(at: &str, part: &str) -> String {
    get(at, "/readyz").json()["reasons"][part].as_str().unwrap_or_default().to_owned()
}

fn is_ready(at: &str) -> bool {
    get(at, "/readyz").status == 200
}

#[test]
fn brokers_that_are_frozen_again_and_again_are_joined_anew_each_time() {
    const TIMES: usize = 4;
    let Some(kafka) = Server::start("kafka") else { return };
    let Some(bench) = Bench::on("kafka_frozen", Some(&kafka), None) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "100ms");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "500"]);
    traffic.wait_for_records();
    let mut running = start(&bench);
    let at = address(&mut running);
    for time in 0..TIMES {
        let before = committed(&bench);
        wait_until("it counts", || committed(&bench) > before && is_ready(&at));
        let revoked = running.stderr().matches("the group revokes partitions").count();
        let frozen = kafka.freeze();
        wait_within("it says that brokers are silent", STALL, || {
            reason(&at, "kafka").contains("the brokers have not answered for")
        });
        wait_until("its session is over", || {
            running.stderr().matches("the group revokes partitions").count() > revoked
        });
        frozen.thaw();
        eprintln!("frozen and thawed {} times", time + 1);
    }
    traffic.finish_counted(&bench);
    wait_until("it is ready", || is_ready(&at));
    running.stop();
    traffic.settle(&bench);
}

#[test]
fn client_whose_group_waits_for_ever_is_replaced() {
    let Some(bench) = bench("lost_answer", 4) else { return };
    let mut traffic = Traffic::send(&bench, &["--count", "10000"]);
    // The client never hears that its partitions were taken up.
    let faults = "poller::taken_up=1*return->off";
    let mut running = bench.hitstream(&["run"]).env("FAILPOINTS", faults).start();
    let at = address(&mut running);
    traffic.finish_counted(&bench);
    wait_until("it is ready", || is_ready(&at));
    let ended = running.stop();
    assert!(ended.stderr.contains("the group has not said which partitions"), "{ended}");
    assert!(ended.stderr.contains("joining the group with another"), "{ended}");
    assert_eq!(ended.logged("pipeline ended", "generations"), 2, "{ended}");
    traffic.settle(&bench);
}

#[test]
fn instance_without_partitions_keeps_its_client() {
    let Some(bench) = bench("spare", 1) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "500"]);
    traffic.wait_for_records();
    let mut instances = [start(&bench), start(&bench)];
    let ats = instances.each_mut().map(address);
    wait_until("both are members", || ats.iter().all(|at| is_ready(at)));
    // Three times as long as a member may be left in doubt.
    for running in &mut instances {
        running.run_for(Duration::from_secs(22));
    }
    assert!(ats.iter().all(|at| is_ready(at)));
    traffic.finish_counted(&bench);
    for running in instances {
        let ended = running.stop();
        assert_eq!(ended.logged("pipeline ended", "generations"), 1, "{ended}");
    }
    traffic.settle(&bench);
}

#[test]
fn lock_on_progress_at_the_start_is_told_for_what_it_is() {
    let Some(bench) = bench("locked_start", 2) else { return };
    bench.send(0, &[Hit::at(0).host("h").record()]);
    assert_eq!(bench.hitstream(&["migrate"]).finish().code, Some(0));
    let mut sql = bench.sql();
    let mut blocking = sql.transaction().unwrap();
    blocking.batch_execute("LOCK TABLE partition_progress IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut running = start(&bench);
    let at = address(&mut running);
    wait_within("it says what it waits for", STALL, || {
        let reason = reason(&at, "postgres");
        reason.contains("the partitions' progress is waited for") && reason.contains("lock")
    });
    wait_until("the group is joined", || reason(&at, "kafka").is_empty());
    let said = running.stderr();
    assert!(said.contains("PostgreSQL does not answer about the partitions' progress"), "{said}");
    blocking.rollback().unwrap();
    wait_until("it is ready", || is_ready(&at) && committed(&bench) == 1);
    running.stop();
    bench.clean_audit();
}

#[test]
fn frozen_postgresql_is_noticed_where_nothing_is_committed() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("pg_frozen", None, Some(&postgres)) else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "1h");
    bench.create_topic(2);
    let mut running = start(&bench);
    let at = address(&mut running);
    for count in 1..=2 {
        wait_until("it is ready", || is_ready(&at));
        let frozen = postgres.freeze();
        // Over a session that it has, or over one that it just wanted to open.
        wait_within("it says so", STALL, || reason(&at, "postgres").starts_with("no answer "));
        assert_eq!(reason(&at, "kafka"), "");
        wait_within("it tries another session", STALL, || {
            reason(&at, "postgres").contains("no answer to a new connection")
        });
        frozen.thaw();
        wait_until("it is ready again", || is_ready(&at));
        bench.send(0, &[Hit::at(count).host("h").record()]);
        wait_until("it counts", || committed(&bench) == count);
    }
    let ended = running.stop();
    assert!(ended.stderr.contains("no answer about "), "{ended}");
    assert!(ended.stderr.contains("windows cannot be made final; trying again"), "{ended}");
    assert_eq!(ended.logged("pipeline ended", "generations"), 1, "{ended}");
    bench.clean_audit();
}
