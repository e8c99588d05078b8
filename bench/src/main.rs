//! Measures hitstream end to end, beside what Kafka and PostgreSQL do without it, on one topic, in turns.
//!
//! Each round measures four things: how fast librdkafka alone consumes the topic; hitstream with `events.store = false`;
//! hitstream with every hit stored; and how fast PostgreSQL takes the same rows by COPY. Machines are shared and noisy, so
//! each hitstream rate is set against the bare rate of its own round, and medians are told with their spread.
//! docs/BENCHMARKS.md has the method and figures.

mod beside_spark;
mod consume;
mod copy;
mod pipeline;
mod report;
mod rows;
mod spark;
mod spread;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::pipeline::{Binary, Place};
use crate::report::{Report, Round};

/// Measures hitstream end to end; needs KAFKA_URL and POSTGRES_URL, as `make bench` sets them.
#[derive(Debug, Parser)]
#[command(name = "hitstream-bench")]
struct Args {
    /// Records in the topic [default: 5000000; 2000000 with --quick; four times and 2.5 times as many with --spark]
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Rounds [default: 5; 3 with --quick or --spark]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value_t = 6)]
    partitions: u32,
    /// Event time between two hits: with 100us a window of 5 min has 3 million, over 100 000 keys at most [default: 100us;
    /// with --spark such that the records span 1000 s, so that windows close]
    #[arg(long, value_name = "TIME")]
    step: Option<String>,
    /// Measure hitstream beside the Spark job instead; needs what `make bench-spark` installs
    #[arg(long)]
    spark: bool,
    /// A short run
    #[arg(long)]
    quick: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
    /// The binary to measure [default: hitstream beside this program]
    #[arg(long, value_name = "FILE")]
    hitstream: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: Args) -> Result<()> {
    let (records, rounds) = match (args.spark, args.quick) {
        // Windows close in it, and what starting costs is spread.
        (false, false) => (10_000_000, 3),
        (false, true) => (2_000_000, 3),
        // A JVM takes its time to warm up: what that costs shall be spread over many hits.
        (true, false) => (20_000_000, 3),
        (true, true) => (5_000_000, 3),
    };
    let (records, rounds) = (args.records.unwrap_or(records), args.rounds.unwrap_or(rounds));
    let micros = if args.spark { 1_000_000_000 / records.max(1) } else { 100 };
    let step = args.step.unwrap_or_else(|| format!("{micros}us"));
    let place = Place::from_environment()?;
    let beside = std::env::current_exe()?.with_file_name("hitstream");
    let binary = Binary { path: args.hitstream.unwrap_or(beside), place: place.clone() };
    if args.spark {
        binary.fill(records, args.partitions, &step).context("the topic is not filled")?;
        let (tables, json) = beside_spark::measure(&binary, &place, records, rounds, &step)?;
        print!("{tables}");
        if args.json {
            println!("{json}");
        }
        return Ok(());
    }
    let mut report = Report::new(&binary, records, args.partitions, &step)?;
    eprintln!("{}", report.subject());
    binary.fill(records, args.partitions, &step).context("the topic is not filled")?;
    for number in 1..=rounds {
        let consumed = consume::rate(&place, records)?;
        let counted = binary.run(&format!("bench_counted_{number}"), false)?;
        let schema = format!("bench_stored_{number}");
        let stored = binary.run(&schema, true)?;
        let copied = copy::rate(&place, &schema)?;
        place.forget(&[&format!("bench_counted_{number}"), &schema])?;
        let round = Round { consumed, counted, stored, copied };
        eprintln!("round {number} of {rounds}: {round}");
        report.add(round);
    }
    print!("{report}");
    if args.json {
        println!("{}", report.json()?);
    }
    Ok(())
}
