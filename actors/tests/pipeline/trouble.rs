//! Rows that are refused, actors that panic, a store that never answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::reject::RejectReason;

use crate::memory_store::{Fault, Refusals};
use crate::model::{Hit, Record, outcome};
use crate::stage::{Stage, hit, minutes, until};

/// The truth about a topic of which some hits are refused; those ahead of their time are rejected as that.
fn with_refused(stage: &Stage, refused: impl Fn((i32, i64), &Hit) -> bool) -> Vec<Vec<Record>> {
    let rejected = outcome(&stage.topic, &stage.rules).rejected;
    let mut topic = (*stage.topic).clone();
    for (partition, records) in (0..).zip(&mut topic) {
        for (offset, record) in (0..).zip(records) {
            let at = (partition, offset);
            let is_refused = record.truth.as_ref().is_ok_and(|hit| refused(at, hit));
            if is_refused && !rejected.contains_key(&at) {
                record.truth = Err(RejectReason::Refused);
            }
        }
    }
    topic
}

fn set_refusals(stage: &mut Stage, refusals: Refusals) {
    Arc::get_mut(&mut stage.store).unwrap().refusals = refusals;
}

#[actix::test]
async fn records_of_refused_sums_are_rejected_and_the_rest_is_counted() {
    for seed in 80..86 {
        let mut stage = Stage::new(seed);
        stage.settings.flush.max_events = 20;
        set_refusals(&mut stage, Refusals { host: Some("a"), ..Refusals::default() });
        stage.run(&stage.source(4)).await;
        stage.check_against(&with_refused(&stage, |_, hit| hit.host.as_deref() == Some("a")));
    }
}

#[actix::test]
async fn refused_events_are_rejected_and_refused_rejects_lose_their_payload() {
    for seed in 90..94 {
        let mut stage = Stage::new(seed);
        let rejected = outcome(&stage.topic, &stage.rules).rejected;
        let longest = (0..).zip(&*stage.topic).max_by_key(|(_, records)| records.len()).unwrap();
        let offsets = 0..i64::try_from(longest.1.len()).unwrap();
        let accepted =
            offsets.map(|offset| (longest.0, offset)).find(|at| !rejected.contains_key(at));
        let with_payload = |(partition, offset): &(i32, i64)| {
            let partition = usize::try_from(*partition).unwrap();
            stage.topic[partition][usize::try_from(*offset).unwrap()].value.is_some()
        };
        let reject = rejected.keys().copied().find(with_payload);
        set_refusals(&mut stage, Refusals { event: accepted, reject, ..Refusals::default() });
        stage.run(&stage.source(7)).await;
        stage.check_against(&with_refused(&stage, |at, _| Some(at) == accepted));
    }
}

#[actix::test]
async fn generation_whose_actor_panics_is_followed_by_one_that_counts_right() {
    let run = |seed: u8| async move {
        let mut stage = Stage::new(seed);
        stage.settings.flush.max_events = 5;
        let source = stage.source(3);
        let (partition, records) =
            (0..).zip(&*stage.topic).max_by_key(|(_, records)| records.len()).unwrap();
        let offset = Offset(i64::try_from(records.len() / 2).unwrap());
        *source.seen.trap.lock().unwrap() = Some((PartitionId(partition), offset));
        stage.run(&source).await;
        assert_eq!(*source.seen.trap.lock().unwrap(), None, "the trap was sprung");
        stage.check();
    };
    futures::future::join_all((100..106).map(run)).await;
}

#[actix::test]
async fn no_actor_dies_unnoticed() {
    let run = |writer: bool| async move {
        let stage = Stage::new(110);
        let source = stage.source(3);
        if writer {
            stage.store.faults.lock().unwrap().push_back(Some(Fault::Panic));
        } else {
            stage.store.survey_panics.store(true, SeqCst);
        }
        stage.run(&source).await;
        // Not those that attached: the finalizer may die before the group member has come to that.
        assert_eq!(stage.metrics.generations.get(), 2);
        stage.check();
    };
    futures::future::join(run(true), run(false)).await;
}

#[actix::test]
async fn intake_stays_bounded_while_the_store_does_not_answer() {
    const EVENTS: usize = 500;
    const BATCH: usize = 10;
    const BYTES: usize = 100_000;
    // Large values, so that what may lie undecoded is few of them.
    let mut stage = Stage::with_topic(minutes(), vec![vec![hit(BYTES); 3_000]; 2]);
    stage.settings.flush.max_events = EVENTS;
    stage.store.gate.send_replace(false);
    let source = stage.source(BATCH);
    let running = stage.start(&source);
    until(|| stage.store.tries.load(SeqCst) > 0 && source.seen.refused.load(SeqCst) > 100).await;
    let (records, bytes) = (source.seen.records.load(SeqCst), source.seen.bytes.load(SeqCst));
    // Each of two epochs is overrun by what lay undecoded, 8 MiB, when it was full, and by a batch of each partition.
    let overrun = (8 << 20) / BYTES + 2 * BATCH;
    assert!((EVENTS..=2 * (EVENTS + overrun)).contains(&records), "{records} records");
    assert!(bytes <= 2 * (EVENTS + overrun) * (BYTES + 100), "{bytes} bytes");
    assert_eq!(stage.store.tables().open, BTreeMap::new());
    stage.store.gate.send_replace(true);
    running.end().await.unwrap();
    stage.check();
}

#[actix::test]
async fn end_seen_at_start_is_the_end_for_later_generations_too() {
    let stage = Stage::with_topic(minutes(), vec![vec![hit(0); 6]; 2]);
    let source = stage.source(1);
    source.seen.end.store(3, SeqCst);
    *source.seen.trap.lock().unwrap() = Some((PartitionId(0), Offset(1)));
    stage.start(&source).end().await.unwrap();
    assert_eq!(source.seen.generations.load(SeqCst), 2);
    assert_eq!((stage.committed(0), stage.committed(1)), (3, 3));
}
