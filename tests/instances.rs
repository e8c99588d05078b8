//! Several instances in one group: they come, go, die, hang, and count each hit once.

use std::time::{Duration, Instant};

use crate::support::group::{bench, owned, start, start_all};
use crate::support::process::{Running, wait_until};
use crate::support::random::Random;
use crate::support::traffic::{Traffic, committed};
use crate::support::{Bench, kafka};

#[test]
fn three_instances_that_join_leave_and_die_by_chance_count_each_hit_once() {
    const SEED: u64 = 3;
    let Some(bench) = bench("by_chance", 6) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "4000", "--count", "100000"]);
    traffic.wait_for_records();
    let mut random = Random::new(SEED);
    let mut instances: [Option<Running>; 3] = [None, None, None];
    let (mut joined, mut left, mut killed) = (0, 0, 0);
    while traffic.is_running() || joined <= 3 || left == 0 || killed == 0 {
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
            Some(mut running) => {
                // Before that, SIGTERM ends it as it ends any program.
                wait_until("it has begun", || running.stderr().contains("pipeline started"));
                running.stop();
                left += 1;
            }
        }
        let pause = Instant::now() + Duration::from_millis(random.below(100..1_500));
        wait_until("the next move", || {
            instances.iter_mut().flatten().for_each(|running| assert!(running.is_running()));
            Instant::now() >= pause
        });
    }
    if instances.iter().all(Option::is_none) {
        instances[0] = Some(start(&bench));
    }
    traffic.finish_counted(&bench);
    instances.into_iter().flatten().for_each(|running| drop(running.stop()));
    eprintln!("{joined} joined, {left} left, {killed} were killed");
    assert!(committed(&bench) > 0);
    traffic.settle(&bench);
}

#[test]
fn partitions_of_a_killed_instance_are_counted_by_the_others() {
    let Some(bench) = bench("one_killed", 6) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "3000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 3);
    let dead = instances.remove(1);
    let left =
        format!("SELECT count(*) FROM partition_progress WHERE owner LIKE '%:{}'", dead.id());
    dead.kill();
    let killed_at = Instant::now();
    wait_until("its partitions move", || bench.count(&left) == 0);
    eprintln!("its partitions were counted again {:?} after the kill", killed_at.elapsed());
    traffic.finish_counted(&bench);
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn instance_that_slept_through_its_session_is_fenced_and_starts_again() {
    const NAPS: usize = 4;
    let Some(bench) = bench("asleep", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 2);
    let mut sleeper = instances.remove(0);
    let fenced = |sleeper: &mut Running| sleeper.stderr().contains("moved on by another owner");
    // A nap that finds it with nothing read and not committed needs no fence.
    for _ in 0..NAPS {
        wait_until("it has partitions", || owned(&bench, &sleeper) > 0);
        sleeper.signal("STOP");
        wait_until("its partitions move", || owned(&bench, &sleeper) == 0);
        let generations = sleeper.stderr().matches("pipeline started").count();
        sleeper.signal("CONT");
        wait_until("it starts again, or has partitions again", || {
            let said = sleeper.stderr();
            said.matches("pipeline started").count() > generations || owned(&bench, &sleeper) > 0
        });
        if fenced(&mut sleeper) {
            break;
        }
    }
    assert!(fenced(&mut sleeper), "{}", sleeper.stderr());
    traffic.finish_counted(&bench);
    let ended = sleeper.stop();
    assert!(ended.logged("pipeline ended", "fenced_commits").as_u64() > Some(0), "{ended}");
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn instance_that_slept_through_its_session_comes_back_also_where_brokers_assign() {
    let Some(bench) = Bench::new("asleep_848") else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_PROTOCOL", "consumer");
    kafka::create(&bench.kafka_url, &bench.topic, 4);
    let mut traffic = Traffic::start(&bench, &["--rate", "1000"]);
    traffic.wait_for_records();
    let mut instances = start_all(&bench, 2);
    let sleeper = instances.remove(0);
    sleeper.signal("STOP");
    // The brokers' session, 45 s unless they are told otherwise.
    wait_until("its partitions move", || owned(&bench, &sleeper) == 0);
    sleeper.signal("CONT");
    wait_until("it has partitions again", || owned(&bench, &sleeper) > 0);
    traffic.finish_counted(&bench);
    let ended = sleeper.stop();
    // Longer than actors.stall_timeout, but none of its actors hung.
    assert!(ended.stderr.contains("this process was frozen"), "{ended}");
    assert!(!ended.stderr.contains("an actor died"), "{ended}");
    instances.into_iter().for_each(|running| drop(running.stop()));
    traffic.settle(&bench);
}

#[test]
fn instance_that_hangs_amid_a_copy_does_not_hold_up_the_others() {
    let Some(bench) = bench("amid_copy", 4) else { return };
    let bench = bench.with("HITSTREAM_ACTORS__STALL_TIMEOUT", "90s");
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    // Its session holds the frontier's lock and waits for the rest of the rows.
    let faults = "commit::amid_copy=5*off->1*sleep(25000)->off";
    let hanging = bench.hitstream(&["run"]).env("FAILPOINTS", faults).start();
    wait_until("it commits", || owned(&bench, &hanging) > 0);
    let mut other = start(&bench);
    wait_until("its session is ended", || {
        other.stderr().contains("another instance hangs amid a commit; its session is ended")
    });
    traffic.finish_counted(&bench);
    hanging.stop();
    other.stop();
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
    traffic.finish_counted(&bench);
    let moved = "SELECT count(DISTINCT window_start) FROM aggregated_web_traffic";
    wait_until("many windows are final", || bench.count(moved) > 20);
    for ended in instances.into_iter().map(Running::stop) {
        assert!(!ended.stderr.contains("40P01"), "{ended}");
    }
    assert_eq!(bench.count(deadlocks), before);
    traffic.settle(&bench);
}
