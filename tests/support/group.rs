//! Instances of one consumer group.

use super::process::{Running, wait_until};
use super::traffic::owners;
use super::{Bench, kafka};

/// A bench whose instances commit often. Their session is the shortest that ordinary brokers allow: on a machine as busy
/// as that of a test, a shorter one would end by itself.
pub(crate) fn bench(name: &str, partitions: i32) -> Option<Bench> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
        .with("HITSTREAM_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "500");
    kafka::create(&bench.kafka_url, &bench.topic, partitions);
    Some(bench)
}

/// Starts an instance.
pub(crate) fn start(bench: &Bench) -> Running {
    bench.hitstream(&["run"]).start()
}

/// Starts so many instances and waits until each has partitions.
pub(crate) fn start_all(bench: &Bench, count: usize) -> Vec<Running> {
    let instances: Vec<Running> = (0..count).map(|_| start(bench)).collect();
    wait_until("every instance commits", || owners(bench) == i64::try_from(count).unwrap());
    instances
}

/// How many partitions this instance was the last to commit.
pub(crate) fn owned(bench: &Bench, instance: &Running) -> i64 {
    let owner = format!("LIKE '%:{}'", instance.id());
    let query = format!("SELECT count(*) FROM partition_progress WHERE owner {owner}");
    // Before the first instance has made the tables there is none.
    bench.sql().query_one(query.as_str(), &[]).map_or(0, |row| row.get(0))
}
