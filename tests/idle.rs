//! Idle partitions on a real Kafka: claimed with proof, ended by a hit, released by hand.

use std::time::{Duration, Instant};

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::wait_until;
use crate::support::traffic::committed;

fn bench(name: &str, partitions: i32, idle_timeout: &str) -> Option<Bench> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", idle_timeout);
    bench.create_topic(partitions);
    Some(bench)
}

fn hit(seconds: i64) -> (Option<Vec<u8>>, Option<i64>) {
    Hit::at(seconds).host("h").record()
}

fn finals(bench: &Bench) -> i64 {
    let query = "SELECT coalesce(sum(num_hits), 0)::bigint FROM aggregated_web_traffic";
    bench.sql().query_one(query, &[]).map_or(0, |row| row.get(0))
}

#[test]
fn partitions_that_are_quiet_no_longer_hold_the_frontier_until_they_wake() {
    let Some(bench) = bench("idle", 3, "3s") else { return };
    // Partition 1 never had a hit; 2 had one, and then only records that are none.
    bench.send(0, &[hit(0), hit(900)]);
    bench.send(2, &[hit(30)]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("the first window is final", || finals(&bench) == 2);
    bench.send(2, &[(Some(b"no hit".to_vec()), None)]);
    let claims = "SELECT count(*) FROM partition_progress WHERE idle_until > now()";
    wait_until("every partition is claimed, all being quiet", || bench.count(claims) == 3);
    // A hit that a waking partition brings behind the frontier is late; it holds the frontier again.
    bench.send(1, &[hit(10)]);
    let awake =
        "SELECT count(*) FROM partition_progress WHERE partition = 1 AND idle_until IS NULL";
    wait_until("the hit ends the claim", || bench.count(awake) == 1);
    wait_until("the hit is counted", || committed(&bench) == 5);
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM late_web_traffic"), 1);
    assert_eq!(finals(&bench), 2, "final rows never change");
    let ended = running.stop();
    assert!(ended.logged("pipeline ended", "idle_claims").as_u64() >= Some(3), "{ended}");
    let audit = bench.clean_audit();
    assert_eq!(audit["late"], 1, "{audit}");
}

#[test]
fn partition_that_nobody_reads_any_more_holds_the_frontier_again() {
    let Some(bench) = bench("unowned", 2, "2s") else { return };
    bench.send(0, &[hit(0), hit(900)]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("the window is final, partition 1 being idle", || finals(&bench) == 1);
    running.kill();
    let claims = "SELECT count(*) FROM partition_progress WHERE idle_until > now()";
    wait_until("the claims run out", || bench.count(claims) == 0);
    let frontier = bench.done(&["frontier", "--json"]).json();
    assert_eq!(frontier["partitions"][1]["state"], "holds", "{frontier}");
    assert_eq!(frontier["frontier"], "2024-05-17T12:14:00Z", "it never goes back: {frontier}");
}

#[test]
fn partition_that_is_held_back_is_not_idle_however_long_it_takes() {
    let Some(bench) = bench("held_back", 2, "1s") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__MAX_EVENTS", "10");
    bench.send(0, &[hit(0), hit(1)]);
    bench.send(1, &[hit(0)]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("the first hits", || committed(&bench) == 3);
    let mut sql = bench.sql();
    let mut blocking = sql.transaction().unwrap();
    blocking.batch_execute("LOCK TABLE open_web_traffic IN ACCESS EXCLUSIVE MODE").unwrap();
    // Both epochs are filled by partition 0, far ahead; then partition 1 has records that cannot be taken in.
    let ahead: Vec<_> = (4_000..4_050).map(hit).collect();
    bench.send(0, &ahead);
    let pass = |what: &str, span: Duration| {
        let begun = Instant::now();
        wait_until(what, || begun.elapsed() > span);
    };
    pass("both epochs are full", Duration::from_secs(2));
    bench.send(1, &(0..50).map(hit).collect::<Vec<_>>());
    pass("several idle timeouts pass", Duration::from_secs(4));
    blocking.rollback().unwrap();
    wait_until("all hits", || committed(&bench) == 103);
    running.stop();
    let audit = bench.clean_audit();
    assert_eq!(audit["late"], 0, "no hit came behind the frontier: {audit}");
    bench.assert_equals(&bench.model(300, 300));
}

#[test]
fn bounded_run_neither_claims_nor_heeds_claims() {
    let Some(bench) = bench("bounded", 2, "1s") else { return };
    bench.send(0, &[hit(0), hit(900)]);
    bench.run_until_end();
    assert_eq!(
        bench.count("SELECT count(*) FROM partition_progress WHERE idle_until IS NOT NULL"),
        0
    );
    bench.sql().execute("UPDATE partition_progress SET idle_until = \'infinity\'", &[]).unwrap();
    bench.run_until_end();
    assert_eq!(finals(&bench), 0, "partition 1 has no hit and holds the frontier");
}

#[test]
fn open_transaction_is_no_end_and_its_markers_are_no_records() {
    let Some(bench) = bench("markers", 1, "1s") else { return };
    bench.send_in_transaction(0, &[hit(0), hit(900)]);
    let running = bench.hitstream(&["run"]).start();
    let claims = "SELECT count(*) FROM partition_progress WHERE idle_until > now()";
    wait_until("the claim", || {
        bench.sql().query_one(claims, &[]).is_ok_and(|row| row.get::<_, i64>(0) == 1)
    });
    // Behind the two hits lies the marker of the commit.
    assert_eq!(committed(&bench), 3);
    running.stop();
    bench.clean_audit();
}

#[test]
fn frontier_is_released_by_hand_and_that_is_recorded() {
    let Some(bench) = bench("release", 2, "1h") else { return };
    let nothing = bench.hitstream(&["frontier"]).finish();
    assert_eq!(nothing.code, Some(64), "{nothing}");
    assert!(nothing.stderr.contains("`hitstream run` starts one"), "{nothing}");
    bench.done(&["migrate"]);
    let nothing = bench.hitstream(&["frontier", "--release", "1"]).finish();
    assert_eq!(nothing.code, Some(64), "{nothing}");
    assert!(nothing.stderr.contains("no pipeline has run"), "{nothing}");

    bench.send(0, &[hit(0), hit(900)]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("the hits are counted", || committed(&bench) == 2);
    let before = bench.done(&["frontier", "--json"]).json();
    assert_eq!(before["frontier"], serde_json::Value::Null, "{before}");
    assert_eq!(before["partitions"][1]["state"], "holds", "{before}");
    assert_eq!(before["partitions"][0]["state"], "ahead", "{before}");

    let unknown = bench.hitstream(&["frontier", "--release", "7"]).finish();
    assert_eq!(unknown.code, Some(64), "{unknown}");
    assert!(unknown.stderr.contains("no partition 7"), "{unknown}");
    let released = bench.done(&["frontier", "--release", "1"]);
    assert!(released.stdout.contains("partition 1 is released"), "{released}");
    assert!(released.stdout.contains("2024-05-17T12:14:00"), "{released}");
    wait_until("the first window is final", || finals(&bench) == 1);
    assert_eq!(
        bench.count(
            "SELECT count(*) FROM frontier WHERE note LIKE \'partition 1 released by hand at %\'"
        ),
        1
    );
    // It lasts until the partition\'s next accepted record.
    bench.send(1, &[hit(10)]);
    wait_until("it wakes", || {
        let state = bench.done(&["frontier", "--json"]).json();
        state["partitions"][1]["state"] == "holds"
    });
    running.stop();
    let audit = bench.clean_audit();
    assert_eq!(audit["late"], 1, "{audit}");
}
