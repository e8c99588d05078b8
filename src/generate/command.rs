//! `hitstream generate`: sends the traffic, and writes down what must come out of it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::args::GenerateArgs;
use super::expected::ExpectedFile;
use super::model::Rules;
use super::schedule::Schedule;
use super::summary::Summary;
use super::tally::Tally;
use super::traffic::Generator;
use crate::cli::progress::Progress;
use crate::cli::{CliError, Outcome, output, stop};
use crate::config::Config;
use crate::produce::{DELIVERY_LIMIT, Producer, Watch};

/// Longest pause of live traffic: so often it looks whether records are due and whether it is to stop.
const PAUSE: Duration = Duration::from_millis(10);
/// Records between two looks at the clock and the progress bar.
const STRIDE: u64 = 1_000;

/// Sends what was asked for, until it is all sent or Ctrl-C or SIGTERM comes.
///
/// # Errors
/// Options that do not go together, a topic that does not fit, a file that cannot be written, Kafka out of reach.
pub fn generate(config: &Config, args: &GenerateArgs) -> Result<Outcome, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let summary = generate_until(config, args, &stop)?;
    output::answer(args.json, &summary)?;
    Ok(Outcome::Done)
}

/// As [`generate`], with a flag that ends it.
pub(super) fn generate_until<'a>(
    config: &'a Config,
    args: &'a GenerateArgs,
    stop: &Arc<AtomicBool>,
) -> Result<Summary<'a>, CliError> {
    // What is wrong with the options is said before anything is connected.
    args.schedule(now_micros()).map_err(CliError::Usage)?;
    let expected = args.expected.as_deref().map(ExpectedFile::create).transpose()?;

    let tally = expected.as_ref().map(|_| Arc::new(Mutex::new(Tally::new(rules(config)))));
    let mut producer = match &tally {
        Some(tally) => Producer::connect_watched(&config.kafka, watch(tally))?,
        None => Producer::connect(&config.kafka)?,
    };
    let topic = config.kafka.topic.as_str();
    let partitions = if args.topic.create_topic {
        producer.ensure_topic(topic, args.topic.partitions)?
    } else {
        producer.partition_count()?
    };
    let partitions = NonZeroU32::new(partitions).unwrap_or(NonZeroU32::MIN);
    if tally.is_some() && producer.end_offsets()?.iter().any(|&end| end != 0) {
        return Err(CliError::Mismatch(format!(
            "topic {topic} has held records before, and how late a hit is depends on them; \
             choose another topic or leave out --expected"
        )));
    }

    let schedule = args.schedule(now_micros()).map_err(CliError::Usage)?;
    let mut generator = Generator::new(args.traffic(&schedule, partitions, config));
    stop::on_signal(stop)?;
    let begin = Instant::now();
    let mut run = Run {
        schedule,
        tally: tally.as_deref(),
        stop,
        progress: Progress::of_items("records", schedule.total),
        sent: 0,
        bytes: 0,
    };
    let sent =
        run.send(&mut generator, &mut producer).and_then(|()| Ok(producer.flush(DELIVERY_LIMIT)?));
    run.progress.finish();
    let summary = Summary::new(topic, generator.traffic(), sent?, run.bytes, begin.elapsed());
    let (Some(file), Some(tally)) = (expected, &tally) else { return Ok(summary) };
    let tally = lock(tally);
    let model = tally
        .finish(&producer.end_offsets()?)
        .map_err(|reason| CliError::Mismatch(format!("--expected was not written: {reason}")))?;
    let path = file.write(|out| {
        model.write(|host| generator.host(host), |referrer| generator.referrer(referrer), out)
    })?;
    Ok(summary.expecting(path, model))
}

/// The sending of the records.
struct Run<'a> {
    schedule: Schedule,
    tally: Option<&'a Mutex<Tally>>,
    stop: &'a AtomicBool,
    progress: Progress,
    sent: u64,
    bytes: u64,
}

impl Run<'_> {
    fn send(&mut self, generator: &mut Generator, producer: &mut Producer) -> Result<(), CliError> {
        let begin = Instant::now();
        while !self.stop.load(Ordering::Relaxed)
            && self.schedule.total.is_none_or(|total| self.sent < total)
        {
            let due = self.schedule.due(begin.elapsed()).min(self.sent + STRIDE);
            if due == self.sent {
                producer.wait(PAUSE)?;
            }
            while self.sent < due {
                self.send_one(generator, producer)?;
            }
            self.progress.at(self.sent, self.sent);
        }
        Ok(())
    }

    fn send_one(
        &mut self,
        generator: &mut Generator,
        producer: &mut Producer,
    ) -> Result<(), CliError> {
        let record = generator.next();
        // The timestamp is set here, so that the model knows it to the millisecond.
        let millis = now_micros() / 1_000;
        if let Some(tally) = self.tally {
            // Before the record is sent, for the answer may come at once; the lock is not held while it is.
            lock(tally).sent(record.partition, millis * 1_000, record.hit);
        }
        let partition = i32::try_from(record.partition).ok();
        producer.send_stamped(partition, record.key, record.value, Some(millis))?;
        self.bytes += record.value.map_or(0, <[u8]>::len) as u64;
        self.sent += 1;
        Ok(())
    }
}

fn rules(config: &Config) -> Rules {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Rules {
        window_size: micros(config.window.size),
        window_slide: micros(config.window.slide),
        watermark_delay: micros(config.watermark.delay),
        max_future_skew: micros(config.input.max_future_skew),
    }
}

fn watch(tally: &Arc<Mutex<Tally>>) -> Watch {
    let tally = Arc::clone(tally);
    Box::new(move |partition, offset| {
        if let Ok(partition) = u32::try_from(partition) {
            lock(&tally).answered(partition, offset);
        }
    })
}

/// The clock, in microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "a command is where time comes in")]
fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
