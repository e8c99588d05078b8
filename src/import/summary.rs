//! What an import came to: counted on the way, told at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::access_log::Fault;
use crate::cli::progress::per_second;
use crate::produce::Sent;

/// Unreadable lines that are shown in full; more are only counted.
const SHOWN: u64 = 10;
/// Characters of an unreadable line that are shown.
const EXCERPT: usize = 120;

/// What an import came to. Serialized, it is the answer to `import --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    topic: String,
    partitions: u32,
    pub(super) files: u64,
    /// Lines that are not blank.
    pub(super) lines: u64,
    /// Records that Kafka has acknowledged.
    records: u64,
    /// Bytes of the records' values.
    pub(super) bytes: u64,
    seconds: f64,
    records_per_second: f64,
    unparsable: u64,
    unparsable_by_reason: BTreeMap<String, u64>,
    /// Records beyond the producer's or a broker's size limit.
    pub(super) too_large: u64,
    #[serde(flatten)]
    pub(super) notes: Notes,
}

/// What was sent all the same, but may not be what was meant.
#[derive(Debug, Default, Serialize)]
pub(super) struct Notes {
    /// Log lines with bytes that are no UTF-8, replaced by U+FFFD.
    pub(super) invalid_utf8: u64,
    /// Log lines whose event has no host.
    pub(super) without_host: u64,
    /// Lines of a JSON-lines file that are no JSON object; the pipeline will reject them.
    pub(super) no_json_object: u64,
}

impl Summary {
    pub(super) fn new(topic: &str, partitions: u32) -> Self {
        Self { topic: topic.to_owned(), partitions, ..Self::default() }
    }

    /// Counts an unreadable line. Gives what to say about it, if anything.
    pub(super) fn unparsable(
        &mut self,
        fault: Fault,
        file: &Path,
        number: u64,
        line: &[u8],
    ) -> Option<String> {
        self.unparsable += 1;
        *self.unparsable_by_reason.entry(fault.to_string()).or_default() += 1;
        if self.unparsable > SHOWN {
            return (self.unparsable == SHOWN + 1)
                .then(|| "further unreadable lines are only counted".to_owned());
        }
        let name =
            if file.as_os_str() == "-" { "standard input".into() } else { file.to_string_lossy() };
        let text = String::from_utf8_lossy(line);
        let mut excerpt: String = text
            .chars()
            .take(EXCERPT)
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        if text.chars().nth(EXCERPT).is_some() {
            excerpt.push('…');
        }
        Some(format!("{name}:{number}: {fault}: {excerpt}"))
    }

    pub(super) fn finish(mut self, sent: Sent, elapsed: Duration) -> Self {
        self.records = sent.delivered;
        self.too_large += sent.refused;
        self.seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        self.records_per_second = (per_second(sent.delivered, elapsed) * 10.0).round() / 10.0;
        self
    }

    /// Counts the lines that are not in the topic.
    pub(super) fn left_out(&self) -> u64 {
        self.unparsable + self.too_large
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partitions, records, seconds, records_per_second, .. } = self;
        let bytes = bytesize::ByteSize::b(self.bytes);
        writeln!(
            f,
            "{records} records, {bytes}, into {topic} ({partitions} partitions) in {seconds:.1} s, {records_per_second:.0} a second"
        )?;
        if self.unparsable > 0 {
            writeln!(f, "{} of {} lines could not be read:", self.unparsable, self.lines)?;
            for (reason, count) in &self.unparsable_by_reason {
                writeln!(f, "  {count} {reason}")?;
            }
        }
        let notes = [
            (self.too_large, "records were too large for the topic and left out"),
            (self.notes.invalid_utf8, "lines had bytes that are no UTF-8, replaced by U+FFFD"),
            (self.notes.without_host, "records name no host; pass --host to give them one"),
            (
                self.notes.no_json_object,
                "lines are no JSON object; sent as they stand, the pipeline will reject them",
            ),
        ];
        for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count} {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_unreadable_lines_are_shown_and_the_rest_counted() {
        let mut summary = Summary::new("t", 1);
        let line = format!("x\u{1b}{}", "y".repeat(500));
        let said: Vec<_> = (1..=13)
            .filter_map(|i| {
                summary.unparsable(Fault::NoTime, Path::new("a.log"), i, line.as_bytes())
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
            text.starts_with("3 records, 0 B, into t (1 partitions) in 2.0 s, 2 a second\n"),
            "{text}"
        );
        assert!(
            text.contains("  13 has no time in brackets\n")
                && text.contains("1 records were too large"),
            "{text}"
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
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }
}
