//! What was generated, told at the end.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::model::Model;
use super::timestamp::rfc3339;
use super::traffic::Traffic;
use crate::cli::progress::rate;
use crate::cli::words::count;
use crate::produce::Sent;

/// What was generated. Serialized, it is the answer to `generate --json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    topic: &'a str,
    partitions: u32,
    /// With these two and the same options the same records come again.
    seed: u64,
    start: String,
    /// Records that Kafka has acknowledged.
    records: u64,
    /// Records that Kafka has refused.
    refused: u64,
    /// Bytes of the records' values.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Expected<'a>>,
}

/// What the expectation file says in sum.
#[derive(Debug, Serialize)]
struct Expected<'a> {
    file: &'a Path,
    counted: u64,
    rejected: u64,
}

impl<'a> Summary<'a> {
    pub(super) fn new(
        topic: &'a str,
        traffic: &Traffic,
        sent: Sent,
        bytes: u64,
        elapsed: Duration,
    ) -> Self {
        let seconds = elapsed.as_secs_f64().max(0.001);
        Self {
            topic,
            partitions: traffic.partitions.get(),
            seed: traffic.seed,
            start: rfc3339(traffic.start_micros),
            records: sent.delivered,
            refused: sent.refused,
            bytes,
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            records_per_second: (sent.delivered as f64 / seconds * 10.0).round() / 10.0,
            expected: None,
        }
    }

    /// Adds that `file` was written from `model`.
    pub(super) fn expecting(mut self, file: &'a Path, model: &Model) -> Self {
        let rejected = model.rejected();
        self.expected = Some(Expected { file, counted: model.records() - rejected, rejected });
        self
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partitions, seed, start, records, seconds, records_per_second, .. } =
            self;
        let bytes = bytesize::ByteSize::b(self.bytes);
        writeln!(
            f,
            "{}, {bytes}, into {topic} ({}) in {seconds:.1} s{}",
            count(*records, "record", "records"),
            count(*partitions, "partition", "partitions"),
            rate(*records, *records_per_second),
        )?;
        writeln!(f, "--seed {seed} --start {start} with the same options makes the same records")?;
        if self.refused > 0 {
            let refused = count(
                self.refused,
                "record was refused by Kafka and is",
                "records were refused by Kafka and are",
            );
            writeln!(f, "{refused} not in the topic")?;
        }
        if let Some(Expected { file, counted, rejected }) = &self.expected {
            writeln!(
                f,
                "{} expects {} and {}",
                file.display(),
                count(*counted, "hit", "hits"),
                count(*rejected, "rejected record", "rejected records"),
            )?;
        }
        Ok(())
    }
}
