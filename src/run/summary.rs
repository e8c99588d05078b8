//! What a run came to: added up at each commit, told at the end.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use hitstream_actors::messages::EpochCommitted;
use hitstream_domain::progress::Ledger;
use serde::Serialize;

use crate::cli::progress::{Progress, per_second};
use crate::cli::words::count;
use crate::config::Config;

/// The sums so far, shared with the command that tells them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<(u64, Ledger)>>);

impl Tally {
    /// Adds a commit, and returns the records so far.
    fn add(&self, ledger: Ledger) -> u64 {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.0 += u64::from(ledger.records > 0);
        sum.1 += ledger;
        u64::try_from(sum.1.records).unwrap_or(0)
    }

    fn get(&self) -> (u64, Ledger) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears of each commit.
pub(super) struct Observer {
    tally: Tally,
    progress: Option<Progress>,
}

impl Observer {
    /// Adds to `tally`, and shows how far it is if asked to.
    pub(super) fn new(tally: Tally, shows: bool) -> Self {
        Self { tally, progress: shows.then(|| Progress::of_items("records", None)) }
    }
}

impl Actor for Observer {
    type Context = Context<Self>;
}

impl Handler<EpochCommitted> for Observer {
    type Result = ();

    fn handle(&mut self, committed: EpochCommitted, _: &mut Self::Context) {
        let records = self.tally.add(committed.ledger);
        if let Some(progress) = &mut self.progress {
            progress.at(records, records);
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }
}

/// What this instance did. Serialized, it is the answer to `run --until-end --json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    topic: &'a str,
    /// Whether every partition reached the end seen at start; false after a signal.
    reached_end: bool,
    /// Records committed by this instance.
    records: i64,
    accepted: i64,
    rejected: i64,
    /// Accepted records in which NUL or invalid UTF-8 was replaced.
    sanitised: i64,
    /// (record, window) pairs in open or final windows.
    counted: i64,
    /// Pairs that came after their window had closed.
    late: i64,
    /// Offsets that Kafka no longer had.
    skipped: i64,
    /// Commits that held records.
    commits: u64,
    seconds: f64,
    records_per_second: f64,
}

impl<'a> Summary<'a> {
    pub(super) fn new(
        config: &'a Config,
        tally: &Tally,
        elapsed: Duration,
        reached_end: bool,
    ) -> Self {
        let (commits, ledger) = tally.get();
        let rate = per_second(u64::try_from(ledger.records).unwrap_or(0), elapsed);
        Self {
            topic: &config.kafka.topic,
            reached_end,
            records: ledger.records,
            accepted: ledger.accepted,
            rejected: ledger.rejected,
            sanitised: ledger.sanitised,
            counted: ledger.counted,
            late: ledger.late + ledger.diverted,
            skipped: ledger.lost,
            commits,
            seconds: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            records_per_second: (rate * 10.0).round() / 10.0,
        }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, seconds, records_per_second, .. } = self;
        let records = count(self.records, "record", "records");
        let commits = count(self.commits, "commit", "commits");
        writeln!(
            f,
            "{records} of {topic} in {commits}, {seconds:.1} s, {records_per_second:.0} a second"
        )?;
        writeln!(
            f,
            "{} counted, {} late, {} rejected",
            count(self.counted, "hit", "hits"),
            self.late,
            count(self.rejected, "record", "records")
        )?;
        if self.sanitised > 0 {
            writeln!(
                f,
                "{} records had NUL characters or invalid UTF-8, replaced by U+FFFD",
                self.sanitised
            )?;
        }
        if self.skipped > 0 {
            let skipped = count(self.skipped, "offset was", "offsets were");
            writeln!(f, "{skipped} gone from Kafka and skipped")?;
        }
        if !self.reached_end {
            writeln!(f, "stopped before the end; run it again to go on")?;
        }
        Ok(())
    }
}
