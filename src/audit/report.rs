//! The answer, for people and as JSON.

use std::fmt;

use hitstream_actors::source::TopicDescription;
use serde::Serialize;

use super::tables::Facts;
use super::verdict::{Verdict, judge, sum};
use crate::cli::moment::Moment;
use crate::config::Config;

/// The answer. Serialized, it is that of `audit --json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    ok: bool,
    lost: i64,
    doubled: i64,
    problems: Vec<String>,
    notes: Vec<String>,
    topic: &'a str,
    /// Windows that end at or before this are final; null before the first is.
    frontier: Option<Moment>,
    records: i64,
    accepted: i64,
    rejected: i64,
    sanitised: i64,
    /// Rows of `processed_events`.
    stored: i64,
    /// (record, window) pairs: counted + late + diverted.
    pairs: i64,
    #[serde(rename = "final")]
    final_hits: i64,
    open: i64,
    late: i64,
    /// Offsets that were gone from Kafka and were skipped.
    skipped: i64,
    /// Offsets that Kafka has and the tables do not have yet.
    unread: i64,
    partitions: Vec<PartitionReport>,
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    incarnation: i32,
    partition: i32,
    start_offset: i64,
    next_offset: i64,
    /// The end in Kafka; `None` for a former incarnation.
    end_offset: Option<i64>,
    records: i64,
    rejected: i64,
}

impl<'a> Report<'a> {
    pub(super) fn new(config: &'a Config, facts: &'a Facts, topic: &TopicDescription) -> Self {
        let Verdict { lost, doubled, problems, notes } = judge(facts, topic);
        let ledger = sum(facts);
        let web_traffic = facts.rollups.first();
        let newest = facts.partitions.last().map(|facts| facts.incarnation);
        let partitions: Vec<PartitionReport> = facts
            .partitions
            .iter()
            .map(|facts| {
                let range =
                    topic.partitions.iter().find(|range| range.partition == facts.partition);
                PartitionReport {
                    incarnation: facts.incarnation,
                    partition: facts.partition.0,
                    start_offset: facts.start.0,
                    next_offset: facts.next.0,
                    end_offset: range
                        .filter(|_| Some(facts.incarnation) == newest)
                        .map(|range| range.high.0),
                    records: facts.ledger.records,
                    rejected: facts.ledger.rejected,
                }
            })
            .collect();
        let unread = |partition: &PartitionReport| {
            partition.end_offset.map_or(0, |end| (end - partition.next_offset).max(0))
        };
        Self {
            ok: problems.is_empty() && lost == 0 && doubled == 0,
            lost,
            doubled,
            problems,
            notes,
            topic: &config.kafka.topic,
            frontier: facts.frontier.map(Moment),
            records: ledger.records,
            accepted: ledger.accepted,
            rejected: ledger.rejected,
            sanitised: ledger.sanitised,
            stored: ledger.stored,
            pairs: ledger.pairs(),
            final_hits: web_traffic.map_or(0, |rollup| rollup.final_hits),
            open: web_traffic.map_or(0, |rollup| rollup.open_hits),
            late: web_traffic.map_or(0, |rollup| rollup.late_hits),
            skipped: ledger.lost,
            unread: partitions.iter().map(unread).sum(),
            partitions,
        }
    }

    /// Whether all is accounted for.
    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, topic, records, accepted, rejected, pairs, .. } = self;
        if self.ok {
            writeln!(f, "ok: nothing lost, nothing doubled")?;
        } else {
            writeln!(f, "NOT OK: {lost} lost, {doubled} doubled")?;
        }
        writeln!(f, "{records} records of {topic} = {accepted} accepted + {rejected} rejected")?;
        let (final_hits, open, late) = (self.final_hits, self.open, self.late);
        writeln!(
            f,
            "{pairs} (record, window) pairs; in the tables: {final_hits} final + {open} open + {late} late"
        )?;
        let frontier = self.frontier.map_or("none yet".to_owned(), |frontier| frontier.to_string());
        writeln!(f, "frontier {frontier}; {} offsets in Kafka still unread", self.unread)?;
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
