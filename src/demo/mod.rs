//! `demo`: Kafka, PostgreSQL, traffic and the pipeline, all embedded, to be looked at; nothing of it is left behind.
//!
//! Kafka is librdkafka's own mock cluster in this process. PostgreSQL, `hitstream generate` and `hitstream run` are
//! processes of their own, the last two the same as anywhere else: only their environment says that it is a demo.

mod account;
mod child;
mod folder;
mod kafka;
mod numbers;
mod postgres;
mod screen;
mod words;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use self::child::{IS_FULL, Process};
use self::folder::Folder;
use self::kafka::Kafka;
use self::numbers::{Numbers, Reader};
use self::postgres::Postgres;
use self::screen::Screen;
use crate::cli::{AuditArgs, CliError, Outcome, output, stop};
use crate::config::{Layers, parse_duration};

const TOPIC: &str = "web_traffic_topic";
/// The mock cluster keeps 5 MiB of each partition, compressed: so many, packed, are enough for minutes.
const PARTITIONS: i32 = 16;
const PACKED: (&str, &str) = ("HITSTREAM_KAFKA__PROPERTIES__COMPRESSION_CODEC", "lz4");
/// What is set otherwise than by default, so that there is something to see within seconds.
const QUICK: &[(&str, &str)] = &[
    ("HITSTREAM_WINDOW__SIZE", "10s"),
    ("HITSTREAM_WINDOW__SLIDE", "10s"),
    ("HITSTREAM_WATERMARK__DELAY", "2s"),
    ("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "5s"),
];
/// Variables that name services, and files that may.
const SERVICES: &[&str] = &["KAFKA_URL", "POSTGRES_URL", "HITSTREAM_CONFIG", "HITSTREAM_ENV_FILE"];
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often signals are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long what is still in Kafka may take at the end.
const CATCH_UP: Duration = Duration::from_secs(20);
/// The same, where the pipeline says that it cannot go on.
const IN_TROUBLE: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after this time, counted from the first hit in the tables; the first final rows come after some 15 s
    /// [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Records per second, up to 50000: the embedded Kafka forgets what is not read soon
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub rate: u32,
    /// Print what came of it as JSON, as `audit --json` does
    #[arg(long)]
    pub json: bool,
}

/// Shows the pipeline at work until told to stop, then what came of it.
///
/// # Errors
/// What the demo needs and does not find, and whatever ends by itself.
pub fn demo(args: &DemoArgs) -> Result<Outcome, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let signal = stop::on_signal(&stop)?;
    let begin = Instant::now();
    let folder = Folder::make().map_err(needs)?;
    let started = Postgres::start(&folder, &stop);
    // It fails then, for the signal's sake or, as Ctrl-C reaches small helpers too, for theirs.
    if stop.load(Ordering::Relaxed) {
        return Ok(signal.outcome());
    }
    let mut postgres = started.map_err(needs)?;
    let kafka = Kafka::start(TOPIC, PARTITIONS).context("the embedded Kafka does not start")?;
    let environment = environment(&kafka.brokers()?, &postgres.url());
    let layers = Layers { env: environment.clone(), ..Layers::default() };
    let config = layers.load()?.config;

    let hitstream = |name, arguments: &[&str]| {
        Process::start(name, "KILL", folder.path(), |command| {
            as_in_demo(command, &environment, arguments);
        })
        .map_err(needs)
    };
    let mut pipeline = hitstream("run", &["run", "--any-port"])?;
    let rate = args.rate.to_string();
    let live = ["--late", "0.5%", "--malformed", "0.1%", "--disorder", "1500ms"];
    let mut traffic = hitstream("generate", &[&["generate", "--rate", &rate], &live[..]].concat())?;

    let Some(address) = address(&mut pipeline, &stop)? else { return Ok(signal.outcome()) };
    output::err(&welcome(&postgres, &address, &rate, begin.elapsed()));
    let mut reader = Reader::connect(&config).map_err(ended)?;
    let mut screen = Screen::new();
    let mut look =
        |postgres: &mut Postgres| -> Result<(Option<Numbers>, Option<String>), CliError> {
            pipeline.must_live().and_then(|()| postgres.must_live()).map_err(ended)?;
            let numbers = reader.read().map_err(ended)?;
            let trouble = pipeline.trouble();
            if let Some(numbers) = &numbers {
                screen.show(numbers, trouble.as_deref());
            }
            Ok((numbers, trouble))
        };
    // Ctrl-C counts at once, the time from the first commit.
    let mut first = None;
    let is_over = |first: Option<Instant>| {
        let elapsed = first.map(|first: Instant| first.elapsed());
        stop.load(Ordering::Relaxed)
            || args.duration.zip(elapsed).is_some_and(|(limit, elapsed)| elapsed >= limit)
    };
    while !is_over(first) {
        traffic.must_live().map_err(ended)?;
        if look(&mut postgres)?.0.is_some_and(|numbers| numbers.records > 0) {
            first.get_or_insert_with(Instant::now);
        }
        let shown = Instant::now();
        while !is_over(first) && shown.elapsed() < SHOW_EVERY {
            std::thread::sleep(LOOK);
        }
    }

    // Only a signal ends it before the first commit.
    if first.is_none() {
        screen.finish();
        return Ok(signal.outcome());
    }

    traffic.stop("TERM", STOP_LIMIT).map_err(CliError::Bug)?;
    let stopped = Instant::now();
    let (mut last, mut trouble) = look(&mut postgres)?;
    while last.as_ref().is_none_or(|numbers| numbers.lag > 0)
        && stopped.elapsed() < if trouble.is_some() { IN_TROUBLE } else { CATCH_UP }
    {
        std::thread::sleep(LOOK);
        (last, trouble) = look(&mut postgres)?;
    }
    screen.finish();
    if let (Some(reason), Some(left)) = (&trouble, last.as_ref().filter(|last| last.lag > 0)) {
        let what = format!("{} records are still in Kafka, because of {reason}", left.lag);
        return Err(ended(anyhow::anyhow!(pipeline.told(&what))));
    }
    pipeline.stop("TERM", STOP_LIMIT).map_err(CliError::Bug)?;
    let outcome = crate::audit::audit(&config, &AuditArgs { json: args.json })?;
    if last.is_none_or(|numbers| numbers.final_rows == 0) {
        output::err("no window was final yet: let it run for 15 s or more");
    }
    drop(reader);
    postgres.stop().map_err(CliError::Bug)?;
    Ok(outcome)
}

/// Where the pipeline serves HTTP, which it says before all else; `None` when told to stop.
fn address(pipeline: &mut Process, stop: &AtomicBool) -> Result<Option<String>, CliError> {
    while !stop.load(Ordering::Relaxed) {
        if let Some(address) = pipeline.said("serving HTTP", "address") {
            return Ok(Some(address));
        }
        pipeline.must_live().map_err(ended)?;
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

fn welcome(postgres: &Postgres, address: &str, rate: &str, took: Duration) -> String {
    format!(
        "hitstream {version}: {rate} hits a second through an embedded Kafka into an\n\
         embedded PostgreSQL, started in {took:.1} s; windows of 10 s wait 2 s for stragglers,\n\
         partitions are idle after 5 s (by default 5 min, 1 min, 1 min): the first final\n\
         rows come after some 15 s\n\
         {not_heeded}look inside:\n\
         \x20 {psql}\n\
         \x20 SELECT * FROM live_web_traffic ORDER BY window_end DESC, num_hits DESC LIMIT 5;\n\
         \x20 SELECT country_code, sum(num_hits) FROM live_web_traffic_by_country GROUP BY 1;\n\
         metrics, health: http://{address}/\n\
         Ctrl-C ends it and removes all of it; after kill -9 the next demo does.\n",
        version = env!("CARGO_PKG_VERSION"),
        took = took.as_secs_f64(),
        not_heeded = not_heeded(),
        psql = postgres.psql(),
    )
}

/// Says, where the environment names services, that these are not they.
fn not_heeded() -> String {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let set: Vec<&str> = SERVICES.iter().copied().filter(is_set).collect();
    match set.as_slice() {
        [] => String::new(),
        [one] => format!("{one} is not heeded: a demo has services of its own\n"),
        many => format!("{} are not heeded: a demo has services of its own\n", many.join(", ")),
    }
}

/// The settings of the demo, as variables.
fn environment(brokers: &str, postgres: &str) -> Vec<(String, String)> {
    let services = [("KAFKA_URL", brokers), ("KAFKA_TOPIC", TOPIC), ("POSTGRES_URL", postgres)];
    let all = services.iter().chain(QUICK);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Continues a command line with this program, with the demo's settings; it has no others.
fn as_in_demo(command: &mut Command, environment: &[(String, String)], arguments: &[&str]) {
    command.envs(environment.iter().cloned());
    if arguments.first() == Some(&"generate") {
        command.env(PACKED.0, PACKED.1);
    }
    // The file may be replaced while it runs; this is what runs.
    let program = format!("/proc/{}/exe", std::process::id());
    command.arg("--").arg(program).args(arguments);
}

/// A part of the demo that is away.
fn ended(error: anyhow::Error) -> CliError {
    CliError::Unreachable(format!("{error:#}"))
}

/// What keeps a demo from starting is for its user to mend; a full place is no mistake.
fn needs(error: anyhow::Error) -> CliError {
    let said = format!("{error:#}");
    if said.contains(IS_FULL) { CliError::Unreachable(said) } else { CliError::Usage(said) }
}
