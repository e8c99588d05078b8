//! What arrives while partitions are being let go.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use hitstream_actors::supervisor::Shutdown;
use hitstream_domain::progress::PartitionId;

use crate::memory_source::MemorySource;
use crate::stage::{Stage, hit, minutes, until};

const FOREVER: Duration = Duration::from_secs(3_600);

/// Two partitions of four hits; only revocations and the end cut epochs, and no commit is answered yet.
fn stage() -> Stage {
    let mut stage = Stage::with_topic(minutes(), vec![vec![hit(0); 4]; 2]);
    stage.settings.until_end = false;
    stage.settings.flush.interval = FOREVER;
    stage.store.gate.send_replace(false);
    stage
}

/// Reads half of both partitions.
async fn half_read(stage: &Stage, source: &MemorySource) {
    source.seen.limit.store(2, SeqCst);
    until(|| source.seen.is_dry.load(SeqCst)).await;
    assert_eq!(stage.store.tries.load(SeqCst), 0);
}

/// Reads the rest, once a first epoch is on its way.
async fn rest_read(stage: &Stage, source: &MemorySource) {
    until(|| stage.store.tries.load(SeqCst) == 1).await;
    source.seen.limit.store(usize::MAX, SeqCst);
    source.seen.is_dry.store(false, SeqCst);
    until(|| source.seen.is_dry.load(SeqCst)).await;
}

#[actix::test]
async fn records_that_come_after_the_last_cut_belong_to_the_next_owner() {
    let stage = stage();
    let (first, second) = (stage.source(1), MemorySource::join(&stage.topic, Vec::new(), 1));
    let running = [stage.start(&first), stage.start(&second)];
    half_read(&stage, &first).await;
    let released = first.revoke(vec![PartitionId(0)]);
    rest_read(&stage, &first).await;
    stage.store.gate.send_replace(true);
    released.await.unwrap();
    assert_eq!((stage.committed(0), stage.committed(1)), (2, 2));
    second.assign(vec![PartitionId(0)]);
    until(|| second.seen.is_dry.load(SeqCst)).await;
    for running in running {
        running.supervisor.do_send(Shutdown);
        running.end().await.unwrap();
    }
    stage.check_counts();
    assert_eq!(first.seen.generations.load(SeqCst), 1);
}

#[actix::test]
async fn partition_revoked_while_another_is_let_go_is_committed_first() {
    let stage = stage();
    let source = stage.source(1);
    let running = stage.start(&source);
    half_read(&stage, &source).await;
    let first = source.revoke(vec![PartitionId(0)]);
    rest_read(&stage, &source).await;
    let second = source.revoke(vec![PartitionId(1)]);
    until(|| source.seen.revocations.load(SeqCst) == 2).await;
    stage.store.gate.send_replace(true);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(stage.committed(1), 4);
    running.supervisor.do_send(Shutdown);
    running.end().await.unwrap();
}

#[actix::test]
async fn shutdown_while_a_partition_is_let_go_commits_the_others() {
    let stage = stage();
    let source = stage.source(1);
    let running = stage.start(&source);
    half_read(&stage, &source).await;
    drop(source.revoke(vec![PartitionId(0)]));
    rest_read(&stage, &source).await;
    running.supervisor.send(Shutdown).await.unwrap();
    stage.store.gate.send_replace(true);
    running.end().await.unwrap();
    assert_eq!((stage.committed(0), stage.committed(1)), (2, 4));
}

#[actix::test]
async fn partition_assigned_during_shutdown_is_left_alone() {
    let stage = stage();
    let source = MemorySource::join(&stage.topic, vec![PartitionId(0)], 1);
    let running = stage.start(&source);
    half_read(&stage, &source).await;
    running.supervisor.do_send(Shutdown);
    until(|| stage.store.tries.load(SeqCst) == 1).await;
    source.assign(vec![PartitionId(1)]);
    until(|| source.seen.assignments.load(SeqCst) == 2).await;
    stage.store.gate.send_replace(true);
    running.end().await.unwrap();
    assert!(source.seen.has_left.load(SeqCst));
    assert_eq!((stage.committed(0), stage.committed(1)), (2, 0));
}

#[actix::test]
async fn delivery_to_a_partition_let_go_harms_nothing_and_takes_no_credit() {
    // The large value is all that may lie undecoded.
    let topic = vec![vec![hit(0), hit(9 << 20)], vec![hit(0), hit(0)]];
    let mut stage = Stage::with_topic(minutes(), topic);
    stage.settings.until_end = false;
    let (first, second) = (stage.source(1), MemorySource::join(&stage.topic, Vec::new(), 1));
    first.seen.limit.store(1, SeqCst);
    first.seen.holds_releases.store(true, SeqCst);
    let running = [stage.start(&first), stage.start(&second)];
    until(|| (stage.committed(0), stage.committed(1)) == (1, 1)).await;
    let released = first.revoke(vec![PartitionId(0)]);
    until(|| first.seen.releases.load(SeqCst) == 1).await;
    first.seen.limit.store(usize::MAX, SeqCst);
    until(|| stage.committed(1) == 2).await;
    first.seen.holds_releases.store(false, SeqCst);
    released.await.unwrap();
    second.assign(vec![PartitionId(0)]);
    until(|| stage.committed(0) == 2).await;
    for running in running {
        running.supervisor.do_send(Shutdown);
        running.end().await.unwrap();
    }
    stage.check_counts();
    assert_eq!(first.seen.generations.load(SeqCst), 1);
}
