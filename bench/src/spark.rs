//! The Spark job, from outside: it is submitted as on any machine, and tells of its micro-batches at its end.

use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use postgres::Config;
use postgres::config::Host;
use serde::Deserialize;

use crate::pipeline::{Place, Run, clock, since, variable};
use crate::usage::{self, Finished};

/// The job and its settings, in the repository.
const JOB: &str = "bench/spark/job.py";
const SETTINGS: &str = "bench/spark/spark.conf";

/// Spark and what it needs, as `make bench-spark` has installed it.
pub(crate) struct Spark {
    place: Place,
    home: PathBuf,
    /// Beside Spark's own, separated by commas.
    jars: String,
}

/// What one run of the job came to.
pub(crate) struct Counted {
    pub(crate) run: Run,
    /// Of the last micro-batch: windows that end at or before it are written.
    pub(crate) watermark: String,
    /// Of Spark.
    pub(crate) version: String,
    /// Micro-batches.
    pub(crate) batches: usize,
}

/// What the job says at its end.
#[derive(Deserialize)]
struct Said {
    version: String,
    batches: Vec<Batch>,
}

/// What Spark tells of a micro-batch.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    timestamp: String,
    num_input_rows: u64,
    duration_ms: Durations,
    event_time: EventTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Durations {
    trigger_execution: u32,
}

#[derive(Deserialize)]
struct EventTime {
    watermark: String,
}

impl Spark {
    pub(crate) fn new(place: Place) -> Result<Self> {
        let folder = variable("HITSTREAM_SPARK_JARS")?;
        let entries = std::fs::read_dir(&folder).with_context(|| format!("no folder {folder}"))?;
        let mut jars = Vec::new();
        for entry in entries {
            jars.push(entry?.path().display().to_string());
        }
        let home = PathBuf::from(variable("SPARK_HOME")?);
        Ok(Self { place, home, jars: jars.join(",") })
    }

    /// Counts the whole topic into a table in a schema of its own.
    pub(crate) fn run(&self, schema: &str, records: u64) -> Result<Counted> {
        self.place.sql()?.batch_execute(&format!(
            "CREATE SCHEMA {schema};
             CREATE TABLE {schema}.aggregated_web_traffic (window_start timestamptz NOT NULL,
                 window_end timestamptz NOT NULL, host text, referrer text, num_hits bigint NOT NULL)"
        ))?;
        let scratch = std::env::temp_dir().join(format!("{schema}_{}", std::process::id()));
        let ran = usage::run(&mut self.command(schema, &scratch)?);
        std::fs::remove_dir_all(&scratch).ok();
        let Finished { took, cpu_seconds, peak_rss_mb, stdout, .. } = ran?;
        let said = stdout.lines().last().context("the job said nothing")?;
        let Said { version, batches } = serde_json::from_str(said)
            .with_context(|| format!("the job does not end with its micro-batches: {said}"))?;
        let (first, last) = batches.first().zip(batches.last()).context("no micro-batch")?;
        let read: u64 = batches.iter().map(|batch| batch.num_input_rows).sum();
        ensure!(read == records, "the job read {read} of {records} records");
        let end = clock(&last.timestamp)? + f64::from(last.duration_ms.trigger_execution) / 1e3;
        let run = Run {
            rate: records as f64 / since(clock(&first.timestamp)?, end),
            whole_rate: records as f64 / took,
            cpu_us_per_event: cpu_seconds * 1e6 / records as f64,
            peak_rss_mb,
        };
        let watermark = last.event_time.watermark.clone();
        Ok(Counted { run, watermark, version, batches: batches.len() })
    }

    fn command(&self, schema: &str, scratch: &std::path::Path) -> Result<Command> {
        let postgres = Config::from_str(&self.place.postgres)?;
        let host = match postgres.get_hosts() {
            [Host::Tcp(host), ..] => host,
            _ => anyhow::bail!("POSTGRES_URL names no host for JDBC"),
        };
        let port = postgres.get_ports().first().copied().unwrap_or(5_432);
        let database = postgres.get_dbname().unwrap_or_default();
        let password = String::from_utf8_lossy(postgres.get_password().unwrap_or_default());

        let mut command = Command::new(self.home.join("bin/spark-submit"));
        command.args(["--properties-file", SETTINGS, "--jars", &self.jars, JOB]).env_clear();
        for name in ["PATH", "HOME", "JAVA_HOME", "SPARK_HOME", "PYSPARK_PYTHON"] {
            command.env(name, variable(name)?);
        }
        command
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("SPARK_LOCAL_DIRS", scratch.join("local"))
            .env("CHECKPOINT", scratch.join("checkpoint"))
            .env("KAFKA_URL", &self.place.brokers)
            .env("KAFKA_TOPIC", &self.place.topic)
            .env("POSTGRES_URL", format!("jdbc:postgresql://{host}:{port}/{database}"))
            .env("POSTGRES_USER", postgres.get_user().unwrap_or_default())
            .env("POSTGRES_PASSWORD", password.as_ref())
            .env("POSTGRES_TABLE", format!("{schema}.aggregated_web_traffic"));
        Ok(command)
    }
}
