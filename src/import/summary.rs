//! What an import came to: counted on the way, told at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::access_log::Fault;
use super::place::Place;
use super::translate::Flaw;
use crate::cli::progress::{per_second, rate};
use crate::cli::words::count;
use crate::produce::{ProduceError, Sent};

/// Lines with a fault that are told of one by one; more are only counted.
const SHOWN: u64 = 10;
/// Characters of such a line that are shown.
const EXCERPT: usize = 120;

/// What an import came to. Serialized, it is the answer to `import --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    topic: String,
    partitions: u32,
    /// Files that were begun.
    pub(super) files: u64,
    /// Lines that are not blank.
    pub(super) lines: u64,
    /// Records that Kafka has acknowledged.
    records: u64,
    /// Bytes of the records' values.
    pub(super) bytes: u64,
    seconds: f64,
    records_per_second: f64,
    /// Lines that could not be read, and are left out.
    unparsable: u64,
    unparsable_by_reason: BTreeMap<String, u64>,
    /// Records beyond the producer's or a broker's size limit.
    too_large: u64,
    /// Lines of a JSON-lines file that are no JSON object; sent, but the pipeline will reject them.
    no_json_object: u64,
    #[serde(flatten)]
    pub(super) notes: Notes,
    /// Where a signal ended the work; null where none did.
    stopped: Option<Stopped>,
    /// Lines with a fault so far.
    #[serde(skip)]
    reported: u64,
}

/// Where a signal ended the work.
#[derive(Debug, Serialize)]
struct Stopped {
    file: String,
    /// The last line that was read.
    line: u64,
    /// Files that were not begun.
    files_left: u64,
}

/// What was sent all the same, but may not be what was meant.
#[derive(Debug, Default, Serialize)]
pub(super) struct Notes {
    /// Log lines with bytes that are no UTF-8, replaced by U+FFFD.
    pub(super) invalid_utf8: u64,
    /// Log lines whose event has no host.
    pub(super) without_host: u64,
}

impl Summary {
    pub(super) fn new(topic: &str, partitions: u32) -> Self {
        Self { topic: topic.to_owned(), partitions, ..Self::default() }
    }

    /// Counts a line that cannot be read. Gives what to say about it, if anything.
    pub(super) fn unparsable(
        &mut self,
        fault: Fault,
        place: &Place<'_>,
        line: &[u8],
    ) -> Option<String> {
        self.unparsable += 1;
        *self.unparsable_by_reason.entry(fault.to_string()).or_default() += 1;
        self.report(place, &fault.to_string(), line)
    }

    /// Counts a JSON line that was sent though the pipeline will reject it. Gives what to say about it, if anything.
    pub(super) fn flawed(&mut self, flaw: Flaw, place: &Place<'_>, line: &[u8]) -> Option<String> {
        self.no_json_object += 1;
        self.report(place, &format!("{flaw}, sent as it stands"), line)
    }

    /// Counts a line whose record is too large. Gives what to say about it, if anything.
    pub(super) fn too_large(
        &mut self,
        error: &ProduceError,
        place: &Place<'_>,
        line: &[u8],
    ) -> Option<String> {
        self.too_large += 1;
        self.report(place, &format!("{error}, left out"), line)
    }

    fn report(&mut self, place: &Place<'_>, reason: &str, line: &[u8]) -> Option<String> {
        self.reported += 1;
        if self.reported > SHOWN {
            return (self.reported == SHOWN + 1)
                .then(|| "further lines with faults are only counted".to_owned());
        }
        let text = String::from_utf8_lossy(line);
        let mut excerpt: String = text
            .chars()
            .take(EXCERPT)
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        if text.chars().nth(EXCERPT).is_some() {
            excerpt.push('…');
        }
        Some(format!("{place}: {reason}: {excerpt}"))
    }

    /// Takes note that a signal ended the work at `place`; it was to read so many files.
    pub(super) fn stopped(&mut self, place: &Place<'_>, files: usize) {
        let files = u64::try_from(files).unwrap_or(u64::MAX);
        self.stopped = Some(Stopped {
            file: place.name().into_owned(),
            line: place.line,
            files_left: files.saturating_sub(self.files),
        });
    }

    pub(super) fn finish(mut self, sent: Sent, elapsed: Duration) -> Self {
        self.records = sent.delivered;
        self.too_large += sent.refused;
        self.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        self.records_per_second = (per_second(sent.delivered, elapsed) * 10.0).round() / 10.0;
        self
    }

    /// Counts the lines that are not in the topic, or that the pipeline will reject.
    pub(super) fn faulty(&self) -> u64 {
        self.unparsable + self.too_large + self.no_json_object
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {}, into {} ({}) in {:.1} s{}",
            count(self.records, "record", "records"),
            bytesize::ByteSize::b(self.bytes),
            self.topic,
            count(self.partitions, "partition", "partitions"),
            self.seconds,
            rate(self.records, self.records_per_second),
        )?;
        if let Some(Stopped { file, line, files_left }) = &self.stopped {
            let place = match line {
                0 => "before the first line".to_owned(),
                line => format!("after line {line}"),
            };
            write!(f, "stopped by a signal {place} of {file}; the rest was not sent")?;
            match files_left {
                0 => writeln!(f)?,
                left => writeln!(f, ", nor {}", count(*left, "further file", "further files"))?,
            }
        }
        if self.lines == 0 && self.stopped.is_none() {
            writeln!(
                f,
                "no line in {}: is it what was meant?",
                count(self.files, "file", "files")
            )?;
        }
        if self.unparsable > 0 {
            let lines = count(self.lines, "line", "lines");
            writeln!(f, "{} of {lines} could not be read:", self.unparsable)?;
            for (reason, count) in &self.unparsable_by_reason {
                writeln!(f, "  {count} {reason}")?;
            }
            if self.unparsable == self.lines {
                writeln!(
                    f,
                    "give it access logs (combined, common) or JSON lines; --format says which"
                )?;
            }
        }
        let notes = [
            (self.too_large, "record was", "records were", "too large for the topic and left out"),
            (
                self.no_json_object,
                "line is",
                "lines are",
                "no JSON object; sent unchanged, for the pipeline to reject",
            ),
            (
                self.notes.invalid_utf8,
                "line had",
                "lines had",
                "bytes that are no UTF-8, replaced by U+FFFD",
            ),
            (
                self.notes.without_host,
                "record names",
                "records name",
                "no host; pass --host to set one",
            ),
        ];
        for (number, one, many, what) in notes.into_iter().filter(|(number, ..)| *number > 0) {
            writeln!(f, "{} {what}", count(number, one, many))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn first_unreadable_lines_are_shown_and_the_rest_counted() {
        let mut summary = Summary::new("t", 1);
        let line = format!("x\u{1b}{}", "y".repeat(500));
        let said: Vec<_> = (1..=13)
            .filter_map(|i| {
                let place = Place { file: Path::new("a.log"), line: i };
                summary.unparsable(Fault::NoTime, &place, line.as_bytes())
            })
            .collect();
        assert_eq!(said.len(), 11);
        assert!(
            said[0].starts_with("a.log:1: has no time in brackets: x\u{fffd}yy"),
            "{}",
            said[0]
        );
        assert!(said[0].len() < 200);
        let text =
            summary.finish(Sent { delivered: 3, refused: 1 }, Duration::from_secs(2)).to_string();
        assert!(
            text.starts_with("3 records, 0 B, into t (1 partition) in 2.0 s, 2 a second\n"),
            "{text}"
        );
        assert!(
            text.contains("  13 has no time in brackets\n")
                && text.contains("1 record was too large"),
            "{text}"
        );
    }

    #[test]
    fn every_kind_of_fault_is_told_with_its_place_and_within_one_limit() {
        let mut summary = Summary::new("t", 2);
        let place = |line| Place { file: Path::new("-"), line };
        let large = ProduceError::TooLarge { bytes: 9, limit: 5 };
        assert_eq!(
            summary.flawed(Flaw::NoObject, &place(1), b"[1]").unwrap(),
            "standard input:1: is JSON, but no object, sent as it stands: [1]"
        );
        assert_eq!(
            summary.too_large(&large, &place(2), b"{}").unwrap(),
            "standard input:2: record of 9 bytes is larger than message.max.bytes (5), left out: {}"
        );
        for line in 3..=SHOWN {
            assert!(summary.unparsable(Fault::NoTime, &place(line), b"").is_some());
        }
        let last = summary.flawed(Flaw::Invalid, &place(11), b"{");
        assert_eq!(last.unwrap(), "further lines with faults are only counted");
        assert_eq!(summary.too_large(&large, &place(12), b"{}"), None);
        assert_eq!(summary.faulty(), 12);
    }

    #[test]
    fn stopped_work_says_where_and_nothing_has_no_rate() {
        let mut summary = Summary::new("t", 2);
        summary.files = 1;
        summary.stopped(&Place { file: Path::new("a.log"), line: 7 }, 3);
        assert_eq!(
            summary.finish(Sent::default(), Duration::from_secs(1)).to_string(),
            "0 records, 0 B, into t (2 partitions) in 1.0 s\n\
             stopped by a signal after line 7 of a.log; the rest was not sent, nor 2 further files\n"
        );
    }

    #[test]
    fn summary_is_one_flat_json_object() {
        let json =
            serde_json::to_value(Summary::new("t", 1).finish(Sent::default(), Duration::ZERO))
                .unwrap();
        for field in [
            "topic",
            "records",
            "bytes",
            "unparsable",
            "too_large",
            "invalid_utf8",
            "no_json_object",
            "stopped",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }
}
