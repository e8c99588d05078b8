//! The reference: what the rules of DESIGN section 3 make of a topic, told as plainly as can be and without a line of
//! the pipeline's code.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::kafka::Record;

/// Hits per key.
pub(crate) type Counts = BTreeMap<Key, i64>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Microseconds since 1970.
    pub(crate) window_start: i64,
    pub(crate) host: Option<String>,
    pub(crate) referrer: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) on_time: Counts,
    pub(crate) late: Counts,
    pub(crate) rejected: i64,
    /// Hits.
    pub(crate) accepted: i64,
}

impl Model {
    /// Counts records, given in order within each partition. Understands hits as these tests and `generate` send them:
    /// texts, and times in RFC 3339 or without a zone; all else counts as rejected.
    pub(crate) fn of(records: &[Record], size_secs: i64, slide_secs: i64, delay_secs: i64) -> Self {
        const SECOND: i64 = 1_000_000;
        let (size, slide, delay) = (size_secs * SECOND, slide_secs * SECOND, delay_secs * SECOND);
        let mut model = Self::default();
        let mut newest: HashMap<i32, i64> = HashMap::new();
        for record in records {
            let Some((time, host, referrer)) = hit(record) else {
                model.rejected += 1;
                continue;
            };
            model.accepted += 1;
            let watermark = newest.get(&record.partition).map(|newest| newest - delay);
            // Every window that holds the hit, from the latest back.
            let mut start = time.div_euclid(slide) * slide;
            while start + size > time {
                let is_late = watermark.is_some_and(|watermark| start + size <= watermark);
                let counts = if is_late { &mut model.late } else { &mut model.on_time };
                let key =
                    Key { window_start: start, host: host.clone(), referrer: referrer.clone() };
                *counts.entry(key).or_default() += 1;
                start -= slide;
            }
            newest.entry(record.partition).and_modify(|n| *n = time.max(*n)).or_insert(time);
        }
        model
    }

    /// On time and late together.
    pub(crate) fn all(&self) -> Counts {
        add(&self.on_time, &self.late)
    }
}

/// Adds two sums key by key.
pub(crate) fn add(a: &Counts, b: &Counts) -> Counts {
    let mut sum = a.clone();
    for (key, hits) in b {
        *sum.entry(key.clone()).or_default() += hits;
    }
    sum
}

/// Time in microseconds, host and referrer of a record that is a hit.
pub(crate) fn hit(record: &Record) -> Option<(i64, Option<String>, Option<String>)> {
    let value: Value = serde_json::from_slice(record.value.as_ref()?).ok()?;
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let time = micros(&text("event_time")?).filter(|time| *time >= 0)?;
    let ahead = time - record.timestamp_millis? * 1000;
    (ahead <= 300_000_000).then(|| (time, text("host"), text("referrer")))
}

/// A time without a zone is UTC.
fn micros(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().or_else(|_| format!("{text}Z").parse()).ok()?;
    Some(time.as_microsecond())
}
