//! The consumer group: who gets partitions, how they are given back, who leaves it and who must not come back.

use std::time::Instant;

use crate::support::group::{bench, owned, start, start_all};
use crate::support::hit::Hit;
use crate::support::process::wait_until;
use crate::support::traffic::{Traffic, committed, owners};
use crate::support::{Bench, kafka};

#[test]
fn revocation_that_cannot_be_committed_in_time_is_answered_all_the_same() {
    let Some(bench) = bench("late_revoke", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut first = start_all(&bench, 1).remove(0);
    let mut sql = bench.sql();
    let mut blocking = sql.transaction().unwrap();
    blocking.batch_execute("LOCK TABLE open_web_traffic IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut second = start(&bench);
    wait_until("the first gives up", || {
        first.stderr().contains("partitions taken back are not committed in time")
    });
    wait_until("the second is given some", || {
        second.stderr().contains("the group assigns partitions")
    });
    blocking.rollback().unwrap();
    wait_until("both commit", || owners(&bench) == 2);
    traffic.finish_counted(&bench);
    let ended = first.stop();
    assert!(ended.logged("pipeline ended", "late_revocations").as_u64() > Some(0), "{ended}");
    second.stop();
    traffic.settle(&bench);
}

#[test]
fn member_that_panics_while_it_gives_partitions_back_loses_nothing() {
    let Some(bench) = bench("panic_revoked", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let faults = "member::revoked=1*panic->off;member::let_go=1*panic->off";
    let mut first = bench.hitstream(&["run"]).env("FAILPOINTS", faults).start();
    wait_until("it commits", || owners(&bench) == 1);
    for point in ["member::revoked", "member::let_go"] {
        let said = format!("failpoint {point} panic");
        wait_until("the first has all", || owned(&bench, &first) == 4);
        let second = start(&bench);
        wait_until(point, || first.stderr().contains(&said));
        wait_until("the second commits", || owned(&bench, &second) > 0);
        second.stop();
    }
    traffic.finish_counted(&bench);
    first.stop();
    traffic.settle(&bench);
}

#[test]
fn added_partitions_are_counted_from_their_start() {
    let Some(bench) = bench("added", 2) else { return };
    let bench =
        bench.with("HITSTREAM_KAFKA__PROPERTIES__TOPIC_METADATA_REFRESH_INTERVAL_MS", "300");
    let hits = |seconds: i64| [Hit::at(seconds).host("h").record(), Hit::at(seconds).record()];
    bench.send(0, &hits(0));
    let running = start(&bench);
    wait_until("the first hits", || committed(&bench) == 2);
    kafka::add_partitions(&bench.kafka_url, &bench.topic, 4);
    // Before the group knows of them: their first records must not be missed.
    (1..4).for_each(|partition| bench.send(partition, &hits(i64::from(partition))));
    wait_until("all hits", || committed(&bench) == 8);
    let from_start = "SELECT count(*) FROM partition_progress WHERE start_offset = 0";
    assert_eq!(bench.count(from_start), 4);
    running.stop();
    bench.clean_audit();
    bench.assert_equals(&bench.model(300, 300));
}

#[test]
fn group_protocol_in_which_brokers_assign_works_as_well() {
    let Some(bench) = Bench::new("kip848") else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_PROTOCOL", "consumer");
    kafka::create(&bench.kafka_url, &bench.topic, 6);
    let mut traffic = Traffic::start(&bench, &["--rate", "3000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 2);
    instances.remove(0).stop();
    instances.push(start(&bench));
    traffic.finish_counted(&bench);
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn only_instance_with_static_membership_goes_on_at_once_after_a_kill() {
    let Some(bench) = bench("static", 4) else { return };
    let bench = bench
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "one")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "300000");
    let mut traffic = Traffic::start(&bench, &["--rate", "3000"]);
    traffic.wait_for_records();
    let first = start_all(&bench, 1).remove(0);
    first.kill();
    let before = committed(&bench);
    let started = Instant::now();
    let second = start(&bench);
    // Far below the session timeout, which a dynamic member would have to wait for.
    wait_until("it counts", || committed(&bench) > before);
    eprintln!("counted again {:?} after its start", started.elapsed());
    traffic.finish_counted(&bench);
    second.stop();
    traffic.settle(&bench);
}

/// A bench whose instances' sessions outlast the test: what is taken over was let go.
fn long_session(name: &str) -> Option<(Bench, Traffic)> {
    let bench = bench(name, 4)?.with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "300000");
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    Some((bench, traffic))
}

/// Waits less than a session until another instance is given all partitions.
fn taken_over(bench: &Bench, mut traffic: Traffic) {
    let other = start(bench);
    wait_until("another takes over", || owned(bench, &other) == 4);
    traffic.finish_counted(bench);
    other.stop();
    traffic.settle(bench);
}

#[test]
fn group_is_left_also_by_an_instance_that_is_stopped_between_two_generations() {
    let Some((bench, traffic)) = long_session("left_between") else { return };
    let mut running =
        bench.hitstream(&["run"]).env("FAILPOINTS", "consumer::before_batch=panic").start();
    wait_until("it waits for seconds before it starts again", || {
        running.stderr().contains("10 crashes in a minute")
    });
    let starts = running.stderr().matches("pipeline started").count();
    let ended = running.stop();
    assert_eq!(ended.stderr.matches("pipeline started").count(), starts, "{ended}");
    taken_over(&bench, traffic);
}

#[test]
fn group_is_left_also_by_an_instance_that_cannot_go_on() {
    let Some((bench, traffic)) = long_session("left_fatal") else { return };
    let running = start_all(&bench, 1).remove(0);
    let resize = |by: &str| {
        bench.sql().execute(&format!("UPDATE pipeline SET window_size = window_size {by}"), &[])
    };
    resize("* 2").unwrap();
    let ended = running.finish();
    assert_eq!(ended.code, Some(64), "{ended}");
    resize("/ 2").unwrap();
    taken_over(&bench, traffic);
}

#[test]
fn group_is_left_also_by_an_instance_that_cannot_commit_in_time() {
    let Some((bench, traffic)) = long_session("left_late") else { return };
    let mut sql = bench.sql();
    let bench = bench.with("HITSTREAM_SHUTDOWN__TIMEOUT", "1s");
    let running = start_all(&bench, 1).remove(0);
    let mut blocking = sql.transaction().unwrap();
    blocking.batch_execute("LOCK TABLE open_web_traffic IN ACCESS EXCLUSIVE MODE").unwrap();
    let ended = running.stop();
    assert!(ended.stderr.contains("not committed in time"), "{ended}");
    blocking.rollback().unwrap();
    taken_over(&bench, traffic);
}

#[test]
fn two_processes_with_one_group_instance_id_do_not_fight() {
    let Some(bench) = bench("same_id", 4) else { return };
    let bench = bench.with("HITSTREAM_KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "one");
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let first = start_all(&bench, 1).remove(0);
    let second = start(&bench);
    let ended = first.finish();
    assert_eq!(ended.code, Some(64), "{ended}");
    assert!(ended.stderr.contains("group.instance.id"), "{ended}");
    wait_until("the second has all", || owned(&bench, &second) == 4);
    traffic.finish_counted(&bench);
    second.stop();
    traffic.settle(&bench);
}

#[test]
fn session_that_the_brokers_do_not_allow_is_an_error_of_the_settings() {
    let Some(bench) = bench("session", 1) else { return };
    for (name, value, word) in [
        ("SESSION_TIMEOUT_MS", "100", "session.timeout.ms"),
        ("PARTITION_ASSIGNMENT_STRATEGY", "range", "cooperative-sticky"),
    ] {
        let name = format!("HITSTREAM_KAFKA__PROPERTIES__{name}");
        let mut run = bench.hitstream(&["run"]);
        let ended = run.env("HITSTREAM_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "30");
        let ended = ended.env(&name, value).finish();
        assert_eq!(ended.code, Some(64), "{ended}");
        assert!(ended.stderr.contains(word), "{ended}");
    }
}
