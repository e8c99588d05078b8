//! Compares the decoder with what Spark answered, record by record.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hitstream_domain::decode::Decoder;
use hitstream_domain::reject::{Reject, RejectReason};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;
use serde::Deserialize;

use super::explained::{Expected, Rule};

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/parse_golden.jsonl.zst");
/// The end of 2026-11-23, the day on which Spark was asked (its clock-dependent answers show it): the records' reference.
const ASKED_AT: EventTime = EventTime::from_millis(1_795_478_400_000);

/// One record and what Spark made of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    /// Its name.
    pub(crate) id: String,
    value_b64: Option<String>,
    counted: bool,
    host: Option<String>,
    referrer: Option<String>,
    ip: Option<String>,
    url_len: Option<usize>,
    event_time_us: Option<i64>,
    window_start_us: Option<i64>,
    wallclock_dependent: bool,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was counted.
    Hit(Hit),
    /// It was not; only hitstream has a reason.
    NoHit(Option<RejectReason>),
}

/// The columns that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    host: Option<String>,
    referrer: Option<String>,
    ip: Option<String>,
    url_chars: Option<usize>,
    event_time: EventTime,
    window_start: EventTime,
}

/// A difference that a rule explains.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The record.
    pub(crate) id: &'static str,
    /// Its rule.
    pub(crate) rule: &'static Rule,
    /// What Spark answered.
    pub(crate) spark: String,
    /// What hitstream answers.
    pub(crate) hitstream: String,
}

/// The result over all records.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many records there were.
    pub(crate) records: usize,
    /// The differences on purpose.
    pub(crate) differences: Vec<Difference>,
    /// What no rule explains, and rules that explain nothing.
    pub(crate) unexplained: Vec<String>,
}

/// Judges every record against the list of explained differences.
pub(crate) fn judge(explained: &'static [(&str, &Rule, Expected)]) -> Result<Verdict, String> {
    let goldens = read_goldens()?;
    let mut verdict = Verdict { records: goldens.len(), ..Verdict::default() };
    for golden in &goldens {
        let (spark, hitstream) = (golden.spark(), golden.hitstream()?);
        let agrees = !golden.wallclock_dependent && spark.agrees_with(&hitstream);
        let entry = explained.iter().find(|(id, ..)| *id == golden.id);
        match entry {
            None if agrees => {}
            Some((_, rule, _)) if agrees => verdict.unexplained.push(format!(
                "{}: agrees with Spark, yet is said to differ by: {}",
                golden.id, rule.input
            )),
            Some(&(id, rule, expected)) if golden.expected(expected) == hitstream => {
                let (spark, hitstream) = spark.differing(&hitstream);
                verdict.differences.push(Difference { id, rule, spark, hitstream });
            }
            _ => verdict.unexplained.push(format!(
                "{}: Spark {spark:?}, hitstream {hitstream:?}, explained {:?}",
                golden.id,
                entry.map(|(_, _, expected)| golden.expected(*expected))
            )),
        }
    }
    for (id, rule, _) in explained {
        if !goldens.iter().any(|golden| golden.id == *id) {
            verdict
                .unexplained
                .push(format!("{id}: no such record, yet explained by: {}", rule.input));
        }
    }
    Ok(verdict)
}

fn read_goldens() -> Result<Vec<Golden>, String> {
    let jsonl = zstd::decode_all(FIXTURE).map_err(|error| error.to_string())?;
    serde_json::Deserializer::from_slice(&jsonl)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn rules() -> Result<TimeRules, String> {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let window = WindowSpec::new(minutes(5), minutes(5)).map_err(|error| error.to_string())?;
    Ok(TimeRules { window, delay: minutes(1), max_future_skew: minutes(5) })
}

impl Golden {
    fn spark(&self) -> Outcome {
        match (self.counted, self.event_time_us, self.window_start_us) {
            (true, Some(time), Some(window)) => {
                Outcome::Hit(self.hit(EventTime::from_micros(time), EventTime::from_micros(window)))
            }
            _ => Outcome::NoHit(None),
        }
    }

    fn hitstream(&self) -> Result<Outcome, String> {
        let value = self.value_b64.as_ref().map(|text| BASE64_STANDARD.decode(text)).transpose();
        let value = value.map_err(|error| error.to_string())?;
        let rules = rules()?;
        let read = |decoder: &mut Decoder| -> Result<Hit, Reject> {
            let event = decoder.decode(value.as_deref())?;
            rules.check_skew(event.event_time, Some(ASKED_AT), ASKED_AT)?;
            let window = rules.window.windows_of(event.event_time).next();
            Ok(Hit {
                host: event.host.map(str::to_owned),
                referrer: event.referrer.map(str::to_owned),
                ip: event.ip.map(|ip| ip.to_str().into_owned()),
                url_chars: event.url.map(|url| url.to_str().chars().count()),
                event_time: event.event_time,
                window_start: window.map_or(EventTime::NEG_INFINITY, |window| window.start),
            })
        };
        Ok(match read(&mut Decoder::default()) {
            Ok(hit) => Outcome::Hit(hit),
            Err(reject) => Outcome::NoHit(Some(reject.reason)),
        })
    }

    fn expected(&self, expected: Expected) -> Outcome {
        match (expected, self.spark()) {
            (Expected::Host(host), Outcome::Hit(hit)) => {
                Outcome::Hit(Hit { host: Some(host.to_owned()), ..hit })
            }
            (Expected::Time(micros), _) => Outcome::Hit(self.hit(
                EventTime::from_micros(micros),
                EventTime::from_micros(micros - micros.rem_euclid(300_000_000)),
            )),
            (Expected::Rejected(reason), _) => Outcome::NoHit(Some(reason)),
            (Expected::Host(_), Outcome::NoHit(_)) => Outcome::NoHit(None),
        }
    }

    fn hit(&self, event_time: EventTime, window_start: EventTime) -> Hit {
        Hit {
            host: self.host.clone(),
            referrer: self.referrer.clone(),
            ip: self.ip.clone(),
            url_chars: self.url_len,
            event_time,
            window_start,
        }
    }
}

impl Outcome {
    fn agrees_with(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::NoHit(_), Self::NoHit(_)))
    }

    /// Both in words, down to what differs.
    fn differing(&self, hitstream: &Self) -> (String, String) {
        match (self, hitstream) {
            (Self::Hit(a), Self::Hit(b)) if a.host != b.host => {
                (format!("host {}", a.host_text()), format!("host {}", b.host_text()))
            }
            _ => (self.in_words(), hitstream.in_words()),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Hit(hit) => format!("counted at {}", hit.event_time),
            Self::NoHit(None) => "dropped".to_owned(),
            Self::NoHit(Some(reason)) => format!("rejected: {reason}"),
        }
    }
}

impl Hit {
    fn host_text(&self) -> String {
        self.host.as_deref().unwrap_or("NULL").replace('\0', "\\0")
    }
}
