//! `import`: access logs and JSON lines into the topic, in the order of the files.

mod access_log;
mod event;
mod place;
mod source;
mod summary;
mod translate;
mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::cli::progress::Progress;
use crate::cli::{CliError, ImportArgs, Outcome, output, stop};
use crate::config::Config;
use crate::produce::{DELIVERY_LIMIT, ProduceError, Producer, key_of};
use access_log::Fault;
use place::Place;
use source::{Line, Source};
use summary::Summary;
pub use translate::Format;
use translate::{Record, Translator};
use waiting::is_stop;

/// Lines between two looks at the clock.
const LOOK_EVERY: u64 = 4096;

/// Imports the files and prints a summary, until all are sent or Ctrl-C or SIGTERM comes.
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
        stop: Arc::default(),
        read: Arc::default(),
        progress: Progress::of_bytes("lines", total),
        summary: Summary::new(&config.kafka.topic, partitions),
        place: Place { file: args.files.first().map_or(Path::new("-"), PathBuf::as_path), line: 0 },
        line: Vec::new(),
        record: Vec::new(),
    };
    stop::on_signal(&work.stop)?;
    let begin = Instant::now();
    let halt = args.files.iter().try_for_each(|file| work.import_file(file, &mut producer)).err();
    // Even after an error: what was sent shall arrive, and the count be right.
    let flushed = producer.flush(DELIVERY_LIMIT);
    work.progress.finish();
    let Work { mut summary, place, .. } = work;
    let sent = match flushed {
        Ok(sent) => sent,
        Err(error) => return Err(halt.unwrap_or(Halt::Stopped).unfinished(&place, error)),
    };
    if matches!(halt, Some(Halt::Stopped)) {
        summary.stopped(&place, args.files.len());
    }
    let summary = summary.finish(sent, begin.elapsed());
    let told = output::answer(args.json, &summary);
    match halt {
        Some(Halt::Unreadable(error)) => return Err(place.unreadable(&error, "is in the topic")),
        Some(Halt::Kafka(error)) => return Err(error.into()),
        Some(Halt::Stopped) | None => told?,
    }
    Ok(if args.strict && summary.faulty() > 0 { Outcome::No } else { Outcome::Done })
}

/// What ends the work before the end of the files.
enum Halt {
    /// A signal asked for it.
    Stopped,
    /// The file that is being read cannot be read on.
    Unreadable(io::Error),
    /// Records cannot be sent.
    Kafka(ProduceError),
}

impl Halt {
    fn of_reading(error: io::Error) -> Self {
        if is_stop(&error) { Self::Stopped } else { Self::Unreadable(error) }
    }

    /// Says what is wrong where records that were sent have not arrived either.
    fn unfinished(self, place: &Place<'_>, undelivered: ProduceError) -> CliError {
        match self {
            Self::Stopped => undelivered.into(),
            Self::Unreadable(error) => {
                place.unreadable(&error, &format!("may be missing from the topic: {undelivered}"))
            }
            Self::Kafka(error) => error.into(),
        }
    }
}

struct Work<'a> {
    args: &'a ImportArgs,
    /// Raised when it is to end.
    stop: Arc<AtomicBool>,
    /// Bytes read from all files, packed as they are.
    read: Arc<AtomicU64>,
    progress: Progress,
    summary: Summary,
    place: Place<'a>,
    line: Vec<u8>,
    record: Vec<u8>,
}

impl<'a> Work<'a> {
    fn import_file(&mut self, file: &'a Path, producer: &mut Producer) -> Result<(), Halt> {
        // A stop between two files is one after the last line of the first.
        if self.stop.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        self.place = Place { file, line: 0 };
        self.summary.files += 1;
        let mut source = Source::open(file, producer.max_record_bytes(), &self.read, &self.stop)
            .map_err(Halt::of_reading)?;
        let mut translator = Translator::new(self.args.format, self.args.host.as_deref(), file);
        while !self.stop.load(Ordering::Relaxed) {
            let Some(line) = source.next_line(&mut self.line).map_err(Halt::of_reading)? else {
                return Ok(());
            };
            self.place.line += 1;
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
                Ok(record) => self.send(&record, producer)?,
                Err(fault) => {
                    let word = self.summary.unparsable(fault, &self.place, &self.line);
                    self.say(word);
                }
            }
            if self.summary.lines.is_multiple_of(LOOK_EVERY) {
                self.progress.at(self.summary.lines, self.read.load(Ordering::Relaxed));
            }
        }
        Err(Halt::Stopped)
    }

    fn send(&mut self, record: &Record, producer: &mut Producer) -> Result<(), Halt> {
        let value = match record {
            Record::AsItStands | Record::Flawed(_) => &self.line,
            Record::Translated => &self.record,
        };
        let key = key_of(self.args.key.by, value);
        let word = match producer.send(None, key.as_deref().map(str::as_bytes), Some(value)) {
            Ok(()) => {
                self.summary.bytes += u64::try_from(value.len()).unwrap_or(0);
                match record {
                    Record::Flawed(flaw) => self.summary.flawed(*flaw, &self.place, &self.line),
                    _ => None,
                }
            }
            Err(error @ ProduceError::TooLarge { .. }) => {
                self.summary.too_large(&error, &self.place, &self.line)
            }
            Err(error) => return Err(Halt::Kafka(error)),
        };
        self.say(word);
        Ok(())
    }

    fn say(&self, word: Option<String>) {
        if let Some(word) = word {
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
        let metadata = std::fs::metadata(file).map_err(|e| {
            CliError::Usage(format!(
                "{} cannot be read: {e}; nothing was sent. Name files that are there, or - for standard input",
                file.display()
            ))
        })?;
        if metadata.is_dir() {
            return Err(CliError::Usage(format!(
                "{} is a directory; nothing was sent. Name the files in it",
                file.display()
            )));
        }
        total = total.map(|total| total + metadata.len());
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
