//! The naive model: what a topic comes to, read whole and in order, with an arithmetic of its own.

use std::collections::BTreeMap;

use hitstream_domain::reject::RejectReason;

/// Hits per window start, host and referrer.
pub(crate) type Sums = BTreeMap<(i64, Option<String>, Option<String>), u64>;

/// One record, and what it is known to be because it was made so.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) value: Option<Vec<u8>>,
    /// The Kafka timestamp, in microseconds.
    pub(crate) timestamp: Option<i64>,
    pub(crate) truth: Result<Hit, RejectReason>,
}

/// What a well-formed record says.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) time: i64,
    pub(crate) host: Option<String>,
    pub(crate) referrer: Option<String>,
}

/// The time rules, in microseconds, and the reader's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) size: i64,
    pub(crate) slide: i64,
    pub(crate) delay: i64,
    pub(crate) skew: i64,
    pub(crate) now: i64,
}

/// What a topic comes to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) on_time: Sums,
    pub(crate) late: Sums,
    /// By partition and offset.
    pub(crate) rejected: BTreeMap<(i32, i64), RejectReason>,
    /// Of each partition; `None` without data.
    pub(crate) watermarks: Vec<Option<i64>>,
}

/// Reads each partition in order; offsets count from 0.
pub(crate) fn outcome(topic: &[Vec<Record>], rules: &Rules) -> Outcome {
    let mut outcome = Outcome::default();
    for (partition, records) in (0..).zip(topic) {
        let mut watermark = None;
        for (offset, record) in (0..).zip(records) {
            let hit = match fate(record, rules) {
                Ok(hit) => hit,
                Err(reason) => {
                    outcome.rejected.insert((partition, offset), reason);
                    continue;
                }
            };
            for start in window_starts(hit.time, rules) {
                let late = watermark.is_some_and(|watermark| start + rules.size <= watermark);
                let sums = if late { &mut outcome.late } else { &mut outcome.on_time };
                *sums.entry((start, hit.host.clone(), hit.referrer.clone())).or_default() += 1;
            }
            watermark = watermark.max(Some(hit.time - rules.delay));
        }
        outcome.watermarks.push(watermark);
    }
    outcome
}

impl Outcome {
    /// The rows of windows that are final, and of those that are open, where no partition is ever idle.
    pub(crate) fn final_and_open(&self, rules: &Rules) -> (Sums, Sums) {
        let frontier = self.watermarks.iter().min().copied().flatten();
        let is_final = |start: i64| frontier.is_some_and(|frontier| start + rules.size <= frontier);
        self.on_time.clone().into_iter().partition(|((start, ..), _)| is_final(*start))
    }
}

/// All hits, late or not.
pub(crate) fn total(sums: &Sums) -> u64 {
    sums.values().sum()
}

/// The sums of both.
pub(crate) fn added(a: &Sums, b: &Sums) -> Sums {
    let mut sums = a.clone();
    for (key, hits) in b {
        *sums.entry(key.clone()).or_default() += hits;
    }
    sums
}

/// Every multiple of the slide nearby whose window holds `t`.
pub(crate) fn window_starts(t: i64, rules: &Rules) -> Vec<i64> {
    let Rules { size, slide, .. } = *rules;
    let near = t / slide;
    (near - size / slide - 2..=near + 2)
        .map(|n| n * slide)
        .filter(|start| *start <= t && t < start + size)
        .collect()
}

fn fate<'a>(record: &'a Record, rules: &Rules) -> Result<&'a Hit, RejectReason> {
    const YEAR_2000: i64 = 946_684_800_000_000;
    let hit = record.truth.as_ref().map_err(|reason| *reason)?;
    let reference = match record.timestamp {
        Some(timestamp) if timestamp >= YEAR_2000 && timestamp - rules.skew <= rules.now => {
            timestamp
        }
        _ => rules.now,
    };
    if hit.time - rules.skew > reference { Err(RejectReason::FutureTime) } else { Ok(hit) }
}
