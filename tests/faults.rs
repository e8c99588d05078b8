//! Panics and stalls on purpose, in each actor, before and after each of its steps: the next generation counts right.

use std::time::Duration;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::{Finished, wait_until};
use crate::support::traffic::{Traffic, committed};

/// A bench with a topic full of hits, to be read in many epochs.
fn bench(name: &str) -> Option<(Bench, Traffic)> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_FLUSH__INTERVAL", "50ms")
        .with("HITSTREAM_FLUSH__MAX_EVENTS", "500");
    bench.create_topic(4);
    let traffic = Traffic::send(&bench, &["--count", "20000", "--step", "200ms"]);
    Some((bench, traffic))
}

/// Runs with these faults to the end of the topic.
fn run_with(bench: &Bench, faults: &str) -> Finished {
    let finished = bench.hitstream(&["run", "--until-end"]).env("FAILPOINTS", faults).finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    finished
}

/// Lets each point panic once, a few epochs apart, and compares what is counted. All actors of a kind together pass a
/// point `stride` times in these epochs.
fn panic_once_at(name: &str, actor: &str, stride: usize, points: &[&str]) {
    let Some((bench, traffic)) = bench(name) else { return };
    let faults = points.iter().enumerate().map(|(at, point)| {
        let passings = 2 + at * stride;
        format!("{point}={passings}*off->1*panic->off")
    });
    let faults: Vec<String> = faults.collect();
    let finished = run_with(&bench, &faults.join(";"));
    let died = |point: &&str| {
        let said = format!("failpoint {point} panic");
        let mut lines = finished.stderr.lines();
        lines.any(|line| {
            line.contains("an actor died") && line.contains(actor) && line.contains(&said)
        })
    };
    let missed: Vec<_> = points.iter().filter(|point| !died(point)).collect();
    assert!(missed.is_empty(), "{actor} did not die at {missed:?}: {finished}");
    traffic.settle(&bench);
}

#[test]
fn consumer_that_panics() {
    panic_once_at(
        "panic_consumer",
        "PartitionConsumer",
        20,
        &[
            "consumer::before_batch",
            "consumer::after_batch",
            "consumer::before_cut",
            "consumer::amid_cut",
            "consumer::after_cut",
        ],
    );
}

#[test]
fn enricher_that_panics() {
    panic_once_at(
        "panic_enricher",
        "Enricher",
        4,
        &["enricher::events", "enricher::before_handing_over", "enricher::after_handing_over"],
    );
}

#[test]
fn window_shard_that_panics() {
    panic_once_at(
        "panic_shard",
        "WindowShard",
        4,
        &["shard::hits", "shard::before_handing_over", "shard::after_handing_over"],
    );
}

#[test]
fn writer_that_panics() {
    panic_once_at(
        "panic_writer",
        "Writer",
        3,
        &[
            "writer::part",
            "commit::locked",
            "commit::progress_moved",
            "commit::before_commit",
            "commit::after_commit",
            "writer::committed",
        ],
    );
}

#[test]
fn finalizer_that_panics() {
    panic_once_at("panic_finalizer", "Finalizer", 1, &["finalizer::moved"]);
}

#[test]
fn group_member_that_panics() {
    panic_once_at("panic_member", "GroupMember", 1, &["member::opened", "member::cut"]);
}

#[test]
fn poller_that_panics() {
    panic_once_at("panic_poller", "KafkaPoller", 1, &["poller::batch"]);
}

#[test]
fn steps_that_are_rare_are_met_at_their_first_passing() {
    let Some((bench, traffic)) = bench("panic_rare") else { return };
    let points = [
        "poller::rebalance",
        "finalizer::before_advance",
        "finalizer::after_advance",
        "member::opened",
    ];
    let faults: Vec<String> = points.iter().map(|point| format!("{point}=1*panic->off")).collect();
    let finished = run_with(&bench, &faults.join(";"));
    for point in points {
        assert!(
            finished.stderr.contains(&format!("failpoint {point} panic")),
            "{point}: {finished}"
        );
    }
    traffic.settle(&bench);
}

#[test]
fn panic_is_logged_with_the_records_it_was_at() {
    let Some((bench, traffic)) = bench("panic_logged") else { return };
    let finished = run_with(&bench, "consumer::before_batch=3*off->1*panic->off");
    let line = finished.stderr.lines().find(|line| line.contains("an actor died")).unwrap();
    assert!(line.contains("partition ") && line.contains("offsets from "), "{line}");
    let wait = finished.logged("starting again from committed progress", "after");
    let wait = humantime::parse_duration(wait.as_str().unwrap()).unwrap();
    assert!(wait < Duration::from_secs(1), "{wait:?} after a first crash");
    traffic.settle(&bench);
}

#[test]
fn actor_that_hangs_ends_its_generation() {
    let Some((bench, traffic)) = bench("hangs") else { return };
    let bench = bench.with("HITSTREAM_ACTORS__STALL_TIMEOUT", "5s");
    let faults =
        "shard::hits=9*off->1*sleep(100000)->off;poller::batch=9*off->1*sleep(100000)->off";
    let finished = run_with(&bench, faults);
    assert!(finished.stderr.contains("no sign of life for"), "{finished}");
    traffic.settle(&bench);
}

#[test]
fn ten_crashes_in_a_minute_are_no_readiness_and_the_pipeline_goes_on_trying() {
    let Some((bench, traffic)) = bench("crash_loop") else { return };
    let mut running =
        bench.hitstream(&["run"]).env("FAILPOINTS", "consumer::before_batch=panic").start();
    wait_until("ten crashes", || running.stderr().contains("10 crashes in a minute"));
    assert!(running.is_running());
    assert!(running.stderr().contains("not ready"));
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    traffic.settle(&bench);
}

#[test]
fn actor_that_wakes_when_its_generation_is_over_changes_nothing() {
    let Some((bench, _traffic)) = bench("wakes") else { return };
    let bench = bench.with("HITSTREAM_ACTORS__STALL_TIMEOUT", "5s");
    let faults = "member::opened=1*off->1*sleep(8000)->off";
    let mut running = bench.hitstream(&["run"]).env("FAILPOINTS", faults).start();
    wait_until("the next generation counts", || committed(&bench) == 20_000);
    assert!(running.stderr().contains("no sign of life for"), "{}", running.stderr());
    // Past the moment at which the sleeper wakes.
    running.run_for(Duration::from_secs(5));
    bench.send(0, &[Hit::at(0).host("later").record()]);
    wait_until("it goes on", || committed(&bench) == 20_001);
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    bench.clean_audit();
    bench.assert_equals(&bench.model(300, 300));
}
