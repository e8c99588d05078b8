//! Turns lines into records: a log line becomes an event, a JSON line is sent as it stands.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::access_log::{Fault, LogLine};
use super::event::EventWriter;
use super::summary::Notes;

/// Format of an imported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Told by the first line of each file: JSON lines, or an access log of either format
    Auto,
    /// Access log with referrer and user agent
    Combined,
    /// Access log without; what follows the size is ignored
    Common,
    /// One JSON object a line
    Jsonl,
}

/// Where the record is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// It is the line itself.
    AsItStands,
    /// It is the line itself, which the pipeline will reject.
    Flawed(Flaw),
    /// It was written into the buffer.
    Translated,
}

/// What is wrong with a JSON line that is sent all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("is not valid JSON")]
    Invalid,
    #[error("is JSON, but no object")]
    NoObject,
}

/// Turns the lines of one file into records.
pub(super) struct Translator<'a> {
    format: Format,
    host: Option<&'a str>,
    named_jsonl: bool,
    writer: EventWriter,
}

impl<'a> Translator<'a> {
    pub(super) fn new(format: Format, host: Option<&'a str>, file: &Path) -> Self {
        Self { format, host, named_jsonl: is_named_jsonl(file), writer: EventWriter::default() }
    }

    /// Turns a line that is not blank into a record.
    pub(super) fn translate(
        &mut self,
        line: &[u8],
        record: &mut Vec<u8>,
        notes: &mut Notes,
    ) -> Result<Record, Fault> {
        if self.format == Format::Auto {
            self.format = self.detect(line);
        }
        if self.format == Format::Jsonl {
            return Ok(flaw_of(line).map_or(Record::AsItStands, Record::Flawed));
        }
        let text = String::from_utf8_lossy(line);
        let parsed = LogLine::parse(&text, self.format == Format::Combined)?;
        if matches!(text, std::borrow::Cow::Owned(_)) {
            notes.invalid_utf8 += 1;
        }
        let host = parsed.host().or(self.host);
        if host.is_none() {
            notes.without_host += 1;
        }
        // A Vec takes whatever is written to it.
        self.writer.write(&parsed, host, record).map_err(|_| Fault::TooLong)?;
        Ok(Record::Translated)
    }

    /// The line decides where it can, else the file's name.
    fn detect(&self, line: &[u8]) -> Format {
        let no_log_line = || LogLine::parse(&String::from_utf8_lossy(line), true).is_err();
        if line.trim_ascii_start().starts_with(b"{") || (self.named_jsonl && no_log_line()) {
            Format::Jsonl
        } else {
            Format::Combined
        }
    }
}

fn is_named_jsonl(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    [".jsonl", ".ndjson", ".json"].iter().any(|ending| name.ends_with(ending))
}

fn flaw_of(line: &[u8]) -> Option<Flaw> {
    let mut json = serde_json::Deserializer::from_slice(line);
    if IgnoredAny::deserialize(&mut json).and_then(|_| json.end()).is_err() {
        return Some(Flaw::Invalid);
    }
    (!line.trim_ascii_start().starts_with(b"{")).then_some(Flaw::NoObject)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str =
        r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "http://r/" "agent""#;

    fn translate(format: Format, name: &str, lines: &[&[u8]]) -> (Vec<Option<String>>, Notes) {
        let mut translator = Translator::new(format, Some("h"), Path::new(name));
        let (mut record, mut notes) = (Vec::new(), Notes::default());
        let mut translated = |line: &&[u8]| {
            translator.translate(line, &mut record, &mut notes).ok().map(|kind| {
                let bytes = if kind == Record::Translated { record.as_slice() } else { line };
                String::from_utf8_lossy(bytes).into_owned()
            })
        };
        let records = lines.iter().map(&mut translated).collect();
        (records, notes)
    }

    #[test]
    fn first_line_decides_for_its_file() {
        let bad: &[u8] = b"[1, 2";
        let (records, _) = translate(Format::Auto, "x", &[br#"{"host":"a"}"#, bad, LOG.as_bytes()]);
        assert_eq!(
            records,
            [Some(r#"{"host":"a"}"#.to_owned()), Some("[1, 2".to_owned()), Some(LOG.to_owned())]
        );

        let (records, _) = translate(Format::Auto, "x.jsonl.gz", &[bad, b"{}"]);
        assert_eq!(records, [Some("[1, 2".to_owned()), Some("{}".to_owned())]);

        let (records, _) = translate(Format::Auto, "x.jsonl", &[LOG.as_bytes(), b"{}"]);
        assert!(records[0].as_ref().unwrap().contains(r#""referrer":"http://r/""#));
        assert_eq!(records[1], None);
    }

    #[test]
    fn common_format_has_no_referrer() {
        let (records, _) = translate(Format::Common, "x", &[LOG.as_bytes()]);
        assert!(records[0].as_ref().unwrap().contains(r#""referrer":null,"user_agent":null"#));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_noted() {
        let line = [&LOG.as_bytes()[..LOG.len() - 6], b"\xe4\xe5\""].concat();
        let (records, notes) = translate(Format::Auto, "x", &[&line]);
        assert!(
            records[0].as_ref().unwrap().contains("\"user_agent\":\"\u{fffd}\u{fffd}\""),
            "{records:?}"
        );
        assert_eq!(notes.invalid_utf8, 1);
    }

    #[test]
    fn deeply_nested_line_is_looked_at_without_recursion() {
        let line = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(flaw_of(line.as_bytes()), None);
    }

    #[test]
    fn line_that_is_no_json_object_is_told_from_one_that_is_no_json() {
        for object in ["{}", " {\"a\": [1]} "] {
            assert_eq!(flaw_of(object.as_bytes()), None, "{object}");
        }
        for other in ["[1]", "\"{}\"", "null", "7"] {
            assert_eq!(flaw_of(other.as_bytes()), Some(Flaw::NoObject), "{other}");
        }
        for broken in ["foo", "{\"a\":1", "{} {}", "[1]]", LOG] {
            assert_eq!(flaw_of(broken.as_bytes()), Some(Flaw::Invalid), "{broken}");
        }
    }
}
