//! Random schedules: who reads, cuts, commits, advances, moves, crashes and takes over, in any order.

use std::time::Duration;

use hitstream_domain::progress::PartitionId;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;
use proptest::prelude::*;

use crate::instance::Instance;
use crate::model::{Record, Rules, total};
use crate::store::Store;
use crate::topic;

/// A topic, how it is read, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    pub(crate) topic: Vec<Vec<Record>>,
    /// Window shards of each instance.
    shards: Vec<usize>,
    /// Which instance each partition belongs to at first, modulo.
    owners: Vec<usize>,
    steps: Vec<Step>,
}

/// One step; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Read {
        instance: usize,
        partition: usize,
        count: usize,
    },
    Cut {
        instance: usize,
    },
    /// Commits what is on its way; where the acknowledgement is lost, it goes on being on its way.
    Commit {
        instance: usize,
        acknowledged: bool,
    },
    Advance,
    Move,
    /// Everything in memory is lost.
    Crash {
        instance: usize,
    },
    /// The group gives a partition to another; the owner before does not know, until it is fenced or crashes.
    Reassign {
        partition: usize,
        to: usize,
    },
    Claim {
        partition: usize,
    },
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let shards = prop::collection::vec(1..=3_usize, 1..=3);
    let owners = prop::collection::vec(0..3_usize, 4);
    let steps = prop::collection::vec(step(), 0..100);
    (topic::rules_and_topic(), shards, owners, steps).prop_map(
        |((rules, topic), shards, owners, steps)| Case { rules, topic, shards, owners, steps },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..3_usize;
    let partition = || 0..4_usize;
    prop_oneof![
        8 => (instance(), partition(), 1..15_usize)
            .prop_map(|(instance, partition, count)| Step::Read { instance, partition, count }),
        4 => instance().prop_map(|instance| Step::Cut { instance }),
        4 => (instance(), prop::bool::weighted(0.8))
            .prop_map(|(instance, acknowledged)| Step::Commit { instance, acknowledged }),
        2 => Just(Step::Advance),
        2 => Just(Step::Move),
        1 => instance().prop_map(|instance| Step::Crash { instance }),
        1 => (partition(), instance()).prop_map(|(partition, to)| Step::Reassign { partition, to }),
        1 => partition().prop_map(|partition| Step::Claim { partition }),
    ]
}

/// Runs the steps, then everything to its end; claims count if `claims` says so.
pub(crate) fn run(case: &Case, claims: bool) -> Store {
    let mut run = Run::new(case);
    for step in &case.steps {
        match *step {
            Step::Claim { .. } if !claims => {}
            step => run.step(step),
        }
        check_books(&run.store);
    }
    run.finish();
    check_books(&run.store);
    run.store
}

/// What holds after every step: each pair is in exactly one table.
fn check_books(store: &Store) {
    let ledger = store.ledger();
    assert_eq!(ledger.records, ledger.accepted + ledger.rejected);
    assert_eq!(ledger.rejected, i64::try_from(store.rejected.len()).unwrap());
    let kept = i64::try_from(total(&store.finals) + total(&store.open)).unwrap();
    let late = i64::try_from(total(&store.late)).unwrap();
    assert_eq!((ledger.counted, ledger.late + ledger.diverted), (kept, late));
    assert_eq!(ledger.pairs(), kept + late);
}

struct Run<'a> {
    case: &'a Case,
    rules: TimeRules,
    owners: Vec<usize>,
    instances: Vec<Instance>,
    store: Store,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case) -> Self {
        let span = |micros: i64| Duration::from_micros(micros.unsigned_abs());
        let rules = TimeRules {
            window: WindowSpec::new(span(case.rules.size), span(case.rules.slide)).unwrap(),
            delay: span(case.rules.delay),
            max_future_skew: span(case.rules.skew),
        };
        let count = case.shards.len();
        let owners = case.owners.iter().map(|owner| owner % count).take(case.topic.len()).collect();
        let store = Store::new(rules, case.topic.len());
        let mut run = Self { case, rules, owners, instances: Vec::new(), store };
        run.instances = (0..count).map(|instance| run.started(instance)).collect();
        run
    }

    fn started(&self, instance: usize) -> Instance {
        let owned = (0..).zip(&self.owners).filter(|(_, owner)| **owner == instance);
        let partitions = owned.map(|(partition, _)| PartitionId(partition));
        Instance::start(partitions, &self.store, &self.rules, self.case.shards[instance])
    }

    fn step(&mut self, step: Step) {
        let count = self.instances.len();
        let id = |partition: usize| {
            PartitionId(i32::try_from(partition % self.case.topic.len()).unwrap())
        };
        match step {
            Step::Read { instance, partition, count: records } => {
                let now = EventTime::from_micros(self.case.rules.now);
                let (topic, rules) = (&self.case.topic, &self.rules);
                self.instances[instance % count].read(topic, id(partition), records, rules, now);
            }
            Step::Cut { instance } => self.instances[instance % count].cut(),
            Step::Commit { instance, acknowledged } => self.commit(instance % count, acknowledged),
            Step::Advance => self.store.advance(),
            Step::Move => drop(self.store.move_window()),
            Step::Crash { instance } => {
                self.instances[instance % count] = self.started(instance % count);
            }
            Step::Reassign { partition, to } => {
                let to = to % count;
                self.owners[partition % self.case.topic.len()] = to;
                // Nothing is discarded: what the new owner already holds of its other partitions stays.
                self.instances[to].take_up(id(partition), &self.store, &self.rules);
            }
            Step::Claim { partition } => self.store.claim(id(partition)),
        }
    }

    fn commit(&mut self, instance: usize, acknowledged: bool) {
        let Some(epoch) = &self.instances[instance].on_its_way else { return };
        match self.store.commit(epoch) {
            Ok(()) if acknowledged => self.instances[instance].on_its_way = None,
            Ok(()) => {}
            Err(_) => self.instances[instance] = self.started(instance),
        }
    }

    /// Everyone starts anew, with what is theirs by now, and reads to the end; then all that can be is made final.
    fn finish(&mut self) {
        for instance in 0..self.instances.len() {
            self.instances[instance] = self.started(instance);
            for partition in 0..self.case.topic.len() {
                self.step(Step::Read { instance, partition, count: usize::MAX });
            }
            self.step(Step::Cut { instance });
            self.step(Step::Commit { instance, acknowledged: true });
        }
        self.store.advance();
        while self.store.move_window() {}
    }
}
