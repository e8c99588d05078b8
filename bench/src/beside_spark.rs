//! hitstream beside the Spark job: one topic, in turns, and the same rows in the end.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use crate::pipeline::{Binary, Place, Run};
use crate::rows::{Compared, compare};
use crate::spark::Spark;
use crate::spread::{Spread, rounded};

/// What one round measured.
struct Round {
    spark: Run,
    counted: Run,
    stored: Run,
}

/// Measures all rounds on a topic that is filled, and returns the tables and, for scripts, a line of JSON.
///
/// # Errors
/// A run fails, or the rows of Spark and hitstream differ.
pub(crate) fn measure(
    binary: &Binary,
    place: &Place,
    records: u64,
    rounds: usize,
    step: &str,
) -> Result<(String, String)> {
    let spark = Spark::new(place.clone())?;
    let mut measured = Vec::new();
    let mut last = None;
    for number in 1..=rounds {
        let [theirs, counts, stores] =
            ["spark", "counted", "stored"].map(|who| format!("bench_{who}_{number}"));
        place.settle()?;
        let job = spark.run(&theirs, records)?;
        place.settle()?;
        let counted = binary.run(&counts, false)?;
        place.settle()?;
        let stored = binary.run(&stores, true)?;
        let compared = compare(&mut place.sql()?, &counts, &theirs, &job.watermark)?;
        compare(&mut place.sql()?, &stores, &theirs, &job.watermark)?;
        place.forget(&[&theirs, &counts, &stores])?;
        let round = Round { spark: job.run, counted, stored };
        eprintln!(
            "round {number} of {rounds}: Spark {:.0} a second ({:.0} without its start, {} micro-batches), hitstream {:.0}, \
             and with every hit stored {:.0}; {compared}",
            job.run.whole_rate, job.run.rate, job.batches, counted.whole_rate, stored.whole_rate
        );
        measured.push(round);
        last = Some((job.version, compared));
    }
    let Some((version, compared)) = last else { anyhow::bail!("--rounds is 0: nothing measured") };
    let subject = format!(
        "Apache Spark {version}, {}, {}; {records} records, a hit every {step} of event time",
        binary.version()?,
        place.machine()?
    );
    let rounds = Rounds { measured, compared };
    Ok((format!("{subject}\n\n{}", rounds.table()?), rounds.json(&version)?))
}

/// All rounds, and the rows of the last one.
struct Rounds {
    measured: Vec<Round>,
    compared: Compared,
}

/// The one line for scripts: medians.
#[derive(Serialize)]
struct Line<'a> {
    spark_version: &'a str,
    spark: Medians,
    hitstream: Medians,
    hitstream_stored: Medians,
    /// Of hitstream, counting, to Spark.
    times_as_fast: f64,
    times_as_fast_without_start: f64,
    /// Of Spark to hitstream, counting.
    times_the_cpu: f64,
    times_the_memory: f64,
    rows_compared: i64,
    windows_compared: i64,
    rounds: usize,
}

/// Of one kind of run.
#[derive(Serialize)]
struct Medians {
    per_second: f64,
    per_second_without_start: f64,
    cpu_us_per_event: f64,
    peak_rss_mb: f64,
}

impl Rounds {
    fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.measured.iter().map(of))
    }

    fn table(&self) -> Result<String> {
        let mut text = String::new();
        let rounds = self.measured.len();
        writeln!(
            text,
            "| median of {rounds} rounds (least to greatest) | Spark | hitstream counts | and stores every hit |\n\
             |---|---|---|---|"
        )?;
        let mut line = |what: &str, digits: usize, of: fn(&Run) -> f64| {
            let [spark, counted, stored] = [
                self.spread(|round| of(&round.spark)),
                self.spread(|round| of(&round.counted)),
                self.spread(|round| of(&round.stored)),
            ];
            writeln!(text, "| {what} | {spark:.digits$} | {counted:.digits$} | {stored:.digits$} |")
        };
        line("million hits a second, start to end", 3, |run| run.whole_rate / 1e6)?;
        line("million hits a second, without its start", 3, |run| run.rate / 1e6)?;
        line("CPU of a hit, µs", 2, |run| run.cpu_us_per_event)?;
        line("peak resident, MB", 0, |run| run.peak_rss_mb)?;
        writeln!(
            text,
            "\n| hitstream, counting, beside Spark | |\n|---|---|\n\
             | times as fast, start to end | {:.1} |\n| times as fast, without its start | {:.1} |\n\
             | Spark's CPU of a hit, times hitstream's | {:.1} |\n| Spark's peak memory, times hitstream's | {:.1} |\n\n\
             {}",
            self.spread(Round::faster),
            self.spread(Round::faster_without_start),
            self.spread(Round::cpu),
            self.spread(Round::memory),
            self.compared
        )?;
        Ok(text)
    }

    fn json(&self, version: &str) -> Result<String> {
        let median = |of: &dyn Fn(&Round) -> f64| rounded(self.spread(of).median);
        let medians = |run: fn(&Round) -> Run| Medians {
            per_second: median(&|round| run(round).whole_rate),
            per_second_without_start: median(&|round| run(round).rate),
            cpu_us_per_event: median(&|round| run(round).cpu_us_per_event),
            peak_rss_mb: median(&|round| run(round).peak_rss_mb),
        };
        Ok(serde_json::to_string(&Line {
            spark_version: version,
            spark: medians(|round| round.spark),
            hitstream: medians(|round| round.counted),
            hitstream_stored: medians(|round| round.stored),
            times_as_fast: median(&Round::faster),
            times_as_fast_without_start: median(&Round::faster_without_start),
            times_the_cpu: median(&Round::cpu),
            times_the_memory: median(&Round::memory),
            rows_compared: self.compared.rows,
            windows_compared: self.compared.windows,
            rounds: self.measured.len(),
        })?)
    }
}

impl Round {
    fn faster(&self) -> f64 {
        self.counted.whole_rate / self.spark.whole_rate
    }

    fn faster_without_start(&self) -> f64 {
        self.counted.rate / self.spark.rate
    }

    fn cpu(&self) -> f64 {
        self.spark.cpu_us_per_event / self.counted.cpu_us_per_event
    }

    fn memory(&self) -> f64 {
        self.spark.peak_rss_mb / self.counted.peak_rss_mb
    }
}
