//! `frontier`: what holds it, and releasing it from a partition by hand.

use std::collections::BTreeSet;
use std::fmt;

use hitstream_actors::writer::postgres::{FrontierReport, release_frontier};
use hitstream_domain::frontier::PartitionClock;
use hitstream_domain::progress::PartitionId;
use hitstream_domain::time::EventTime;
use serde::Serialize;

use crate::cli::moment::Moment;
use crate::cli::table::{Align, Table};
use crate::cli::{CliError, FrontierArgs, Outcome, output};
use crate::config::Config;
use crate::{database, wiring};

/// Releases what is to be released, and says what holds the frontier.
///
/// # Errors
/// PostgreSQL out of reach, no such partition, no pipeline yet.
pub fn frontier(config: &Config, args: &FrontierArgs) -> Result<Outcome, CliError> {
    let settings = wiring::postgres(config);
    let numbers: BTreeSet<i32> = args.release.iter().copied().collect();
    let released: Vec<PartitionId> = numbers.iter().copied().map(PartitionId).collect();
    let report = database::block_on(async {
        let mut client = database::connected_at_once(config, &settings).await?;
        database::must_have_tables(config, &client).await?;
        release_frontier(&mut client, &settings, &released)
            .await
            .map_err(|error| database::failure(config, error))
    })?;
    output::answer(args.json, &Answer::new(&report, numbers))?;
    Ok(Outcome::Done)
}

/// The answer to `frontier`; serialized, to `frontier --json`.
#[derive(Debug, Serialize)]
struct Answer {
    /// Windows that end at or before this are final; null before the first is.
    frontier: Option<Moment>,
    /// Partitions released now.
    released: BTreeSet<i32>,
    partitions: Vec<PartitionAnswer>,
}

#[derive(Debug, Serialize)]
struct PartitionAnswer {
    partition: i32,
    /// Greatest event time less `watermark.delay`; null before the first hit.
    watermark: Option<Moment>,
    state: State,
}

/// What a partition is to the frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Its watermark is the least.
    Holds,
    /// Its watermark is further on.
    Ahead,
    /// Proven to be idle: it holds nothing.
    Idle,
    /// Released by hand: it holds nothing.
    Released,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "held by it",
            Self::Ahead => "ahead of it",
            Self::Idle => "not held: idle",
            Self::Released => "not held: released by hand",
        })
    }
}

/// One partition as the frontier sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) partition: PartitionId,
    /// `None` before the first hit.
    pub(crate) watermark: Option<EventTime>,
    pub(crate) idle_until: Option<EventTime>,
    pub(crate) state: State,
}

/// Tells what each partition is to the frontier.
pub(crate) fn standings(report: &FrontierReport) -> Vec<Standing> {
    let watermark = |max: Option<EventTime>| max.map(|time| time.minus(report.delay));
    let is_idle = |until: Option<EventTime>| until.is_some_and(|until| report.now < until);
    let clocks = || report.partitions.iter().map(|(_, clock)| clock);
    let awake = clocks().filter(|clock| !is_idle(clock.idle_until));
    let least = awake.map(|clock| watermark(clock.max_event_time)).min();
    let standing = |(partition, clock): &(PartitionId, PartitionClock)| Standing {
        partition: *partition,
        watermark: watermark(clock.max_event_time),
        idle_until: clock.idle_until.filter(|until| report.now < *until),
        state: match clock.idle_until {
            Some(EventTime::INFINITY) => State::Released,
            until if is_idle(until) => State::Idle,
            _ if Some(watermark(clock.max_event_time)) == least => State::Holds,
            _ => State::Ahead,
        },
    };
    report.partitions.iter().map(standing).collect()
}

/// A watermark in words.
pub(crate) fn shown(watermark: Option<Moment>) -> String {
    watermark.map_or_else(|| "no hit yet".to_owned(), |time| time.to_string())
}

impl Answer {
    fn new(report: &FrontierReport, released: BTreeSet<i32>) -> Self {
        let partitions = standings(report).into_iter().map(|standing| PartitionAnswer {
            partition: standing.partition.0,
            watermark: standing.watermark.map(Moment),
            state: standing.state,
        });
        Self {
            frontier: Moment::of_frontier(report.frontier),
            released,
            partitions: partitions.collect(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for partition in &self.released {
            writeln!(f, "partition {partition} is released until its next accepted record")?;
        }
        match self.frontier {
            Some(frontier) => writeln!(f, "frontier {frontier}\n")?,
            None => writeln!(f, "frontier none yet: no window is final\n")?,
        }
        let mut table = Table::new([
            ("partition", Align::Right),
            ("watermark", Align::Left),
            ("frontier", Align::Left),
        ]);
        for PartitionAnswer { partition, watermark, state } in &self.partitions {
            table.row([partition.to_string(), shown(*watermark), state.to_string()]);
        }
        table.fmt(f)
    }
}
