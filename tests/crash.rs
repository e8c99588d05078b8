//! Killed at any moment, cut off at the worst one: the rows are those that were expected.

use std::time::Duration;

use crate::support::process::{PATIENCE, wait_until};
use crate::support::proxy::{Fate, Proxy};
use crate::support::random::Random;
use crate::support::traffic::{Traffic, committed};
use crate::support::{Bench, kafka};

const KILLS: usize = 36;

/// A bench whose binary reaches PostgreSQL through a proxy, and takes its partitions back at once after a crash.
fn bench_behind_proxy(name: &str) -> Option<(Bench, Proxy)> {
    let bench = Bench::new(name)?;
    kafka::create(&bench.kafka_url, &bench.topic, 4);
    let proxy = Proxy::start(bench.postgres_address());
    let url = bench.database_url().replace(&bench.postgres_address(), proxy.address());
    let bench = bench
        .with("POSTGRES_URL", url)
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "one")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "30000");
    Some((bench, proxy))
}

/// Kills the pipeline at a moment that chance picks: anywhere, or while a COMMIT or its answer is on its way, if there is
/// one within `patience`. Tells whether one was.
fn kill_somewhere(bench: &Bench, proxy: &Proxy, random: &mut Random, patience: Duration) -> bool {
    let running = bench.hitstream(&["run"]).start();
    let fate = match random.below(0..4) {
        0 => Fate::HoldRequest,
        1 => Fate::HoldAnswer,
        _ => {
            running.kill_after(Duration::from_millis(random.below(20..1_200)));
            return false;
        }
    };
    proxy.plan(&[fate]);
    let held = proxy.wait_for_hold(patience);
    let lives_on = random.below(0..2) == 0;
    if lives_on && held {
        // The COMMIT arrives when its sender is dead and the next instance has begun.
        let dead = running.kill();
        assert_eq!(dead.code, None, "{dead}");
        let mut next = bench.hitstream(&["run"]).start();
        next.run_for(Duration::from_millis(random.below(50..800)));
        proxy.release(true);
        next.kill_after(Duration::from_millis(random.below(0..300)));
    } else {
        running.kill();
        proxy.release(random.below(0..2) == 0);
    }
    held
}

#[test]
fn kill_9_under_load_loses_and_doubles_nothing() {
    const SEED: u64 = 20_261_124;
    let Some((bench, proxy)) = bench_behind_proxy("kill") else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "1000"]);
    traffic.wait_for_records();
    let mut random = Random::new(SEED);
    let mut during_commit = 0;
    for _ in 0..KILLS {
        // A busy machine may take long until its first; once one is met, a kill without is as good.
        let patience = if during_commit == 0 { PATIENCE } else { Duration::from_secs(5) };
        let met = kill_somewhere(&bench, &proxy, &mut random, patience);
        during_commit += usize::from(met);
    }
    traffic.finish();
    eprintln!("{KILLS} kills, {during_commit} of them while a COMMIT was on its way");
    assert!(during_commit > 0, "no kill met a COMMIT");
    let before_the_end = committed(&bench);
    assert!(before_the_end > 0, "nothing was committed between the kills");
    traffic.settle(&bench);
}

#[test]
fn lost_acknowledgement_counts_once_whether_or_not_the_server_committed() {
    let Some((mut bench, proxy)) = bench_behind_proxy("lost_ack") else { return };
    // However late the pipeline is: more commits than fates.
    bench.set("HITSTREAM_FLUSH__MAX_EVENTS", "1000");
    let mut traffic = Traffic::start(&bench, &["--rate", "4000", "--count", "40000"]);
    let (before, after) = (Fate::LoseRequest, Fate::LoseAnswer);
    proxy.plan(&[
        before,
        after,
        Fate::Pass,
        after,
        after,
        before,
        before,
        Fate::Pass,
        after,
        before,
    ]);
    let mut running = bench.hitstream(&["run"]).start();
    traffic.finish();
    wait_until("all fates", || proxy.count(before) >= 4 && proxy.count(after) >= 4);
    wait_until("all records", || committed(&bench) == 40_000);
    assert!(running.is_running());
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    // Committed and unheard of: the same epoch, sent again, finds its offsets moved on, and all is read anew.
    assert!(ended.stderr.contains("moved on by another owner"), "{ended}");
    traffic.settle(&bench);
}
