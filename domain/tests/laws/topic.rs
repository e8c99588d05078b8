//! Random topics: few keys, much disorder, times on and around every boundary, and records that are no hits.

use hitstream_domain::reject::RejectReason;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Hit, Record, Rules};

const SECOND: i64 = 1_000_000;
/// 2023-11-14T22:13:20Z, about where all hits lie.
const EPOCH: i64 = 1_700_000_000 * SECOND;

/// A topic and the rules it is read by.
pub(crate) fn rules_and_topic() -> impl Strategy<Value = (Rules, Vec<Vec<Record>>)> {
    (rules(), prop::collection::vec(partition(), 1..=4)).prop_map(|(rules, topic)| {
        let topic = topic.into_iter().map(|drafts| written(drafts, rules.skew)).collect();
        (rules, topic)
    })
}

/// Tumbling and sliding windows, of a size that is a multiple of the slide or not; delays of nothing and more.
fn rules() -> impl Strategy<Value = Rules> {
    let windows = (1..=12_i64, prop::option::of(0..12_i64));
    let delay = prop_oneof![Just(0), 1..=15_i64];
    (windows, delay, 0..=20_i64, 20..=100_i64).prop_map(|((size, slide), delay, skew, now)| Rules {
        size: size * SECOND,
        slide: slide.map_or(size, |slide| slide % size + 1) * SECOND,
        delay: delay * SECOND,
        skew: skew * SECOND,
        now: EPOCH + now * SECOND,
    })
}

/// Records, each with the seconds that pass before it; there may be none.
fn partition() -> impl Strategy<Value = Vec<(i64, Draft)>> {
    prop::collection::vec((0..=4_i64, record()), 0..40)
}

fn written(drafts: Vec<(i64, Draft)>, skew: i64) -> Vec<Record> {
    let mut now = EPOCH;
    let write = |(seconds, draft): (i64, Draft)| {
        now += seconds * SECOND;
        draft.at(now, skew)
    };
    drafts.into_iter().map(write).collect()
}

/// A record whose place in time follows from those before it.
#[derive(Clone, Debug)]
enum Draft {
    Hit { behind: i64, written: usize, host: Field, referrer: Field, timestamp: Timestamp },
    NoHit(Option<Vec<u8>>, RejectReason),
}

/// What stands in the JSON, if anything, and what it means.
type Field = (Option<&'static str>, Option<&'static str>);

/// The Kafka timestamp beside an event time.
#[derive(Clone, Copy, Debug)]
enum Timestamp {
    Missing,
    Fixed(i64),
    /// So much earlier.
    Before(i64),
    /// Earlier by what may be and so much more.
    BeforeBySkewAnd(i64),
}

fn record() -> impl Strategy<Value = Draft> {
    // Whole seconds meet window ends and watermarks exactly; a microsecond beside them just does not.
    let behind = (prop_oneof![Just(0), 0..=30_i64], select(vec![0, 0, 0, 1, -1]))
        .prop_map(|(seconds, micros)| seconds * SECOND + micros);
    let far_ahead = Just(-400 * 86_400 * SECOND);
    let host = select(vec![
        (None, None),
        (Some("null"), None),
        (Some(r#""""#), Some("")),
        (Some(r#""a""#), Some("a")),
        (Some(r#""b""#), Some("b")),
        (Some(r#""\u0061""#), Some("a")),
        (Some(r#""\u0000""#), Some("\u{fffd}")),
        (Some("7"), Some("7")),
    ]);
    let referrer = select(vec![
        (None, None),
        (Some(r#""""#), Some("")),
        (Some(r#""a""#), Some("a")),
        (Some(r#""http:\/\/r\/""#), Some("http://r/")),
    ]);
    let timestamp = prop_oneof![
        2 => select(vec![0, -SECOND]).prop_map(Timestamp::Before),
        4 => select(vec![0, 0, 1, SECOND]).prop_map(Timestamp::BeforeBySkewAnd),
        1 => Just(Timestamp::Missing),
        1 => select(vec![0, 946_684_799_999_999, 946_684_800_000_000, EPOCH, EPOCH * 2]).prop_map(Timestamp::Fixed),
    ];
    let hit = (prop_oneof![20 => behind, 1 => far_ahead], 0..4_usize, host, referrer, timestamp);
    let hit = hit.prop_map(|(behind, written, host, referrer, timestamp)| Draft::Hit {
        behind,
        written,
        host,
        referrer,
        timestamp,
    });
    prop_oneof![8 => hit, 1 => no_hit()]
}

fn no_hit() -> impl Strategy<Value = Draft> {
    select(vec![
        (None, RejectReason::Tombstone),
        (Some(""), RejectReason::InvalidJson),
        (Some(r#"{"event_time":1700000000"#), RejectReason::InvalidJson),
        (Some("\"event_time\""), RejectReason::NotAnObject),
        (Some(r#"{"host":"a"}"#), RejectReason::MissingTime),
        (Some(r#"{"event_time":null}"#), RejectReason::MissingTime),
        (Some(r#"{"event_time":"2023-02-30"}"#), RejectReason::MalformedTime),
        (Some(r#"{"event_time":"2201-01-01"}"#), RejectReason::TimeOutOfRange),
        (Some(r#"{"event_time":1700000000,"host":"\ud800"}"#), RejectReason::InvalidText),
    ])
    .prop_map(|(value, reason)| Draft::NoHit(value.map(|text| text.as_bytes().to_vec()), reason))
}

impl Draft {
    fn at(self, now: i64, skew: i64) -> Record {
        match self {
            Self::NoHit(value, reason) => {
                Record { value, timestamp: Some(now), truth: Err(reason) }
            }
            Self::Hit { behind, written, host, referrer, timestamp } => {
                let time = now - behind;
                let timestamp = match timestamp {
                    Timestamp::Missing => None,
                    Timestamp::Fixed(at) => Some(at),
                    Timestamp::Before(by) => Some(time - by),
                    Timestamp::BeforeBySkewAnd(by) => Some(time - skew - by),
                };
                let hit = Hit { time, host: text(host), referrer: text(referrer) };
                Record {
                    value: Some(json(time, written, host, referrer)),
                    timestamp,
                    truth: Ok(hit),
                }
            }
        }
    }
}

fn text((_, meaning): Field) -> Option<String> {
    meaning.map(str::to_owned)
}

fn json(time: i64, written: usize, host: Field, referrer: Field) -> Vec<u8> {
    let time = match written {
        0 => format!("{:?}", jiff::Timestamp::from_microsecond(time).unwrap().to_string()),
        1 => time.to_string(),
        2 => format!("\"{time}\""),
        _ => format!("{}.{:06}", time / SECOND, time % SECOND),
    };
    let mut members = vec![format!(r#""event_time":{time}"#), r#""url":"/""#.to_owned()];
    for (name, (written, _)) in [("host", host), ("referrer", referrer)] {
        members.extend(written.map(|json| format!("\"{name}\":{json}")));
    }
    format!("{{{}}}", members.join(",")).into_bytes()
}
