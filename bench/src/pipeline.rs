//! The binary that is measured, from outside: its log says when it began and ended, the kernel what it used.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use postgres::{Client, NoTls};
use serde_json::Value;

/// How often its use of the machine is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Where Kafka and PostgreSQL are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) brokers: String,
    pub(crate) postgres: String,
    pub(crate) topic: String,
}

impl Place {
    pub(crate) fn from_environment() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set: `make bench` starts services and sets it")
            })
        };
        let topic = format!("bench-{}", std::process::id());
        Ok(Self { brokers: variable("KAFKA_URL")?, postgres: variable("POSTGRES_URL")?, topic })
    }

    pub(crate) fn sql(&self) -> Result<Client> {
        Client::connect(&self.postgres, NoTls).context("PostgreSQL at POSTGRES_URL does not answer")
    }

    /// Drops schemas and lets PostgreSQL tidy up, so that the next round finds what this one found.
    pub(crate) fn forget(&self, schemas: &[&str]) -> Result<()> {
        let mut sql = self.sql()?;
        for schema in schemas {
            sql.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))?;
        }
        let admin = std::env::var("HITSTREAM_POSTGRES_ADMIN_URL");
        let url = admin.unwrap_or_else(|_| self.postgres.clone());
        if let Err(error) = Client::connect(&url, NoTls)?.batch_execute("CHECKPOINT") {
            eprintln!("no checkpoint between rounds: {error}");
        }
        Ok(())
    }
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Records a second, from the assignment of partitions to the end: last commit and leaving the group are in it.
    pub(crate) rate: f64,
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
        let log = std::env::temp_dir().join(format!("hitstream-bench-{}.log", std::process::id()));
        let mut child = self
            .command(&["run", "--until-end", "--json", "--log-format", "json"])
            .env("KAFKA_GROUP", schema)
            .env("HITSTREAM_POSTGRES__SCHEMA", schema)
            .env("HITSTREAM_EVENTS__STORE", stores_events.to_string())
            .env("HITSTREAM_ROLLUPS__BY_COUNTRY", stores_events.to_string())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut used = Used::default();
        let status = loop {
            used.look(child.id());
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(LOOK);
        };
        let said = std::fs::read_to_string(&log)?;
        std::fs::remove_file(&log)?;
        if !status.success() {
            bail!("run ended with {status}:\n{said}");
        }
        let mut answer = String::new();
        child.stdout.take().context("no output")?.read_to_string(&mut answer)?;
        let answer: Value = serde_json::from_str(&answer)?;
        let records =
            answer.get("records").and_then(Value::as_f64).context("no records in the answer")?;
        let (begin, end) =
            (moment(&said, "the group assigns partitions")?, moment(&said, "pipeline ended")?);
        // Past midnight it is less.
        let took = (end - begin).rem_euclid(86_400.0);
        Ok(Run {
            rate: records / took,
            cpu_us_per_event: used.cpu_seconds * 1e6 / records,
            peak_rss_mb: used.peak_rss_mb,
        })
    }
}

/// What a process used so far.
#[derive(Default)]
struct Used {
    cpu_seconds: f64,
    peak_rss_mb: f64,
}

impl Used {
    fn look(&mut self, process: u32) {
        // Ticks of 10 ms since ever, on every platform that Linux runs on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        // User and system time are the 12th and 13th field behind the name, which ends with the last bracket.
        let ticks = read("stat").and_then(|stat| {
            let fields: Vec<f64> = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .skip(11)
                .take(2)
                .flat_map(str::parse)
                .collect();
            Some(fields.iter().sum::<f64>())
        });
        let peak = read("status").and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        });
        self.cpu_seconds = self.cpu_seconds.max(ticks.unwrap_or(0.0) / TICKS_PER_SECOND);
        self.peak_rss_mb = self.peak_rss_mb.max(peak.unwrap_or(0.0) * 1024.0 / 1e6);
    }
}

/// When the log first says this, in seconds of the day.
fn moment(log: &str, message: &str) -> Result<f64> {
    let line = log.lines().find(|line| line.contains(message));
    let line: Value =
        serde_json::from_str(line.with_context(|| format!("no {message:?} in {log}"))?)?;
    let at = line.get("timestamp").and_then(Value::as_str).context("a line without a timestamp")?;
    let clock = at.split_once('T').map_or("", |(_, clock)| clock.trim_end_matches('Z'));
    let mut seconds = 0.0;
    for part in clock.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>()?;
    }
    Ok(seconds)
}
