//! `import`: access logs and JSON lines into the topic, in the order of the files.

mod access_log;
mod event;
mod source;
mod summary;
mod translate;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::cli::progress::Progress;
use crate::cli::{CliError, ImportArgs, Outcome, output};
use crate::config::Config;
use crate::produce::{DELIVERY_LIMIT, ProduceError, Producer, key_of};
use access_log::Fault;
use source::{Line, Source};
use summary::Summary;
pub use translate::Format;
use translate::Translator;

/// Lines between two looks at the clock.
const LOOK_EVERY: u64 = 4096;

/// Imports the files and prints a summary.
///
/// # Errors
/// A file that cannot be read (what came before it is in the topic), or a broker that stays out of reach.
pub fn import(config: &Config, args: &ImportArgs) -> Result<Outcome, CliError> {
    let total = total_bytes(args)?;
    let mut producer = Producer::connect(&config.kafka)?;
    let partitions = if args.topic.create_topic {
        producer.ensure_topic(&config.kafka.topic, args.topic.partitions)?
    } else {
        producer.partition_count()?
    };
    let mut work = Work {
        args,
        read: Arc::default(),
        progress: Progress::of_bytes("lines", total),
        summary: Summary::new(&config.kafka.topic, partitions),
        line: Vec::new(),
        record: Vec::new(),
    };
    let begin = Instant::now();
    let imported = args.files.iter().try_for_each(|file| work.import_file(file, &mut producer));
    // Even after an error: what was sent shall arrive, and the count be right.
    let flushed = producer.flush(DELIVERY_LIMIT);
    work.progress.finish();
    let sent = match flushed {
        Ok(sent) => sent,
        Err(e) => return Err(imported.err().unwrap_or_else(|| e.into())),
    };
    let summary = work.summary.finish(sent, begin.elapsed());
    output::answer(args.json, &summary)?;
    imported?;
    Ok(if args.strict && summary.left_out() > 0 { Outcome::No } else { Outcome::Done })
}

struct Work<'a> {
    args: &'a ImportArgs,
    /// Bytes read from all files, packed as they are.
    read: Arc<AtomicU64>,
    progress: Progress,
    summary: Summary,
    line: Vec<u8>,
    record: Vec<u8>,
}

impl Work<'_> {
    fn import_file(&mut self, file: &Path, producer: &mut Producer) -> Result<(), CliError> {
        let unreadable = |e: io::Error| CliError::Usage(format!("{}: {e}", file.display()));
        let mut source =
            Source::open(file, producer.max_record_bytes(), &self.read).map_err(unreadable)?;
        let mut translator = Translator::new(self.args.format, self.args.host.as_deref(), file);
        let mut number = 0_u64;
        self.summary.files += 1;
        while let Some(line) = source.next_line(&mut self.line).map_err(unreadable)? {
            number += 1;
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.summary.lines += 1;
            let translated = match line {
                Line::TooLong => Err(Fault::TooLong),
                Line::Whole => {
                    translator.translate(&self.line, &mut self.record, &mut self.summary.notes)
                }
            };
            match translated {
                Ok(record) => self.send(record, producer)?,
                Err(fault) => self.refuse(fault, file, number),
            }
            if self.summary.lines.is_multiple_of(LOOK_EVERY) {
                self.progress.at(self.summary.lines, self.read.load(Ordering::Relaxed));
            }
        }
        Ok(())
    }

    fn send(&mut self, record: translate::Record, producer: &mut Producer) -> Result<(), CliError> {
        let record = match record {
            translate::Record::AsItStands => &self.line,
            translate::Record::Translated => &self.record,
        };
        let key = key_of(self.args.key.by, record);
        match producer.send(None, key.as_deref().map(str::as_bytes), Some(record)) {
            Ok(()) => {
                self.summary.bytes += u64::try_from(record.len()).unwrap_or(0);
                Ok(())
            }
            Err(ProduceError::TooLarge { .. }) => {
                self.summary.too_large += 1;
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }

    fn refuse(&mut self, fault: Fault, file: &Path, number: u64) {
        if let Some(word) = self.summary.unparsable(fault, file, number, &self.line) {
            self.progress.say(&word);
        }
    }
}

/// Sums the sizes of the files, and finds out before anything is sent that one is missing. `None` where
/// standard input is among them.
fn total_bytes(args: &ImportArgs) -> Result<Option<u64>, CliError> {
    let mut total = Some(0);
    for file in &args.files {
        if file.as_os_str() == "-" {
            total = None;
            continue;
        }
        let metadata = std::fs::metadata(file)
            .map_err(|e| CliError::Usage(format!("{}: {e}; nothing was sent", file.display())))?;
        if metadata.is_dir() {
            return Err(CliError::Usage(format!(
                "{}: is a directory; name the files in it",
                file.display()
            )));
        }
        total = total.map(|total| total + metadata.len());
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
