//! The binary that is measured, from outside: its log says when it began and ended, the kernel what it used.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};
use serde_json::Value;

use crate::usage::{self, Finished};

/// Where Kafka and PostgreSQL are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) brokers: String,
    pub(crate) postgres: String,
    pub(crate) topic: String,
}

impl Place {
    pub(crate) fn from_environment() -> Result<Self> {
        let topic = format!("bench-{}", std::process::id());
        Ok(Self { brokers: variable("KAFKA_URL")?, postgres: variable("POSTGRES_URL")?, topic })
    }

    pub(crate) fn sql(&self) -> Result<Client> {
        Client::connect(&self.postgres, NoTls).context("PostgreSQL at POSTGRES_URL does not answer")
    }

    /// The server, the processors, and who shares them.
    pub(crate) fn machine(&self) -> Result<String> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("unknown processor", |(_, model)| model);
        let cores = std::thread::available_parallelism()?;
        let version: String = self.sql()?.query_one("SHOW server_version", &[])?.get(0);
        Ok(format!(
            "PostgreSQL {version}; {cores} cores of {model}, shared with Kafka and PostgreSQL"
        ))
    }

    /// Drops schemas and lets PostgreSQL tidy up, so that the next round finds what this one found.
    pub(crate) fn forget(&self, schemas: &[&str]) -> Result<()> {
        let mut sql = self.sql()?;
        for schema in schemas {
            sql.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))?;
        }
        self.settle()
    }

    /// Lets PostgreSQL tidy up, so that nobody pays for what another has written.
    pub(crate) fn settle(&self) -> Result<()> {
        let admin = std::env::var("HITSTREAM_POSTGRES_ADMIN_URL");
        let url = admin.unwrap_or_else(|_| self.postgres.clone());
        if let Err(error) = Client::connect(&url, NoTls)?.batch_execute("CHECKPOINT") {
            eprintln!("no checkpoint between rounds: {error}");
        }
        Ok(())
    }
}

/// A variable that the scripts set.
pub(crate) fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!("{name} is not set: `make bench` and `make bench-spark` start services and set it")
    })
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Records a second, from the assignment of partitions to the end: last commit and leaving the group are in it.
    pub(crate) rate: f64,
    /// Records a second, from the start of the process to its end.
    pub(crate) whole_rate: f64,
    /// Time on the processors, of the process as a whole.
    pub(crate) cpu_us_per_event: f64,
    pub(crate) peak_rss_mb: f64,
}

/// The binary.
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
}

impl Binary {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).env_clear();
        command.env("KAFKA_URL", &self.place.brokers).env("POSTGRES_URL", &self.place.postgres);
        command.env("KAFKA_TOPIC", &self.place.topic).stdin(Stdio::null());
        command
    }

    /// Its version.
    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command(&["--version"]).output().with_context(|| {
            format!("{} cannot be run: build it with `make build`", self.path.display())
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Fills the topic.
    pub(crate) fn fill(&self, records: u64, partitions: u32, step: &str) -> Result<()> {
        let (count, partitions) = (records.to_string(), partitions.to_string());
        let topic = ["generate", "--create-topic", "--partitions", &partitions];
        let traffic = ["--count", &count, "--step", step, "--hosts", "200", "--referrers", "500"];
        let arguments = [&topic[..], &traffic].concat();
        let status = self.command(&arguments).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "generate ended with {status}");
        Ok(())
    }

    /// Reads the whole topic into a schema of its own.
    pub(crate) fn run(&self, schema: &str, stores_events: bool) -> Result<Run> {
        let mut command = self.command(&["run", "--until-end", "--json", "--log-format", "json"]);
        command
            .env("KAFKA_GROUP", schema)
            .env("HITSTREAM_POSTGRES__SCHEMA", schema)
            .env("HITSTREAM_EVENTS__STORE", stores_events.to_string())
            .env("HITSTREAM_ROLLUPS__BY_COUNTRY", stores_events.to_string());
        let Finished { took, cpu_seconds, peak_rss_mb, stdout, stderr } = usage::run(&mut command)?;
        let answer: Value = serde_json::from_str(&stdout)?;
        let records =
            answer.get("records").and_then(Value::as_f64).context("no records in the answer")?;
        let (begin, end) =
            (moment(&stderr, "the group assigns partitions")?, moment(&stderr, "pipeline ended")?);
        Ok(Run {
            rate: records / since(begin, end),
            whole_rate: records / took,
            cpu_us_per_event: cpu_seconds * 1e6 / records,
            peak_rss_mb,
        })
    }
}

/// From one moment of the day to a later one; past midnight it is less.
pub(crate) fn since(begin: f64, end: f64) -> f64 {
    (end - begin).rem_euclid(86_400.0)
}

/// When the log first says this, in seconds of the day.
fn moment(log: &str, message: &str) -> Result<f64> {
    let line = log.lines().find(|line| line.contains(message));
    let line: Value =
        serde_json::from_str(line.with_context(|| format!("no {message:?} in {log}"))?)?;
    clock(line.get("timestamp").and_then(Value::as_str).context("a line without a timestamp")?)
}

/// The seconds of the day in a time like `2026-11-24T23:34:50.747Z`.
pub(crate) fn clock(at: &str) -> Result<f64> {
    let clock = at.split_once('T').map_or("", |(_, clock)| clock.trim_end_matches('Z'));
    let mut seconds = 0.0;
    for part in clock.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>()?;
    }
    Ok(seconds)
}
