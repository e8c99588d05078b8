//! The rates of all rounds, with what they were measured on.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::pipeline::{Binary, Run};
use crate::spread::{Spread, rounded};

/// What one round measured; rates are a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) consumed: f64,
    pub(crate) counted: Run,
    pub(crate) stored: Run,
    pub(crate) copied: f64,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} consumed, {:.0} counted, {:.0} stored, {:.0} copied a second",
            self.consumed, self.counted.rate, self.stored.rate, self.copied
        )
    }
}

/// All rounds.
pub(crate) struct Report {
    subject: String,
    rounds: Vec<Round>,
}

/// The one line for scripts: medians.
#[derive(Serialize)]
struct Line {
    ratio_aggregate_only: f64,
    ratio_events_stored: f64,
    /// Of the run that only counts.
    cpu_us_per_event: f64,
    cpu_us_per_event_stored: f64,
    /// The greatest of all runs.
    peak_rss_mb: f64,
    peak_rss_mb_aggregate_only: f64,
    consumed_per_second: f64,
    counted_per_second: f64,
    stored_per_second: f64,
    copied_per_second: f64,
    rounds: usize,
}

impl Report {
    pub(crate) fn new(binary: &Binary, records: u64, partitions: u32, step: &str) -> Result<Self> {
        let hitstream = binary.version()?;
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        let subject = format!(
            "{hitstream}, librdkafka {librdkafka}, {}; {records} records, {partitions} partitions, a hit every {step} of \
             event time",
            binary.place.machine()?
        );
        Ok(Self { subject, rounds: Vec::new() })
    }

    /// What is measured, where.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    pub(crate) fn json(&self) -> Result<String> {
        let median = |of: fn(&Round) -> f64| rounded(self.spread(of).median);
        Ok(serde_json::to_string(&Line {
            ratio_aggregate_only: median(|r| r.counted.rate / r.consumed),
            ratio_events_stored: median(|r| r.stored.rate / r.copied),
            cpu_us_per_event: median(|r| r.counted.cpu_us_per_event),
            cpu_us_per_event_stored: median(|r| r.stored.cpu_us_per_event),
            peak_rss_mb: rounded(
                self.spread(|r| r.stored.peak_rss_mb.max(r.counted.peak_rss_mb)).greatest,
            ),
            peak_rss_mb_aggregate_only: rounded(self.spread(|r| r.counted.peak_rss_mb).greatest),
            consumed_per_second: median(|r| r.consumed),
            counted_per_second: median(|r| r.counted.rate),
            stored_per_second: median(|r| r.stored.rate),
            copied_per_second: median(|r| r.copied),
            rounds: self.rounds.len(),
        })?)
    }

    fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(of))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions = |f: &mut fmt::Formatter<'_>, what: &str, of: fn(&Round) -> f64| {
            writeln!(f, "| {what} | {} |", self.spread(|round| of(round) / 1e6))
        };
        let plain = |f: &mut fmt::Formatter<'_>, what: &str, of: fn(&Round) -> f64| {
            writeln!(f, "| {what} | {} |", self.spread(of))
        };
        writeln!(f, "{}\n", self.subject)?;
        writeln!(
            f,
            "| median of {} rounds (least to greatest) | million a second |\n|---|---|",
            self.rounds.len()
        )?;
        millions(f, "librdkafka alone consumes", |r| r.consumed)?;
        millions(f, "hitstream counts", |r| r.counted.rate)?;
        millions(f, "hitstream counts and stores every hit", |r| r.stored.rate)?;
        millions(f, "PostgreSQL takes the same rows by COPY", |r| r.copied)?;
        writeln!(f, "\n| | |\n|---|---|")?;
        plain(f, "counting / consuming", |r| r.counted.rate / r.consumed)?;
        plain(f, "storing / COPY", |r| r.stored.rate / r.copied)?;
        plain(f, "CPU of a hit, counting, µs", |r| r.counted.cpu_us_per_event)?;
        plain(f, "CPU of a hit, storing, µs", |r| r.stored.cpu_us_per_event)?;
        plain(f, "peak resident, counting, MB", |r| r.counted.peak_rss_mb)?;
        plain(f, "peak resident, storing, MB", |r| r.stored.peak_rss_mb)
    }
}
