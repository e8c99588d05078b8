//! The answer, made of what tables and Kafka say. No connection, no clock.

use std::collections::BTreeMap;

use hitstream_domain::progress::Ledger;
use hitstream_domain::time::EventTime;
use serde::Serialize;

use super::tables::{Facts, OpenWindow};
use super::unread::Unread;
use crate::cli::CliError;
use crate::cli::moment::Moment;
use crate::config::Config;
use crate::frontier::{Standing, State, standings};

/// Seconds after which a final window should have been moved: it takes one or two, and one that was refused is tried again
/// after a minute.
const OVERDUE_AFTER: f64 = 60.0;

/// The answer. Serialized, it is that of `status --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) topic: &'a str,
    pub(crate) group: &'a str,
    /// Schema and database.
    pub(crate) database: String,
    /// Windows that end at or before this are final; null before the first is.
    pub(crate) frontier: Option<Moment>,
    /// Since the frontier last moved.
    pub(crate) frontier_age_seconds: f64,
    /// Partitions whose watermark is the least; none where all are idle or released.
    pub(crate) held_by: Vec<i32>,
    /// Records in Kafka that are not in the tables; null where Kafka does not say.
    pub(crate) lag_records: Option<i64>,
    pub(crate) partitions: Vec<PartitionAnswer>,
    /// The earliest ones, by their end.
    pub(crate) open_windows: Vec<WindowAnswer>,
    pub(crate) open_windows_total: i64,
    pub(crate) ledger: LedgerAnswer,
    /// Who was the last to commit some partition.
    pub(crate) instances: Vec<InstanceAnswer>,
    pub(crate) notes: Vec<String>,
    /// Why the lag is unknown, where Kafka does not say; people read it on standard error.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PartitionAnswer {
    pub(crate) partition: i32,
    /// First offset that is not in the tables.
    pub(crate) next_offset: i64,
    /// The offset after Kafka's last record; null where Kafka does not say, as the two that follow.
    pub(crate) end_offset: Option<i64>,
    pub(crate) lag_records: Option<i64>,
    /// From the Kafka timestamp of the first record that is not in the tables to now; 0 where there is none.
    pub(crate) oldest_unread_seconds: Option<f64>,
    /// Greatest event time less `watermark.delay`; null before the first hit.
    pub(crate) watermark: Option<Moment>,
    pub(crate) state: State,
    /// How long the claim to be idle is still valid; null without one, and after a release by hand, which has no end.
    pub(crate) idle_seconds_left: Option<f64>,
    /// Who committed last; null before the first commit.
    pub(crate) owner: Option<String>,
    pub(crate) last_commit_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct WindowAnswer {
    pub(crate) window_start: Moment,
    pub(crate) window_end: Moment,
    pub(crate) rows: i64,
    pub(crate) hits: i64,
    /// Whether the frontier has passed it: it is only left to be moved.
    pub(crate) is_final: bool,
    /// Whether it should have been moved long ago.
    pub(crate) is_overdue: bool,
    /// Whether later ones were moved, and it was not: the final tables refuse it.
    #[serde(skip)]
    pub(crate) is_refused: bool,
    /// Partitions whose watermark is behind its end and that hold the frontier or would.
    pub(crate) waits_for: Vec<i32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LedgerAnswer {
    pub(crate) records: i64,
    pub(crate) accepted: i64,
    pub(crate) rejected: i64,
    pub(crate) sanitised: i64,
    pub(crate) stored: i64,
    pub(crate) counted: i64,
    pub(crate) late: i64,
    pub(crate) diverted: i64,
    pub(crate) lost: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct InstanceAnswer {
    pub(crate) owner: String,
    pub(crate) partitions: Vec<i32>,
    pub(crate) last_commit_seconds: f64,
}

impl<'a> Answer<'a> {
    pub(super) fn new(
        config: &Config,
        facts: &'a Facts,
        unread: Result<&Unread, &CliError>,
    ) -> Self {
        let standings = standings(&facts.frontier);
        let holds = |standing: &&Standing| standing.state == State::Holds;
        let numbers = standings.iter().filter(holds).map(|standing| standing.partition.0);
        let notes = unread.map_or_else(|_| Vec::new(), |unread| unread.notes.clone());
        let error = unread.err().map(ToString::to_string);
        let unread = unread.ok().filter(|unread| !unread.partitions.is_empty());
        let partitions: Vec<PartitionAnswer> =
            standings.iter().filter_map(|standing| partition(facts, unread, standing)).collect();
        Self {
            topic: &facts.topic,
            group: &facts.group,
            database: format!("{} of {}", config.postgres.schema, config.postgres.target()),
            frontier: Moment::of_frontier(facts.frontier.frontier),
            frontier_age_seconds: rounded(facts.frontier_age),
            held_by: numbers.collect(),
            lag_records: unread.map(|unread| unread.partitions.values().map(|p| p.lag).sum()),
            open_windows: facts.windows.iter().map(|w| window(facts, &standings, w)).collect(),
            open_windows_total: facts.windows_total,
            ledger: ledger(&facts.ledger),
            instances: instances(&partitions),
            partitions,
            notes,
            error,
        }
    }
}

fn partition(
    facts: &Facts,
    unread: Option<&Unread>,
    standing: &Standing,
) -> Option<PartitionAnswer> {
    let progress = facts.partitions.iter().find(|p| p.partition == standing.partition)?;
    let unread = unread.and_then(|unread| unread.partitions.get(&standing.partition.0));
    let now = facts.frontier.now;
    let oldest = unread.and_then(|unread| match unread.lag {
        0 => Some(0.0),
        _ => unread.oldest.map(|oldest| seconds_between(oldest, now)),
    });
    let idle_until = standing.idle_until.filter(|_| standing.state == State::Idle);
    let commit = progress.last_commit.as_ref();
    Some(PartitionAnswer {
        partition: standing.partition.0,
        next_offset: progress.next.0,
        end_offset: unread.map(|unread| unread.end),
        lag_records: unread.map(|unread| unread.lag),
        oldest_unread_seconds: oldest,
        watermark: standing.watermark.map(Moment),
        state: standing.state,
        idle_seconds_left: idle_until.map(|until| seconds_between(now, until)),
        owner: commit.map(|(owner, _)| owner.clone()),
        last_commit_seconds: commit.map(|(_, age)| rounded(*age)),
    })
}

fn window(facts: &Facts, standings: &[Standing], window: &OpenWindow) -> WindowAnswer {
    let is_final = window.end <= facts.frontier.frontier;
    let is_awake = |s: &&Standing| matches!(s.state, State::Holds | State::Ahead);
    let is_behind = |s: &&Standing| s.watermark.is_none_or(|watermark| watermark < window.end);
    let behind = standings.iter().filter(is_awake).filter(is_behind);
    let length = window.end.as_micros().saturating_sub(window.start.as_micros());
    let next_end = EventTime::from_micros(window.end.as_micros().saturating_add(length));
    let is_old = facts.frontier_age > OVERDUE_AFTER || next_end <= facts.frontier.frontier;
    WindowAnswer {
        window_start: Moment(window.start),
        window_end: Moment(window.end),
        rows: window.rows,
        hits: window.hits,
        is_final,
        is_overdue: is_final && (is_old || window.is_passed_over),
        is_refused: window.is_passed_over,
        waits_for: if is_final { Vec::new() } else { behind.map(|s| s.partition.0).collect() },
    }
}

fn ledger(sum: &Ledger) -> LedgerAnswer {
    LedgerAnswer {
        records: sum.records,
        accepted: sum.accepted,
        rejected: sum.rejected,
        sanitised: sum.sanitised,
        stored: sum.stored,
        counted: sum.counted,
        late: sum.late,
        diverted: sum.diverted,
        lost: sum.lost,
    }
}

fn instances(partitions: &[PartitionAnswer]) -> Vec<InstanceAnswer> {
    let mut owners: BTreeMap<&str, (Vec<i32>, f64)> = BTreeMap::new();
    for partition in partitions {
        let (Some(owner), Some(age)) = (&partition.owner, partition.last_commit_seconds) else {
            continue;
        };
        let (numbers, least) = owners.entry(owner).or_insert((Vec::new(), age));
        numbers.push(partition.partition);
        *least = least.min(age);
    }
    let instance = |(owner, (partitions, age)): (&str, (Vec<i32>, f64))| InstanceAnswer {
        owner: owner.to_owned(),
        partitions,
        last_commit_seconds: age,
    };
    owners.into_iter().map(instance).collect()
}

/// A span that clocks of two machines may make negative.
#[expect(clippy::cast_precision_loss, reason = "microseconds are exact up to 285 years")]
fn seconds_between(from: EventTime, to: EventTime) -> f64 {
    rounded(to.as_micros().saturating_sub(from.as_micros()).max(0) as f64 / 1e6)
}

/// Milliseconds are enough for people and scripts.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}
