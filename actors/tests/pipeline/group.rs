//! Partitions come and go, and a pipeline ends when it is told to.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use hitstream_actors::contact::{Contact, Unconfirmed};
use hitstream_actors::readiness::Part;
use hitstream_actors::supervisor::Shutdown;
use hitstream_domain::progress::PartitionId;

use crate::memory_source::MemorySource;
use crate::stage::{Stage, until};

/// Half of each partition is read by one; then every other partition goes to another.
async fn hand_over(seed: u8, hand: impl AsyncFn(&MemorySource, Vec<PartitionId>)) {
    let mut stage = Stage::new(seed);
    stage.settings.flush.max_events = 5;
    let (first, second) = (stage.source(3), MemorySource::join(&stage.topic, Vec::new(), 2));
    let longest = stage.topic.iter().map(Vec::len).max().unwrap();
    first.seen.limit.store(longest / 2, SeqCst);
    let running = (stage.start(&first), stage.start(&second));
    until(|| first.seen.is_dry.load(SeqCst)).await;
    let moving: Vec<_> = stage.partitions().into_iter().step_by(2).collect();
    hand(&first, moving.clone()).await;
    second.assign(moving);
    first.seen.limit.store(usize::MAX, SeqCst);
    running.0.end().await.unwrap();
    running.1.end().await.unwrap();
    stage.check();
}

#[actix::test]
async fn revoked_partitions_are_committed_let_go_and_read_on_by_another() {
    for seed in 120..132 {
        hand_over(seed, async |first, moving| first.revoke(moving).await.unwrap()).await;
    }
}

#[actix::test]
async fn member_that_does_not_hear_of_its_loss_is_fenced() {
    for seed in 140..146 {
        hand_over(seed, async |first, moving| first.lose(moving)).await;
    }
}

#[actix::test]
async fn shutdown_commits_what_was_read_and_leaves_the_group() {
    for seed in 160..164 {
        let mut stage = Stage::new(seed);
        stage.settings.until_end = false;
        stage.settings.flush.interval = Duration::from_secs(3_600);
        let source = stage.source(5);
        let running = stage.start(&source);
        until(|| source.seen.is_dry.load(SeqCst)).await;
        assert_eq!(stage.store.tries.load(SeqCst), 0);
        running.supervisor.do_send(Shutdown);
        running.end().await.unwrap();
        assert!(source.seen.has_left.load(SeqCst));
        stage.check_counts();
    }
}

#[actix::test]
async fn shutdown_does_not_wait_for_a_store_that_does_not_answer() {
    let mut stage = Stage::new(170);
    stage.settings.until_end = false;
    stage.settings.shutdown_timeout = Duration::from_millis(50);
    stage.store.gate.send_replace(false);
    let source = stage.source(5);
    let running = stage.start(&source);
    until(|| stage.store.tries.load(SeqCst) > 0).await;
    running.supervisor.do_send(Shutdown);
    running.end().await.unwrap();
    assert!(stage.store.tables().progress.values().all(|(row, _)| row.next_offset.0 == 0));
}

#[actix::test]
async fn member_without_partitions_ends_when_the_others_have_read_all() {
    let stage = Stage::new(180);
    let second = stage.start(&MemorySource::join(&stage.topic, Vec::new(), 2));
    stage.run(&stage.source(4)).await;
    second.end().await.unwrap();
    stage.check();
}

/// A group that has not confirmed its member for so many seconds, while brokers answer.
fn waiting(seconds: u64) -> Contact {
    let time = Duration::from_secs(seconds);
    let unconfirmed = Some(Unconfirmed { time, step: "wait-join".to_owned() });
    Contact {
        answering: time,
        unconfirmed,
        patience: Duration::from_secs(30),
        ..Contact::default()
    }
}

#[actix::test]
async fn member_whose_group_does_not_settle_gets_another_client_and_counts_right() {
    let mut stage = Stage::new(190);
    stage.settings.until_end = false;
    let source = stage.source(5);
    let running = stage.start(&source);
    until(|| source.seen.is_dry.load(SeqCst)).await;
    *source.seen.contact.lock().unwrap() = waiting(20);
    let why = || stage.readiness.reasons().get(&Part::Kafka).cloned().unwrap_or_default();
    until(|| why().contains("for 20 s")).await;
    assert_eq!(source.seen.renewals.lock().unwrap().len(), 0, "it may yet settle");
    *source.seen.contact.lock().unwrap() = waiting(31);
    until(|| source.seen.generations.load(SeqCst) == 2 && source.seen.is_dry.load(SeqCst)).await;
    assert_eq!(source.seen.renewals.lock().unwrap().len(), 1);
    until(|| why().is_empty()).await;
    running.supervisor.do_send(Shutdown);
    running.end().await.unwrap();
    stage.check_counts();
}

#[actix::test]
async fn silent_brokers_are_no_readiness_and_no_reason_for_another_client() {
    let mut stage = Stage::new(191);
    stage.settings.until_end = false;
    let source = stage.source(5);
    let running = stage.start(&source);
    until(|| stage.readiness.is_ready()).await;
    let silence = Duration::from_secs(40);
    let silent = Contact { silence, answering: Duration::ZERO, ..waiting(40) };
    *source.seen.contact.lock().unwrap() = silent;
    until(|| !stage.readiness.is_ready()).await;
    let reasons = stage.readiness.reasons();
    assert_eq!(reasons[&Part::Kafka], "the brokers have not answered for 40 s");
    *source.seen.contact.lock().unwrap() = Contact::default();
    until(|| stage.readiness.is_ready()).await;
    assert_eq!(source.seen.renewals.lock().unwrap().len(), 0);
    running.supervisor.do_send(Shutdown);
    running.end().await.unwrap();
    stage.check_counts();
}
