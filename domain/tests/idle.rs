//! Idle partitions by a manual clock: which claims there are, and what the frontier makes of them.

use std::time::Duration;

use hitstream_domain::frontier::{PartitionClock, frontier};
use hitstream_domain::idle::{IdleClaim, IdleWatch};
use hitstream_domain::progress::Offset;
use hitstream_domain::time::EventTime;

const TIMEOUT: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::ZERO;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// PostgreSQL's clock, which here is the readers' as well.
fn at(seconds: u64) -> EventTime {
    EventTime::from_millis(seconds as i64 * 1_000)
}

/// Everything that one partition is to the frontier.
struct Partition {
    watch: IdleWatch,
    next: Offset,
    end: Offset,
    clock: PartitionClock,
}

impl Partition {
    fn assigned(seconds: u64, max_event_time: Option<u64>) -> Self {
        let clock = PartitionClock { max_event_time: max_event_time.map(at), idle_until: None };
        Self { watch: IdleWatch::new(s(seconds), TIMEOUT), next: Offset(0), end: Offset(0), clock }
    }

    /// The reader takes a record with this event time.
    fn accept(&mut self, seconds: u64, event_time: u64) {
        self.next = self.next.next();
        self.watch.accepted(s(seconds));
        self.clock.max_event_time = self.clock.max_event_time.max(Some(at(event_time)));
        self.clock.idle_until = None;
    }

    /// A look at the clock: a claim, if one is due and there is proof, is committed `lag` later.
    fn look(&mut self, seconds: u64, lag: u64) -> Option<IdleClaim> {
        if !self.watch.is_due(s(seconds)) {
            return None;
        }
        let claim = self.watch.prove(s(seconds), self.end, self.next)?;
        let left = claim.remaining(s(seconds + lag), TIMEOUT)?;
        self.clock.idle_until = Some(at(seconds + lag).plus(left));
        Some(claim)
    }
}

fn frontier_at(seconds: u64, partitions: &[&Partition]) -> EventTime {
    let clocks: Vec<PartitionClock> = partitions.iter().map(|p| p.clock).collect();
    frontier(&clocks, DELAY, Some(at(seconds)))
}

#[test]
fn partition_that_never_had_data_holds_the_frontier_until_it_was_quiet_for_the_timeout() {
    let (mut empty, mut busy) = (Partition::assigned(100, None), Partition::assigned(100, None));
    busy.accept(100, 5_000);
    for seconds in 100..160 {
        assert_eq!(empty.look(seconds, 0), None);
        assert_eq!(frontier_at(seconds, &[&empty, &busy]), EventTime::NEG_INFINITY);
    }
    assert!(empty.look(160, 0).is_some());
    assert_eq!(frontier_at(160, &[&empty, &busy]), at(5_000));
}

#[test]
fn claim_that_is_renewed_in_time_never_runs_out() {
    let mut quiet = Partition::assigned(0, Some(10));
    let mut busy = Partition::assigned(0, Some(10));
    let mut claims = 0;
    for seconds in 60..600 {
        claims += usize::from(quiet.look(seconds, 3).is_some());
        busy.accept(seconds, 1_000 + seconds);
        assert_eq!(frontier_at(seconds, &[&quiet, &busy]), at(1_000 + seconds));
    }
    assert_eq!(claims, 540 / 20, "one each third of the timeout");
}

#[test]
fn partition_that_wakes_holds_the_frontier_again() {
    let mut sleeper = Partition::assigned(0, Some(10));
    let mut busy = Partition::assigned(0, Some(10));
    busy.accept(59, 900);
    assert!(sleeper.look(60, 0).is_some());
    assert_eq!(frontier_at(61, &[&sleeper, &busy]), at(900));
    sleeper.accept(62, 500);
    assert_eq!(frontier_at(62, &[&sleeper, &busy]), at(500), "the caller keeps the greater one");
    assert_eq!(sleeper.look(121, 0), None);
    assert!(sleeper.look(122, 0).is_some(), "quiet again for the whole timeout");
}

#[test]
fn claim_of_an_owner_that_is_gone_runs_out() {
    let mut orphan = Partition::assigned(0, Some(10));
    let mut busy = Partition::assigned(0, Some(10));
    assert!(orphan.look(60, 0).is_some());
    busy.accept(119, 900);
    assert_eq!(frontier_at(119, &[&orphan, &busy]), at(900));
    assert_eq!(frontier_at(120, &[&orphan, &busy]), at(10), "nobody owns it, nobody claims");
    // The next owner knows nothing of the quiet before.
    orphan.watch = IdleWatch::new(s(125), TIMEOUT);
    assert_eq!(orphan.look(184, 0), None);
    assert!(orphan.look(185, 0).is_some());
}

#[test]
fn partition_that_is_not_read_to_its_end_is_not_idle_however_quiet() {
    let mut held_back = Partition::assigned(0, Some(10));
    held_back.end = Offset(1);
    for seconds in 0..600 {
        assert_eq!(held_back.look(seconds, 0), None, "paused by backpressure, or cut off");
    }
    // What was read was rejected: that is no hit, but it is read.
    held_back.next = Offset(1);
    assert!(held_back.look(600, 0).is_some());
}

#[test]
fn claim_ages_on_its_way_to_postgresql() {
    let mut watch = IdleWatch::new(s(0), TIMEOUT);
    let claim = watch.prove(s(60), Offset(0), Offset(0)).unwrap();
    assert_eq!(claim.remaining(s(65), TIMEOUT), Some(s(55)));
    assert_eq!(claim.remaining(s(120), TIMEOUT), None);
}

#[test]
fn record_accepted_after_the_question_was_asked_spoils_the_answer() {
    let mut watch = IdleWatch::new(s(0), TIMEOUT);
    assert!(watch.is_due(s(60)));
    watch.accepted(s(61));
    assert_eq!(watch.prove(s(60), Offset(1), Offset(1)), None);
}
