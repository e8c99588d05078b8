//! The options of `hitstream generate`.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::random::Share;
use super::schedule::{Demand, Schedule};
use super::traffic::{LAST_MICROS, Traffic};
use crate::cli::{KeyArgs, TopicArgs};
use crate::config::{Config, parse_duration};

/// Names of each kind at most: they are kept in memory.
const MAX_NAMES: u32 = 1_000_000;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// Records to send in all
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Records per second, live: the first event is now, and it goes on until Ctrl-C, --count or --duration.
    /// Without a rate records are sent as fast as Kafka takes them
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,

    /// Stop after this time (needs --rate)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Number that decides everything random: the same seed, options and --start give the same records, byte by
    /// byte, in the same partitions
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Event time of the first record, RFC 3339 in UTC [default: now with --rate; else so that the last event is now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    start: Option<i64>,

    /// Event time between two records [default: what --rate makes it; without a rate 10ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    step: Option<Duration>,

    /// Write what must come out to FILE, reckoned record by record with the configured window, watermark and skew.
    /// Needs a topic that has never held a record and that nobody else writes to
    #[arg(long, value_name = "FILE")]
    pub(super) expected: Option<PathBuf>,

    /// Distinct hosts; the first is hit N times as often as the Nth
    #[arg(long, value_name = "N", default_value = "200", value_parser = names)]
    hosts: NonZeroU32,

    /// Distinct referrers, beside the absent, the empty and "-"; skewed like hosts
    #[arg(long, value_name = "N", default_value = "2000", value_parser = names)]
    referrers: NonZeroU32,

    /// Distinct visitors, each with an address and a user agent; skewed like hosts
    #[arg(long, value_name = "N", default_value = "50000", value_parser = names)]
    visitors: NonZeroU32,

    /// Event times lie up to this far behind the clock of the stream, in random order
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    disorder: Duration,

    /// Share of hits that are set back by --late-by, as 0.01 or 1%
    #[arg(long, value_name = "SHARE", default_value = "0")]
    late: Share,

    /// How far late hits are set back [default: three times window.size and watermark.delay]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    late_by: Option<Duration>,

    /// Share of records that are no hits: broken JSON, missing or impossible times, tombstones and more
    #[arg(long, value_name = "SHARE", default_value = "0")]
    malformed: Share,

    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// The record's key.
    #[command(flatten)]
    key: KeyArgs,

    /// The topic, where it is to be created.
    #[command(flatten)]
    pub(super) topic: TopicArgs,
}

impl GenerateArgs {
    /// When records are sent and what their event times are.
    ///
    /// # Errors
    /// Says which options are missing or do not go together.
    pub(super) fn schedule(&self, now_micros: i64) -> Result<Schedule, String> {
        let Self { count, rate, duration, start, step, .. } = *self;
        Schedule::new(Demand { count, rate, duration, start_micros: start, step }, now_micros)
    }

    /// What the records are like.
    pub(super) fn traffic(
        &self,
        schedule: &Schedule,
        partitions: NonZeroU32,
        config: &Config,
    ) -> Traffic {
        let late_by = self.late_by.unwrap_or((config.window.size + config.watermark.delay) * 3);
        Traffic {
            seed: self.seed,
            start_micros: schedule.start_micros,
            step: schedule.step,
            partitions,
            key: self.key.by,
            hosts: self.hosts,
            referrers: self.referrers,
            visitors: self.visitors,
            disorder_micros: micros(self.disorder),
            late: self.late,
            late_by_micros: micros(late_by),
            malformed: self.malformed,
        }
    }
}

/// Reads an event time that the input contract accepts.
fn instant(text: &str) -> Result<i64, String> {
    let time = humantime::parse_rfc3339_weak(text)
        .map_err(|_| "is no time; write UTC as 2024-05-17T12:00:00Z".to_owned())?;
    let since = time
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok());
    since
        .filter(|micros| *micros <= LAST_MICROS)
        .ok_or_else(|| "lies outside the years 1970 to 2199".to_owned())
}

/// Reads a number of names.
fn names(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= MAX_NAMES);
    number.ok_or_else(|| format!("is no number from 1 to {MAX_NAMES}"))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_a_time_of_the_contract() {
        assert_eq!(instant("2015-05-17T10:05:03.5Z"), Ok(1_431_857_103_500_000));
        assert_eq!(instant("2015-05-17 10:05:03"), Ok(1_431_857_103_000_000));
        assert!(instant("2200-01-01T00:00:00Z").unwrap_err().contains("1970"));
        assert!(instant("tomorrow").unwrap_err().contains("2024-05-17T12:00:00Z"));
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(names("1000000").map(NonZeroU32::get), Ok(1_000_000));
        assert!(names("0").is_err() && names("1000001").is_err() && names("many").is_err());
    }
}
