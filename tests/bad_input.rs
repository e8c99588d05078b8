//! Every kind of bad input between good hits: nothing stops, nothing is lost, nothing bad moves a watermark.

use std::collections::BTreeMap;

use crate::support::Bench;
use crate::support::hit::{Hit, Sendable, millis, noise, time};

const MEGABYTE: usize = 1 << 20;
/// Where time ends for Kafka.
const LAST_MILLIS: i64 = i64::MAX;

/// What a record is due.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// Rejected for this reason.
    Rejected(&'static str),
    /// Stored with these columns; a column that is not named is NULL.
    Stored(Vec<(&'static str, String)>),
}

struct Case {
    record: Sendable,
    due: Due,
}

fn rejected(reason: &'static str, value: impl Into<Vec<u8>>) -> Case {
    Case { record: (Some(value.into()), Some(millis(0))), due: Due::Rejected(reason) }
}

/// A record that has these fields, in JSON, beside its time.
fn fields(json: impl AsRef<[u8]>) -> Vec<u8> {
    let time = format!("{{\"event_time\":\"{}\",", time(0));
    [time.as_bytes(), json.as_ref(), b"}"].concat()
}

fn stored(value: impl Into<Vec<u8>>, columns: &[(&'static str, &str)]) -> Case {
    let columns = columns.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    Case { record: (Some(value.into()), Some(millis(0))), due: Due::Stored(columns) }
}

/// A record with this `event_time`, in JSON.
fn timed(event_time: &str, timestamp: Option<i64>, due: Due) -> Case {
    let value = format!("{{\"event_time\":{event_time},\"host\":\"timed\"}}");
    Case { record: (Some(value.into_bytes()), timestamp), due }
}

fn not_json() -> Vec<Case> {
    let good = Hit::at(0).host("good").json();
    let values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" \n".to_vec(),
        b"\0".to_vec(),
        b"\x00\x01\xfe\xff".to_vec(),
        b"GET / HTTP/1.1".to_vec(),
        b"{'host':'single quotes'}".to_vec(),
        b"{\"host\":NaN}".to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"{}"].concat(),
        [b"\xef\xbb\xbf", &good[..]].concat(),
        fields("\"host\":007"),
        fields("\"host\":\"a\nb\""),
        fields(b"\"host\":\"raw nul \0\""),
        "[".repeat(10_000).into_bytes(),
    ];
    values.into_iter().map(|value| rejected("invalid_json", value)).collect()
}

fn not_hits() -> Vec<Case> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let mut cases = vec![
        Case { record: (None, Some(millis(0))), due: Due::Rejected("tombstone") },
        rejected("too_deep", fields(format!("\"headers\":{}", deep("[", "]")))),
        rejected(
            "too_deep",
            fields(format!("\"other\":{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))),
        ),
        rejected("too_long", fields(format!("\"host\":{}", "9".repeat(MEGABYTE)))),
        rejected("too_long", fields(format!("\"{}\":1", "k".repeat(MEGABYTE)))),
        rejected("invalid_text", fields("\"host\":\"\\ud800\"")),
        rejected("invalid_text", fields("\"referrer\":\"\\udc00 first\"")),
        rejected("invalid_text", fields("\"headers\":{\"a\":\"\\ud800\"}")),
    ];
    let others = ["null", "true", "12", "\"hit\"", "[]"];
    cases.extend(others.map(|value| rejected("not_an_object", value)));
    cases.push(rejected("not_an_object", deep("[", "]")));
    cases.push(rejected("not_an_object", [b"[", &Hit::at(0).json()[..], b"]"].concat()));
    cases
}

fn bad_times() -> Vec<Case> {
    let now = Some(millis(0));
    let case = |reason| move |time: &str| timed(time, now, Due::Rejected(reason));
    let mut cases =
        vec![rejected("missing_time", "{}"), rejected("missing_time", "{\"host\":\"h\"}")];
    cases.push(timed("null", now, Due::Rejected("missing_time")));
    let malformed = [
        "\"\"",
        "\"yesterday\"",
        "\"\\u0000\"",
        "\"2024-02-30T12:00:00Z\"",
        "\"17/May/2024:12:00:00 +0000\"",
        "true",
        "{}",
        "[1]",
        "2024",
        "-1",
        "1e300",
        "1e-400",
    ];
    cases.extend(malformed.map(case("malformed_time")));
    let out_of_range = [
        "\"1969-12-31T23:59:59.999999Z\"",
        "\"0001-01-01\"",
        "\"2201-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
    ];
    cases.extend(out_of_range.map(case("time_out_of_range")));
    // The reference is the record's timestamp, or the clock where that is before 2000 or ahead of the clock itself.
    let future = "\"2199-01-01T00:00:00Z\"";
    for timestamp in [Some(millis(0)), Some(0), Some(LAST_MILLIS), Some(7_226_582_400_000)] {
        cases.push(timed(future, timestamp, Due::Rejected("future_time")));
    }
    cases.push(timed(&format!("\"{}\"", time(301)), now, Due::Rejected("future_time")));
    cases
}

fn odd_hits() -> Vec<Case> {
    let long = |seed| noise(MEGABYTE, seed);
    let mut cases = vec![
        stored(fields("\"host\":123,\"referrer\":1.10"), &[("host", "123"), ("referrer", "1.10")]),
        stored(
            fields("\"host\":true,\"referrer\":[1, \"a b\"]"),
            &[("host", "true"), ("referrer", "[1,\"a b\"]")],
        ),
        stored(
            fields("\"host\": { \"a\" : null },\"url\":[ ]"),
            &[("host", "{\"a\":null}"), ("url", "[]")],
        ),
        stored(
            fields("\"ip\":7,\"user_agent\":false,\"headers\":{\"A\": 1}"),
            &[("user_agent", "false"), ("ip", "7"), ("headers", "{\"A\":1}")],
        ),
        stored(fields("\"host\":null,\"other\":\"\\ud800\""), &[]),
        stored(fields("\"host\":\"\",\"referrer\":\"\""), &[("host", ""), ("referrer", "")]),
        stored(
            fields("\"host\":\"a\\u0000b\",\"url\":\"\\u0000\""),
            &[("host", "a\u{fffd}b"), ("url", "\u{fffd}")],
        ),
        stored(
            fields(b"\"host\":\"\xff\xfe!\",\"referrer\":\"\xe2\x82\""),
            &[("host", "\u{fffd}\u{fffd}!"), ("referrer", "\u{fffd}")],
        ),
        stored(fields("\"host\":\"\u{1f600}\\ud83d\\ude00\""), &[("host", "\u{1f600}\u{1f600}")]),
        stored(
            fields("\"ip\":\"'; DROP TABLE pipeline; --\""),
            &[("ip", "'; DROP TABLE pipeline; --")],
        ),
    ];
    for (seed, name) in (1..).zip(["host", "referrer", "url", "user_agent", "ip", "headers"]) {
        cases
            .push(stored(fields(format!("\"{name}\":\"{}\"", long(seed))), &[(name, &long(seed))]));
    }
    let host = || Due::Stored(vec![("host", "timed".to_owned())]);
    for timestamp in [0, 1, millis(0), millis(100_000_000_000), LAST_MILLIS] {
        cases.push(timed(&format!("\"{}\"", time(0)), Some(timestamp), host()));
    }
    cases.push(timed("\"2024-05-17 12:00\"", Some(millis(0)), host()));
    cases.push(timed("1715947200.5", Some(millis(0)), host()));
    cases
}

const TEXTS: [&str; 6] = ["host", "referrer", "url", "user_agent", "ip", "headers"];

type Place = (i32, i64);

type Payloads = BTreeMap<Place, Option<Vec<u8>>>;

/// What every record became, by its place, and the payloads of the rejected ones.
fn outcomes(bench: &Bench) -> (BTreeMap<Place, Due>, Payloads) {
    let mut sql = bench.sql();
    let (mut found, mut payloads) = (BTreeMap::new(), BTreeMap::new());
    let known = [
        "tombstone",
        "invalid_json",
        "not_an_object",
        "too_deep",
        "too_long",
        "invalid_text",
        "missing_time",
        "malformed_time",
        "time_out_of_range",
        "future_time",
        "refused",
    ];
    for row in sql
        .query("SELECT partition, \"offset\", reason, payload FROM rejected_events", &[])
        .unwrap()
    {
        let reason: String = row.get(2);
        let reason = known.into_iter().find(|name| *name == reason).unwrap();
        let place = (row.get(0), row.get(1));
        assert_eq!(found.insert(place, Due::Rejected(reason)), None, "{place:?} twice");
        payloads.insert(place, row.get(3));
    }
    let query = format!("SELECT partition, \"offset\", {} FROM processed_events", TEXTS.join(", "));
    for row in sql.query(&query, &[]).unwrap() {
        let place = (row.get(0), row.get(1));
        let text = |at: usize| row.get::<_, Option<String>>(at + 2);
        let columns =
            TEXTS.iter().enumerate().filter_map(|(at, name)| Some((*name, text(at)?))).collect();
        assert_eq!(found.insert(place, Due::Stored(columns)), None, "{place:?} twice");
    }
    (found, payloads)
}

/// Sends every kind of record to three partitions, each between good hits, cut into epochs at this pace.
fn swallow(interval: &str, max_keys: u32) {
    let Some(bench) = Bench::new("bad_input") else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", interval)
        .with("HITSTREAM_FLUSH__MAX_KEYS", max_keys);
    bench.create_topic(3);
    let good = |second| Case {
        record: Hit::at(second).host("good").record(),
        due: Due::Stored(vec![("host", "good".to_owned())]),
    };
    let mut partitions = [vec![good(59)], vec![good(59)], vec![good(59)]];
    let cases = [not_json(), not_hits(), bad_times(), odd_hits()].into_iter().flatten();
    for (at, case) in cases.enumerate() {
        partitions[at % 3].extend([case, good(0)]);
    }
    let mut due = BTreeMap::new();
    let mut rejects = BTreeMap::new();
    for (partition, cases) in (0..).zip(partitions) {
        let records: Vec<Sendable> = cases.iter().map(|case| case.record.clone()).collect();
        bench.send(partition, &records);
        for (offset, case) in (0..).zip(cases) {
            if let Due::Rejected(_) = case.due {
                rejects.insert((partition, offset), case.record.0.clone());
            }
            due.insert((partition, offset), case.due);
        }
    }
    let audit = bench.run_until_end();

    let (found, payloads) = outcomes(&bench);
    for (place, due) in &due {
        let short = |due: Option<&Due>| format!("{due:?}").chars().take(300).collect::<String>();
        assert!(
            found.get(place) == Some(due),
            "{place:?}: {} found, {} due",
            short(found.get(place)),
            short(Some(due))
        );
    }
    assert_eq!(found.len(), due.len());
    assert!(payloads == rejects, "payloads differ from what was sent");

    let stored = due.len() - rejects.len();
    assert_eq!(audit["records"], due.len());
    assert_eq!(audit["rejected"], rejects.len());
    assert_eq!(audit["accepted"], stored);
    assert_eq!(audit["sanitised"], 2);
    // The watermark is where the first good hit put it: all that followed it counts, in the one window there is.
    assert_eq!(audit["late"], 0);
    assert_eq!(audit["open"], stored);
    let newest =
        "SELECT count(*) FROM partition_progress WHERE max_event_time = '2024-05-17T12:00:59Z'";
    assert_eq!(bench.count(newest), 3);
    // As often in the windows as among the events, texts of a megabyte included.
    let different = "SELECT count(*) FROM (SELECT host, referrer, count(*) FROM processed_events GROUP BY 1, 2 \
        EXCEPT SELECT host, referrer, num_hits FROM live_web_traffic) d";
    assert_eq!(bench.count(different), 0);
}

#[test]
fn no_input_stops_the_pipeline_or_is_lost_or_moves_a_watermark() {
    swallow("1s", 200_000);
}

#[test]
fn no_input_stops_the_pipeline_when_each_record_is_an_epoch() {
    swallow("20ms", 1);
}
