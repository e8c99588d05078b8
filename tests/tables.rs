//! What stands in the tables: every hit once among the events, days where they belong, final rows when they are due.

use std::collections::{BTreeMap, BTreeSet};

use postgres::Row;
use serde_json::Value;

use crate::support::bench::assert_same;
use crate::support::hit::{Hit, NOON};
use crate::support::model::{self, Model};
use crate::support::process::wait_until;
use crate::support::{Bench, Counts, kafka};

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000;
const TRAFFIC: [&str; 12] = [
    "generate",
    "--create-topic",
    "--count",
    "6000",
    "--start",
    "2026-01-01T00:00:00Z",
    "--step",
    "1m",
    "--malformed",
    "5%",
    "--late",
    "5%",
];

fn generated(name: &str, partitions: &str) -> Option<Bench> {
    let bench = Bench::new(name)?;
    bench.done(&[&TRAFFIC[..], &["--partitions", partitions]].concat());
    Some(bench)
}

/// Attached days by name.
fn days(bench: &Bench) -> BTreeSet<String> {
    let query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'processed_events'::regclass";
    bench.sql().query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn day_of(micros: i64) -> String {
    let day = jiff::Timestamp::from_microsecond(micros).unwrap().strftime("%Y%m%d").to_string();
    format!("processed_events_{day}")
}

#[test]
fn every_hit_is_stored_once_with_its_own_columns_in_its_own_day() {
    let Some(bench) = generated("events", "3") else { return };
    bench.run_until_end();
    let texts = ["host", "referrer", "url", "user_agent", "ip", "headers"];
    let query = format!(
        "SELECT partition, \"offset\", topic, incarnation, (extract(epoch FROM kafka_time) * 1000)::bigint, \
         (extract(epoch FROM event_time) * 1000000)::bigint, tableoid::regclass::text, {} FROM processed_events",
        texts.join(", ")
    );
    let rows = bench.sql().query(&query, &[]).unwrap();
    let mut found: BTreeMap<(i32, i64), Row> = BTreeMap::new();
    for row in rows {
        assert!(found.insert((row.get(0), row.get(1)), row).is_none());
    }
    for record in kafka::read(&bench.kafka_url, &bench.topic) {
        let Some((time, ..)) = model::hit(&record) else { continue };
        let place = (record.partition, record.offset);
        let row = found.remove(&place).unwrap_or_else(|| panic!("{place:?} is missing"));
        assert_eq!(row.get::<_, String>(2), bench.topic);
        assert_eq!(row.get::<_, i32>(3), 0);
        assert_eq!(row.get::<_, Option<i64>>(4), record.timestamp_millis);
        assert_eq!(row.get::<_, i64>(5), time);
        assert_eq!(row.get::<_, String>(6), day_of(time));
        let value: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        for (at, name) in texts.iter().enumerate() {
            let sent = value.get(name).and_then(Value::as_str);
            assert_eq!(row.get::<_, Option<&str>>(at + 7), sent, "{name} of {place:?}");
        }
    }
    assert!(found.is_empty(), "no hits: {:?}", found.keys());
    let default = "SELECT partdefid::bigint FROM pg_partitioned_table WHERE partrelid = 'processed_events'::regclass";
    assert_eq!(bench.count(default), 0, "no DEFAULT partition");
    assert_eq!(bench.count("SELECT count(*) FROM processed_events_overflow"), 0);
}

#[test]
fn events_are_not_stored_when_they_are_not_wanted() {
    let Some(bench) = generated("unstored", "3") else { return };
    let bench = bench.with("HITSTREAM_EVENTS__STORE", "false");
    let audit = bench.run_until_end();
    assert_eq!(audit["stored"], 0);
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 0);
    assert!(days(&bench).is_empty());
    bench.assert_equals(&bench.model(300, 300));
}

#[test]
fn days_beyond_the_limit_go_beside() {
    let Some(bench) = Bench::new("overflow") else { return };
    let bench =
        bench.with("HITSTREAM_EVENTS__MAX_PARTITIONS", 3).with("HITSTREAM_FLUSH__INTERVAL", "20ms");
    bench.create_topic(1);
    let of_days = |days: std::ops::Range<i64>| -> Vec<_> {
        days.flat_map(|day| (0..10).map(move |at| Hit::at(day * DAY + at).host("h").record()))
            .collect()
    };
    bench.send(0, &of_days(0..2));
    bench.run_until_end();
    bench.send(0, &of_days(2..7));
    bench.send(0, &of_days(0..7));
    let audit = bench.run_until_end();
    assert_eq!((&audit["stored"], &audit["rejected"]), (&140.into(), &0.into()));
    assert_eq!(days(&bench), (0..3).map(|day| day_of((NOON + day * DAY) * SECOND)).collect());
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 60);
    let beside =
        "SELECT count(*) FROM processed_events_overflow WHERE event_time >= '2024-05-20T00:00:00Z'";
    assert_eq!(bench.count(beside), 80);
    bench.assert_equals(&bench.model(300, 300));
}

#[test]
fn day_that_was_detached_or_dropped_is_attached_again() {
    let Some(bench) = Bench::new("detached") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(2);
    let send = |second: i64| {
        for partition in 0..2 {
            bench.send(partition, &[Hit::at(second).record(), Hit::at(second + DAY).record()]);
        }
    };
    let committed = |records: i64| {
        wait_until("committed", || {
            bench.count("SELECT coalesce(sum(records), 0)::bigint FROM partition_progress")
                == records
        });
    };
    bench.done(&["migrate"]);
    let running = bench.hitstream(&["run"]).start();
    send(0);
    committed(4);
    let mut sql = bench.sql();
    sql.batch_execute("ALTER TABLE processed_events DETACH PARTITION processed_events_20240517")
        .unwrap();
    send(1);
    committed(8);
    sql.batch_execute("CREATE TABLE saved AS SELECT * FROM processed_events_20240518; DROP TABLE processed_events_20240518")
        .unwrap();
    send(2);
    committed(12);
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(days(&bench).len(), 2);
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 12 - 4);
    sql.batch_execute("INSERT INTO processed_events SELECT * FROM saved").unwrap();
    let audit = bench.clean_audit();
    assert_eq!((&audit["stored"], &audit["rejected"]), (&12.into(), &0.into()));
}

#[test]
fn day_whose_place_is_taken_goes_beside() {
    let Some(bench) = Bench::new("taken") else { return };
    bench.create_topic(1);
    bench.done(&["migrate"]);
    // One name is another table's, one range lies in a partition of somebody's own.
    let ddl = "CREATE TABLE processed_events_20240517 (something text); \
         CREATE TABLE june PARTITION OF processed_events FOR VALUES FROM ('2024-06-01') TO ('2024-07-01')";
    bench.sql().batch_execute(ddl).unwrap();
    let records = [0, DAY, 20 * DAY].map(|second| Hit::at(second).record());
    bench.send(0, &records);
    let audit = bench.run_until_end();
    assert_eq!((&audit["stored"], &audit["rejected"]), (&3.into(), &0.into()));
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM processed_events_overflow"), 2);
}

/// The frontier that the model's rules give, in microseconds.
fn frontier(bench: &Bench, partitions: i32) -> Option<i64> {
    let records = kafka::read(&bench.kafka_url, &bench.topic);
    let newest = |partition| {
        let of_partition = records.iter().filter(|record| record.partition == partition);
        of_partition.filter_map(|record| Some(model::hit(record)?.0)).max()
    };
    let newest: Option<Vec<i64>> = (0..partitions).map(newest).collect();
    newest?.into_iter().min().map(|time| time - 60 * SECOND)
}

/// The rows of one table.
fn rows(bench: &Bench, query: &str) -> Counts {
    let columns = "(extract(epoch FROM window_start) * 1000000)::bigint, host, referrer, num_hits";
    let rows = bench.sql().query(&format!("SELECT {columns} FROM {query}"), &[]).unwrap();
    let key = |row: &Row| {
        let key = crate::support::Key {
            window_start: row.get(0),
            host: row.get(1),
            referrer: row.get(2),
        };
        (key, row.get(3))
    };
    rows.iter().map(key).collect()
}

/// Compares final and open rows with the model's, cut at the frontier.
fn assert_final(bench: &Bench, size_secs: i64, slide_secs: i64, partitions: i32) {
    let Model { on_time, .. } = bench.model(size_secs, slide_secs);
    let frontier = frontier(bench, partitions).unwrap_or(i64::MIN);
    let (due, open): (Counts, Counts) =
        on_time.into_iter().partition(|(key, _)| key.window_start + size_secs * SECOND <= frontier);
    assert_same("final", &rows(bench, "aggregated_web_traffic"), &due);
    assert_same("open", &rows(bench, "open_web_traffic"), &open);
    assert_same("is_final", &rows(bench, "live_web_traffic WHERE is_final"), &due);
    let wrong = "SELECT count(*) FROM live_web_traffic, frontier WHERE is_final IS DISTINCT FROM (window_end <= f)";
    assert_eq!(bench.count(wrong), 0);
    let size = format!(
        "SELECT count(*) FROM live_web_traffic WHERE window_end - window_start <> '{size_secs} s'"
    );
    assert_eq!(bench.count(&size), 0);
    if frontier > i64::MIN {
        assert_eq!(
            bench.count("SELECT (extract(epoch FROM f) * 1000000)::bigint FROM frontier"),
            frontier
        );
        assert!(!due.is_empty() && !open.is_empty(), "{} due, {} open", due.len(), open.len());
    }
}

#[test]
fn windows_are_final_once_every_partition_has_passed_them() {
    for partitions in ["1", "3"] {
        let Some(bench) = generated("final", partitions) else { return };
        bench.run_until_end();
        assert_final(&bench, 300, 300, partitions.parse().unwrap());
    }
}

#[test]
fn sliding_windows_are_final_one_by_one() {
    let Some(bench) = generated("final_sliding", "3") else { return };
    let bench = bench.with("HITSTREAM_WINDOW__SIZE", "1h").with("HITSTREAM_WINDOW__SLIDE", "25m");
    bench.run_until_end();
    assert_final(&bench, 3_600, 1_500, 3);
}

#[test]
fn partition_without_hits_keeps_every_window_open() {
    let Some(bench) = Bench::new("final_empty") else { return };
    bench.create_topic(3);
    for partition in 0..2 {
        bench.send(partition, &[Hit::at(0).record(), Hit::at(DAY).record()]);
    }
    bench.send(2, &[(Some(b"no hit".to_vec()), None)]);
    bench.run_until_end();
    assert_final(&bench, 300, 300, 3);
    assert_eq!(bench.count("SELECT count(*) FROM aggregated_web_traffic"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM frontier WHERE f = '-infinity'"), 1);
    // With its first hit the others' windows close.
    bench.send(2, &[Hit::at(2 * DAY).record()]);
    bench.run_until_end();
    assert_final(&bench, 300, 300, 3);
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM aggregated_web_traffic"), 2);
}

#[test]
fn events_of_a_time_are_found_by_index_in_days_old_and_new() {
    let Some(bench) = Bench::new("event_time") else { return };
    bench.create_topic(1);
    let hit = |second: i64| Hit::at(second).host("h").record();
    bench.send(0, &[hit(0), hit(DAY)]);
    bench.run_until_end();
    // As a former version left it: two days without an index, one of them detached since.
    let [first, second] = days(&bench).into_iter().collect::<Vec<_>>().try_into().unwrap();
    let former = format!(
        "DROP INDEX processed_events_event_time; DROP TABLE compatibility; DELETE FROM hitstream_migrations WHERE version >= 6; \
         ALTER TABLE processed_events DETACH PARTITION {second}"
    );
    bench.sql().batch_execute(&former).unwrap();
    let indexed = || {
        let query = "SELECT i.indrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'brin' AND i.indrelid IN \
             (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'processed_events'::regclass)";
        let rows = bench.sql().query(query, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect::<BTreeSet<String>>()
    };
    assert_eq!(indexed(), BTreeSet::new());
    let migrated = bench.done(&["migrate"]);
    assert!(migrated.stdout.contains("V6__event_time"), "{migrated}");
    assert_eq!(indexed(), BTreeSet::from([first]));
    // One is attached again, another one is new.
    bench.send(0, &[hit(DAY + 1), hit(2 * DAY)]);
    bench.run_until_end();
    assert_eq!((indexed(), days(&bench).len()), (days(&bench), 3));
    let mut sql = bench.sql();
    // Of so few rows it would rather read all.
    sql.batch_execute("SET enable_seqscan = off").unwrap();
    let query = format!(
        "EXPLAIN SELECT count(*) FROM processed_events WHERE event_time BETWEEN to_timestamp({NOON}) AND to_timestamp({})",
        NOON + 2 * DAY
    );
    let plan: Vec<String> = sql.query(&query, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let scans = plan.iter().filter(|line| line.contains("Bitmap Index Scan")).count();
    assert_eq!(scans, 3, "{plan:#?}");
}
