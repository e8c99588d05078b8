//! The judgement: facts in, losses and doubles out. No connection, no clock.

use std::collections::{BTreeMap, BTreeSet};

use hitstream_actors::source::{TopicDescription, is_topic_id};
use hitstream_domain::progress::Ledger;

use super::tables::{Facts, PartitionFacts, RollupFacts, RollupLedger, Stored};

/// What is wrong, in words and in sums.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Records or (record, window) pairs that the ledger has and the tables do not, and records that Kafka deleted
    /// before they were read.
    pub(super) lost: i64,
    /// Those that the tables have and the ledger does not, and rows that stand for one record twice.
    pub(super) doubled: i64,
    /// Everything that must not be.
    pub(super) problems: Vec<String>,
    /// What is worth knowing and may be.
    pub(super) notes: Vec<String>,
}

/// Judges.
pub(super) fn judge(facts: &Facts, topic: &TopicDescription) -> Verdict {
    let mut verdict = Verdict::default();
    for partition in &facts.partitions {
        verdict.partition(partition);
    }
    let ledger = sum(facts);
    let before = verdict.problems.len();
    for rollup in &facts.rollups {
        // What is wrong with the sums that others are held against is not said of those again.
        let has_sound_sums = verdict.problems.len() == before;
        verdict.rollup(rollup, &ledger, has_sound_sums);
    }
    if let Some((size, slide)) = facts.window {
        verdict.windows_of_each(&ledger, size, slide);
    }
    verdict.incarnations(facts);
    verdict.kafka(facts, topic);
    verdict
}

/// The ledger over all partitions: only such sums mean something for pairs.
pub(super) fn sum(facts: &Facts) -> Ledger {
    let mut sum = Ledger::default();
    for partition in &facts.partitions {
        sum += partition.ledger;
    }
    sum
}

impl Verdict {
    /// Compares what should be there with what is.
    fn compare(&mut self, what: &str, ledger: i64, tables: i64) {
        let difference = tables - ledger;
        if difference == 0 {
            return;
        }
        if difference > 0 {
            self.doubled += difference;
        } else {
            self.lost -= difference;
        }
        self.problems.push(format!("{what}: {ledger} by the ledger, {tables} in the tables"));
    }

    fn partition(&mut self, facts: &PartitionFacts) {
        let name = name(facts);
        let ledger = &facts.ledger;
        if ledger.records != ledger.accepted + ledger.rejected {
            self.problems.push(format!(
                "{name}: {} records, but {} accepted and {} rejected",
                ledger.records, ledger.accepted, ledger.rejected
            ));
        }
        let gaps = facts.next.0 - facts.start.0 - ledger.records - ledger.lost;
        if gaps < 0 {
            self.doubled -= gaps;
            self.problems.push(format!(
                "{name}: {} records and {} lost ones between offsets {} and {}",
                ledger.records, ledger.lost, facts.start, facts.next
            ));
        }
        if gaps > 0 {
            self.notes.push(format!(
                "{name}: {gaps} offsets hold no record, as transactions and compaction leave them"
            ));
        }
        if ledger.lost > 0 {
            self.notes.push(format!(
                "{name}: {} offsets were gone from Kafka and were skipped, as kafka.on_data_loss = \"continue\" allows",
                ledger.lost
            ));
        }
        self.stored(&format!("{name}: rejected records"), ledger.rejected, facts.rejects);
        self.stored(&format!("{name}: stored events"), ledger.stored, facts.events);
    }

    fn stored(&mut self, what: &str, ledger: i64, stored: Stored) {
        self.compare(what, ledger, stored.rows);
        if stored.distinct != stored.rows {
            self.problems.push(format!("{what}: {} rows twice", stored.rows - stored.distinct));
        }
        if stored.strays > 0 {
            self.problems.push(format!("{what}: {} of offsets never read", stored.strays));
        }
    }

    fn rollup(&mut self, rollup: &RollupFacts, ledger: &Ledger, has_sound_sums: bool) {
        let name = rollup.name;
        let live = rollup.final_hits + rollup.open_hits;
        let (counted, late) = match rollup.booked {
            None => (ledger.counted, ledger.late + ledger.diverted),
            Some(booked) => (booked.counted, booked.late),
        };
        self.compare(&format!("{name}: hits in final and open windows"), counted, live);
        self.compare(&format!("{name}: late hits"), late, rollup.late_hits);
        if let Some(booked) = &rollup.booked {
            self.beside_web_traffic(rollup, booked, ledger, has_sound_sums);
        }
        if rollup.keys_twice > 0 {
            self.problems.push(format!("{name}: {} keys have several rows", rollup.keys_twice));
        }
        if rollup.final_too_early > 0 {
            self.problems.push(format!(
                "{name}: {} final rows belong to windows that the frontier has not passed",
                rollup.final_too_early
            ));
        }
    }

    /// A rollup that was switched on all the time holds what the first one does, window by window.
    fn beside_web_traffic(
        &mut self,
        rollup: &RollupFacts,
        booked: &RollupLedger,
        ledger: &Ledger,
        has_sound_sums: bool,
    ) {
        let (name, all) = (rollup.name, ledger.pairs());
        let summed = booked.counted + booked.late + booked.refused;
        if booked.refused > 0 {
            let refused = booked.refused;
            self.notes.push(format!(
                "{name}: {refused} hits are left out, for PostgreSQL refused their rows"
            ));
        }
        if summed > all {
            self.doubled += summed - all;
            self.problems
                .push(format!("{name}: {summed} hits by its ledger, of {all} that there are"));
        } else if summed == 0 {
            // It is switched off.
        } else if summed < all {
            self.notes.push(format!(
                "{name}: {summed} of {all} hits: it was not switched on all the time"
            ));
        } else if booked.refused == 0 && rollup.windows_apart > 0 && has_sound_sums {
            self.problems.push(format!(
                "{name}: {} windows hold other sums than those of web_traffic",
                rollup.windows_apart
            ));
        }
    }

    /// A hit falls into size ÷ slide windows, rounded down or up.
    fn windows_of_each(&mut self, ledger: &Ledger, size: i64, slide: i64) {
        let (least, most) = (size / slide, size.div_euclid(slide) + i64::from(size % slide != 0));
        let pairs = ledger.pairs();
        if pairs < ledger.accepted.saturating_mul(least) {
            self.lost += ledger.accepted.saturating_mul(least) - pairs;
        } else if pairs > ledger.accepted.saturating_mul(most) {
            self.doubled += pairs - ledger.accepted.saturating_mul(most);
        } else {
            return;
        }
        self.problems.push(format!(
            "{} accepted records in {least} to {most} windows each, but {pairs} pairs by the ledger",
            ledger.accepted
        ));
    }

    /// A topic id never comes back: what two incarnations of it counted may be the same records.
    fn incarnations(&mut self, facts: &Facts) {
        let mut lives: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for facts in facts.partitions.iter().filter(|facts| is_topic_id(&facts.topic_id)) {
            lives.entry(&facts.topic_id).or_default().insert(facts.incarnation);
        }
        for (id, lives) in lives.iter().filter(|(_, lives)| lives.len() > 1) {
            self.problems.push(format!(
                "incarnations {lives:?} are of one and the same topic (id {id}): its records may be counted twice"
            ));
        }
    }

    fn kafka(&mut self, facts: &Facts, topic: &TopicDescription) {
        let Some(newest) = facts.partitions.last().map(|facts| facts.incarnation) else { return };
        for facts in facts.partitions.iter().filter(|facts| facts.incarnation == newest) {
            let name = name(facts);
            if !topic.may_have_id(&facts.topic_id) {
                self.problems.push(format!(
                    "{name}: the topic in Kafka is another one, created since (id {}, not {})",
                    topic.topic_id, facts.topic_id
                ));
                continue;
            }
            let range = topic.partitions.iter().find(|range| range.partition == facts.partition);
            let Some(range) = range else {
                self.problems.push(format!("{name}: Kafka has no such partition"));
                continue;
            };
            if facts.next > range.high {
                self.problems.push(format!(
                    "{name}: read up to offset {}, but Kafka's records end at {}",
                    facts.next, range.high
                ));
            }
            if facts.next < range.low {
                self.lost += range.low.0 - facts.next.0;
                self.problems.push(format!(
                    "{name}: Kafka deleted offsets {} to {} before they were read",
                    facts.next,
                    range.low.0 - 1
                ));
            }
        }
    }
}

fn name(facts: &PartitionFacts) -> String {
    match facts.incarnation {
        0 => format!("partition {}", facts.partition),
        incarnation => format!("partition {} (incarnation {incarnation})", facts.partition),
    }
}

#[cfg(test)]
mod tests {
    use hitstream_actors::source::PartitionRange;
    use hitstream_domain::progress::{Offset, PartitionId};

    use super::*;

    fn sound() -> (Facts, TopicDescription) {
        let ledger = Ledger {
            records: 10,
            accepted: 8,
            rejected: 2,
            stored: 8,
            counted: 7,
            late: 1,
            ..Ledger::default()
        };
        let stored = |rows| Stored { rows, distinct: rows, strays: 0 };
        let partition = PartitionFacts {
            incarnation: 0,
            partition: PartitionId(0),
            topic_id: "a".into(),
            start: Offset(5),
            next: Offset(15),
            ledger,
            rejects: stored(2),
            events: stored(8),
        };
        let rollup = RollupFacts {
            name: "web_traffic",
            final_hits: 4,
            open_hits: 3,
            late_hits: 1,
            keys_twice: 0,
            final_too_early: 0,
            booked: None,
            windows_apart: 0,
        };
        let booked = Some(RollupLedger { counted: 7, late: 1, refused: 0 });
        let by_country = RollupFacts { name: "by_country", booked, ..rollup.clone() };
        let facts = Facts {
            frontier: None,
            window: Some((300, 300)),
            partitions: vec![partition],
            rollups: vec![rollup, by_country],
        };
        let range = PartitionRange { partition: PartitionId(0), low: Offset(0), high: Offset(20) };
        let topic = TopicDescription {
            cluster_id: String::new(),
            topic_id: "a".into(),
            partitions: vec![range],
        };
        (facts, topic)
    }

    /// Breaks one fact of a sound set; gives what is lost and doubled, and how many problems are named.
    fn broken(
        f: impl FnOnce(&mut PartitionFacts, &mut RollupFacts, &mut PartitionRange),
    ) -> (i64, i64, usize) {
        let (mut facts, mut topic) = sound();
        f(&mut facts.partitions[0], &mut facts.rollups[0], &mut topic.partitions[0]);
        let verdict = judge(&facts, &topic);
        (verdict.lost, verdict.doubled, verdict.problems.len())
    }

    #[test]
    fn sound_tables_have_no_problems() {
        assert_eq!(broken(|_, _, _| ()), (0, 0, 0));
    }

    #[test]
    fn one_topic_in_two_incarnations_is_a_problem() {
        let (mut facts, topic) = sound();
        let mut next = facts.partitions[0].clone();
        (next.incarnation, next.start, next.ledger) = (1, next.next, Ledger::default());
        (next.rejects.rows, next.rejects.distinct) = (0, 0);
        next.events = next.rejects;
        facts.partitions.push(next);
        let problems = judge(&facts, &topic).problems;
        assert!(problems.len() == 1 && problems[0].contains("one and the same"), "{problems:?}");
        facts.partitions[0].topic_id = "b".into();
        assert_eq!(judge(&facts, &topic).problems, [""; 0]);
    }

    #[test]
    fn each_kind_of_loss_and_double_is_found() {
        assert_eq!(broken(|_, rollup, _| rollup.open_hits -= 2), (2, 0, 1));
        assert_eq!(broken(|_, rollup, _| rollup.final_hits += 3), (0, 3, 1));
        assert_eq!(broken(|_, rollup, _| rollup.late_hits = 0), (1, 0, 1));
        assert_eq!(broken(|_, rollup, _| rollup.keys_twice = 1), (0, 0, 1));
        assert_eq!(broken(|_, rollup, _| rollup.final_too_early = 1), (0, 0, 1));
        assert_eq!(broken(|facts, _, _| facts.rejects.rows = 1), (1, 0, 2));
        assert_eq!(broken(|facts, _, _| facts.events.distinct = 7), (0, 0, 1));
        assert_eq!(broken(|facts, _, _| facts.events.strays = 1), (0, 0, 1));
        assert_eq!(broken(|facts, _, _| facts.ledger.records = 11), (0, 1, 2));
        assert_eq!(broken(|facts, _, _| facts.ledger.accepted = 9), (1, 0, 2));
        assert_eq!(broken(|_, _, range| range.low = Offset(18)), (3, 0, 1));
        assert_eq!(broken(|_, _, range| range.high = Offset(14)), (0, 0, 1));
        assert_eq!(broken(|facts, _, _| facts.topic_id = "b".into()), (0, 0, 1));
    }

    #[test]
    fn rollup_by_place_is_judged_by_its_own_ledger_and_against_web_traffic() {
        let judged = |f: &dyn Fn(&mut RollupFacts, &mut RollupLedger)| {
            let (mut facts, topic) = sound();
            let rollup = &mut facts.rollups[1];
            let mut booked = rollup.booked.unwrap();
            f(rollup, &mut booked);
            rollup.booked = Some(booked);
            let verdict = judge(&facts, &topic);
            (verdict.lost, verdict.doubled, verdict.problems.len(), verdict.notes.len())
        };
        assert_eq!(judged(&|_, _| ()), (0, 0, 0, 0));
        assert_eq!(judged(&|rollup, _| rollup.open_hits -= 2), (2, 0, 1, 0));
        assert_eq!(judged(&|rollup, _| rollup.windows_apart = 1), (0, 0, 1, 0));
        // Switched on after two hits.
        let later = |rollup: &mut RollupFacts, booked: &mut RollupLedger| {
            (rollup.open_hits, rollup.windows_apart, booked.counted) = (1, 1, 5);
        };
        assert_eq!(judged(&later), (0, 0, 0, 1));
        let refused = |rollup: &mut RollupFacts, booked: &mut RollupLedger| {
            (rollup.open_hits, rollup.windows_apart) = (1, 1);
            (booked.counted, booked.refused) = (5, 2);
        };
        assert_eq!(judged(&refused), (0, 0, 0, 1));
        let both = |rollup: &mut RollupFacts, booked: &mut RollupLedger| {
            (rollup.open_hits, rollup.windows_apart) = (1, 1);
            (booked.counted, booked.refused) = (5, 1);
        };
        assert_eq!(judged(&both), (0, 0, 0, 2));
        assert_eq!(judged(&|_, booked| booked.refused = 1), (0, 1, 1, 1));
    }

    #[test]
    fn offsets_without_records_are_noted_only() {
        let (mut facts, topic) = sound();
        facts.partitions[0].next = Offset(18);
        let verdict = judge(&facts, &topic);
        assert!(verdict.problems.is_empty() && verdict.notes.len() == 1, "{verdict:?}");
    }
}
