//! Several instances in one group: they come, go, die, hang, and count each hit once.

use std::time::{Duration, Instant};

use crate::support::hit::Hit;
use crate::support::process::{Running, wait_until};
use crate::support::random::Random;
use crate::support::traffic::{Traffic, committed, owners};
use crate::support::{Bench, kafka};

const PATIENCE: Duration = Duration::from_secs(90);

/// A bench whose instances commit often. Their session is the shortest that ordinary brokers allow: on a machine as busy
/// as that of a test, a shorter one would end by itself.
fn bench(name: &str, partitions: i32) -> Option<Bench> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
        .with("HITSTREAM_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "500");
    kafka::create(&bench.kafka_url, &bench.topic, partitions);
    Some(bench)
}

fn start(bench: &Bench) -> Running {
    bench.hitstream(&["run"]).start()
}

/// Starts so many instances and waits until each has partitions.
fn start_all(bench: &Bench, count: usize) -> Vec<Running> {
    let instances: Vec<Running> = (0..count).map(|_| start(bench)).collect();
    wait_until("every instance commits", PATIENCE, || {
        owners(bench) == i64::try_from(count).unwrap()
    });
    instances
}

#[test]
fn three_instances_that_join_leave_and_die_by_chance_count_each_hit_once() {
    const SEED: u64 = 3;
    let Some(bench) = bench("by_chance", 6) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "4000", "--count", "100000"]);
    traffic.wait_for_records();
    let mut random = Random::new(SEED);
    let mut instances: [Option<Running>; 3] = [None, None, None];
    let (mut joined, mut left, mut killed) = (0, 0, 0);
    while traffic.is_running() {
        let at = usize::try_from(random.below(0..3)).unwrap();
        match instances[at].take() {
            None => {
                instances[at] = Some(start(&bench));
                joined += 1;
            }
            Some(running) if random.below(0..3) == 0 => {
                assert_eq!(running.kill().code, None);
                killed += 1;
            }
            Some(running) => {
                running.stop();
                left += 1;
            }
        }
        let pause = Instant::now() + Duration::from_millis(random.below(100..1_500));
        wait_until("the next move", PATIENCE, || {
            instances.iter_mut().flatten().for_each(|running| assert!(running.is_running()));
            Instant::now() >= pause
        });
    }
    instances.into_iter().flatten().for_each(|running| drop(running.stop()));
    eprintln!("{joined} joined, {left} left, {killed} were killed");
    assert!(joined > 3 && left > 0 && killed > 0);
    assert!(committed(&bench) > 0);
    traffic.settle(&bench);
}

#[test]
fn partitions_of_a_killed_instance_are_counted_by_the_others() {
    let Some(bench) = bench("one_killed", 6) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "3000", "--count", "60000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 3);
    let dead = instances.remove(1);
    let owner = format!(":{}", dead.id());
    dead.kill();
    let killed_at = Instant::now();
    let left = format!("SELECT count(*) FROM partition_progress WHERE owner LIKE '%{owner}'");
    wait_until("its partitions move", PATIENCE, || bench.count(&left) == 0);
    eprintln!("its partitions were counted again {:?} after the kill", killed_at.elapsed());
    traffic.finish();
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn instance_that_slept_through_its_session_is_fenced_and_starts_again() {
    const NAPS: usize = 4;
    let Some(bench) = bench("asleep", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000", "--count", "100000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 2);
    let mut sleeper = instances.remove(0);
    let owner = format!(":{}", sleeper.id());
    let its = format!("SELECT count(*) FROM partition_progress WHERE owner LIKE '%{owner}'");
    let fenced = |sleeper: &mut Running| sleeper.stderr().contains("moved on by another owner");
    // A nap that finds it with nothing read and not committed needs no fence.
    for _ in 0..NAPS {
        wait_until("it has partitions", PATIENCE, || bench.count(&its) > 0);
        sleeper.signal("STOP");
        wait_until("its partitions move", PATIENCE, || bench.count(&its) == 0);
        let generations = sleeper.stderr().matches("pipeline started").count();
        sleeper.signal("CONT");
        wait_until("it starts again, or has partitions again", PATIENCE, || {
            let said = sleeper.stderr();
            said.matches("pipeline started").count() > generations || bench.count(&its) > 0
        });
        if fenced(&mut sleeper) {
            break;
        }
    }
    assert!(fenced(&mut sleeper), "{}", sleeper.stderr());
    traffic.finish();
    let ended = sleeper.stop();
    assert!(ended.logged("pipeline ended", "fenced_commits").as_u64() > Some(0), "{ended}");
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn revocation_that_cannot_be_committed_in_time_is_answered_all_the_same() {
    let Some(bench) = bench("late_revoke", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000", "--count", "30000"]);
    traffic.wait_for_records();
    let mut first = start_all(&bench, 1).remove(0);
    let mut sql = bench.sql();
    let mut blocking = sql.transaction().unwrap();
    blocking.batch_execute("LOCK TABLE open_web_traffic IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut second = start(&bench);
    wait_until("the first gives up", PATIENCE, || {
        first.stderr().contains("partitions taken back are not committed in time")
    });
    wait_until("the second is given some", PATIENCE, || {
        second.stderr().contains("the group assigns partitions")
    });
    blocking.rollback().unwrap();
    wait_until("both commit", PATIENCE, || owners(&bench) == 2);
    traffic.finish();
    let ended = first.stop();
    assert!(ended.logged("pipeline ended", "late_revocations").as_u64() > Some(0), "{ended}");
    second.stop();
    traffic.settle(&bench);
}

#[test]
fn member_that_panics_while_it_gives_partitions_back_loses_nothing() {
    let Some(bench) = bench("panic_revoked", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000", "--count", "50000"]);
    traffic.wait_for_records();
    let faults = "member::revoked=1*panic->off;member::let_go=1*panic->off";
    let mut first = bench.hitstream(&["run"]).env("FAILPOINTS", faults).start();
    wait_until("it commits", PATIENCE, || owners(&bench) == 1);
    for point in ["member::revoked", "member::let_go"] {
        let said = format!("failpoint {point} panic");
        let all =
            format!("SELECT count(*) FROM partition_progress WHERE owner LIKE '%:{}'", first.id());
        wait_until("the first has all", PATIENCE, || bench.count(&all) == 4);
        let second = start(&bench);
        wait_until(point, PATIENCE, || first.stderr().contains(&said));
        wait_until("the second commits", PATIENCE, || {
            let owner = format!("LIKE '%:{}'", second.id());
            bench.count(&format!("SELECT count(*) FROM partition_progress WHERE owner {owner}")) > 0
        });
        second.stop();
    }
    traffic.finish();
    first.stop();
    traffic.settle(&bench);
}

#[test]
fn instances_on_the_same_keys_never_deadlock() {
    let Some(bench) = bench("same_keys", 6) else { return };
    let bench = bench
        .with("HITSTREAM_WINDOW__SIZE", "1s")
        .with("HITSTREAM_WINDOW__SLIDE", "1s")
        .with("HITSTREAM_WATERMARK__DELAY", "1s");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let same_keys = ["--hosts", "10", "--referrers", "1", "--disorder", "500ms", "--step", "1ms"];
    let load = ["--rate", "3000", "--count", "90000"];
    let mut traffic = Traffic::start(&bench, &[&same_keys[..], &load].concat());
    traffic.wait_for_records();
    let before = bench.count(deadlocks);
    let instances = start_all(&bench, 3);
    traffic.finish();
    let moved = bench.count("SELECT count(DISTINCT window_start) FROM aggregated_web_traffic");
    for ended in instances.into_iter().map(Running::stop) {
        assert!(!ended.stderr.contains("40P01"), "{ended}");
    }
    assert!(moved > 20, "{moved} windows became final meanwhile");
    assert_eq!(bench.count(deadlocks), before);
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
    wait_until("the first hits", PATIENCE, || committed(&bench) == 2);
    kafka::add_partitions(&bench.kafka_url, &bench.topic, 4);
    // Before the group knows of them: their first records must not be missed.
    (1..4).for_each(|partition| bench.send(partition, &hits(i64::from(partition))));
    wait_until("all hits", PATIENCE, || committed(&bench) == 8);
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
    let mut traffic = Traffic::start(&bench, &["--rate", "3000", "--count", "45000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 2);
    instances.remove(0).stop();
    instances.push(start(&bench));
    traffic.finish();
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn only_instance_with_static_membership_goes_on_at_once_after_a_kill() {
    let Some(bench) = bench("static", 4) else { return };
    let bench = bench
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "one")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "45000");
    let mut traffic = Traffic::start(&bench, &["--rate", "3000", "--count", "30000"]);
    traffic.wait_for_records();
    let first = start_all(&bench, 1).remove(0);
    first.kill();
    let before = committed(&bench);
    let started = Instant::now();
    let second = start(&bench);
    // Far below the session timeout, which a dynamic member would have to wait for.
    wait_until("it counts", Duration::from_secs(30), || committed(&bench) > before);
    eprintln!("counted again {:?} after its start", started.elapsed());
    traffic.finish();
    second.stop();
    traffic.settle(&bench);
}
