//! `status`: what it tells is what tables, Kafka and the test itself know.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Bench;
use crate::support::group::owned;
use crate::support::hit::{Hit, Sendable, time};
use crate::support::kafka;
use crate::support::process::wait_until;
use crate::support::traffic::committed;

fn hit(second: i64) -> Sendable {
    Hit::at(second).host("h").record()
}

fn status(bench: &Bench) -> Value {
    bench.done(&["status", "--json"]).json()
}

/// The column of each partition, as the tables have it.
fn column<T: postgres::types::FromSqlOwned>(bench: &Bench, column: &str) -> Vec<T> {
    let query = format!("SELECT {column} FROM partition_progress ORDER BY partition");
    bench.sql().query(&query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// A field of each element.
fn fields(list: &Value, field: &str) -> Vec<Value> {
    list.as_array().unwrap().iter().map(|element| element[field].clone()).collect()
}

#[test]
fn all_that_is_told_is_what_tables_and_kafka_have_while_nothing_runs() {
    let Some(bench) = Bench::new("status") else { return };
    bench.create_topic(3);
    // Partition 0 is ahead, 1 holds the frontier, 2 has one hit late and one record that is none.
    bench.send(0, &[hit(0), hit(310), hit(900)]);
    bench.send(1, &[hit(0), hit(400)]);
    bench.send(2, &[hit(500), hit(1), (Some(b"no hit".to_vec()), Some(0))]);
    bench.run_until_end();
    bench.send(1, &[hit(410), hit(420)]);
    bench.send(2, &[hit(510)]);

    let status = status(&bench);
    assert_eq!((&status["topic"], &status["group"]), (&json!(bench.topic), &json!(bench.topic)));
    let partitions = &status["partitions"];
    assert_eq!(fields(partitions, "partition"), [0, 1, 2]);
    let next: Vec<i64> = column(&bench, "next_offset");
    assert_eq!(next, [3, 2, 3]);
    assert_eq!(fields(partitions, "next_offset"), next);
    assert_eq!(fields(partitions, "end_offset"), [3, 4, 4]);
    assert_eq!(fields(partitions, "lag_records"), [0, 2, 1]);
    assert_eq!(status["lag_records"], 3);
    // The first unread records carry their event's time, of 2024, as Kafka timestamp.
    let sent = bench.sql().query_one(
        "SELECT extract(epoch FROM now() - '2024-05-17T12:06:50Z')::float8, extract(epoch FROM now() - '2024-05-17T12:08:30Z')::float8",
        &[],
    );
    let sent = sent.unwrap();
    let oldest = fields(partitions, "oldest_unread_seconds");
    assert_eq!(oldest[0], 0.0);
    for (partition, expected) in [(1, sent.get::<_, f64>(0)), (2, sent.get(1))] {
        let told = oldest[partition].as_f64().unwrap();
        assert!((told - expected).abs() < 30.0, "{told} {expected}");
    }
    assert_eq!(fields(partitions, "watermark"), [time(840), time(340), time(440)]);
    assert_eq!(fields(partitions, "state"), ["ahead", "holds", "ahead"]);
    let owners: Vec<String> = column(&bench, "owner");
    assert_eq!(fields(partitions, "owner"), owners);
    assert_eq!(fields(partitions, "idle_seconds_left"), [Value::Null, Value::Null, Value::Null]);
    let ages: Vec<f64> = column(&bench, "extract(epoch FROM now() - updated_at)::float8");
    for (told, now) in fields(partitions, "last_commit_seconds").iter().zip(ages) {
        let told = told.as_f64().unwrap();
        assert!(told <= now && now - told < 30.0, "{told} {now}");
    }
    assert_eq!((&status["frontier"], &status["held_by"]), (&json!(time(340)), &json!([1])));

    // The windows from 300 and from 900 are open; what ends at 300 is final.
    let windows = json!([
        {"window_start": time(300), "window_end": time(600), "rows": 1, "hits": 3, "is_final": false, "is_overdue": false,
         "waits_for": [1, 2]},
        {"window_start": time(900), "window_end": time(1200), "rows": 1, "hits": 1, "is_final": false, "is_overdue": false,
         "waits_for": [0, 1, 2]},
    ]);
    assert_eq!((&status["open_windows"], &status["open_windows_total"]), (&windows, &json!(2)));
    let ledger = json!({
        "records": 8, "accepted": 7, "rejected": 1, "sanitised": 0, "stored": 7, "counted": 6, "late": 1, "diverted": 0,
        "lost": 0
    });
    assert_eq!(status["ledger"], ledger);
    let instances = &status["instances"];
    assert_eq!(fields(instances, "owner"), [owners[0].clone()]);
    assert_eq!(fields(instances, "partitions"), [json!([0, 1, 2])]);
    assert_eq!(status["notes"], json!([]));

    let words = bench.done(&["status"]).stdout;
    let frontier = format!("frontier {}, moved ", time(340));
    for word in [
        &frontier,
        "held by partition 1\n",
        "3 records in Kafka not counted yet",
        "partitions 1, 2\n",
    ] {
        assert!(words.contains(word), "no {word:?} in {words}");
    }
    assert_eq!(bench.clean_audit()["frontier"], time(340));
    let audit = bench.done(&["audit"]).stdout;
    assert!(audit.contains(&format!("frontier {}; ", time(340))), "{audit}");
}

#[test]
fn claims_releases_and_instances_are_told_while_it_runs() {
    let Some(bench) = Bench::new("status_runs") else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "2s");
    bench.create_topic(2);
    bench.send(0, &[hit(0), hit(900)]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("the hits are counted", || committed(&bench) == 2);
    wait_until("it has committed both partitions", || owned(&bench, &running) == 2);
    let mut idle = Value::Null;
    wait_until("both are idle", || {
        idle = status(&bench);
        fields(&idle["partitions"], "state") == ["idle", "idle"]
    });
    let left = idle["partitions"][1]["idle_seconds_left"].as_f64();
    assert!(left.is_none_or(|left| left > 0.0 && left <= 2.0), "{idle}");
    assert_eq!(idle["frontier"], time(840), "{idle}");
    let owner = idle["instances"][0]["owner"].as_str().unwrap().to_owned();
    assert!(owner.ends_with(&format!(":{}", running.id())), "{idle}");
    assert_eq!(idle["instances"][0]["partitions"], json!([0, 1]));
    // The window from 900 is open, and nobody's watermark is past it.
    assert_eq!(idle["open_windows"][0]["waits_for"], json!([]), "{idle}");
    running.stop();

    let valid = "SELECT count(*) FROM partition_progress WHERE idle_until > now()";
    wait_until("the claims run out", || bench.count(valid) == 0);
    let held = status(&bench);
    assert_eq!((&held["held_by"], &held["lag_records"]), (&json!([1]), &json!(0)), "{held}");
    assert_eq!(held["open_windows"][0]["waits_for"], json!([0, 1]));
    bench.done(&["frontier", "--release", "1"]);
    let released = status(&bench);
    assert_eq!(fields(&released["partitions"], "state"), ["holds", "released"]);
    assert_eq!(released["open_windows"][0]["waits_for"], json!([0]));
    assert_eq!(released["partitions"][1]["idle_seconds_left"], Value::Null);
    let told = bench.done(&["frontier", "--json"]).json();
    assert_eq!(fields(&told["partitions"], "state"), fields(&released["partitions"], "state"));
}

#[test]
fn of_many_open_windows_the_first_are_shown_and_the_others_counted() {
    let Some(bench) = Bench::new("status_many") else { return };
    bench.create_topic(2);
    // Partition 1 has no hit: nothing is ever final.
    bench.send(0, &(0..25).map(|window| hit(window * 300)).collect::<Vec<_>>());
    bench.run_until_end();
    let status = status(&bench);
    assert_eq!((&status["frontier"], &status["held_by"]), (&Value::Null, &json!([1])));
    assert_eq!(status["open_windows_total"], 25);
    let starts: Vec<Value> = (0..20).map(|window| json!(time(window * 300))).collect();
    assert_eq!(fields(&status["open_windows"], "window_start"), starts);
    let words = bench.done(&["status"]).stdout;
    assert!(words.contains("and 5 later windows\n"), "{words}");
    assert!(words.contains("frontier none yet"), "{words}");
}

#[test]
fn nothing_that_ran_yet_is_said_with_what_to_do() {
    let Some(bench) = Bench::new("status_none") else { return };
    bench.create_topic(1);
    let no_tables = bench.hitstream(&["status"]).finish();
    assert_eq!((no_tables.code, no_tables.stdout.as_str()), (Some(64), ""), "{no_tables}");
    assert!(no_tables.stderr.contains("`hitstream run` starts one"), "{no_tables}");
    error_alone(&bench, 64, "no pipeline has run");
    bench.done(&["migrate"]);
    let not_run = bench.hitstream(&["status"]).finish();
    assert_eq!((not_run.code, not_run.stdout.as_str()), (Some(64), ""), "{not_run}");
    assert!(not_run.stderr.contains("`hitstream run` starts one"), "{not_run}");
}

#[test]
fn tables_are_told_also_where_kafka_is_away_or_the_topic_is_another() {
    let Some(mut bench) = Bench::new("status_away") else { return };
    bench.create_topic(1);
    bench.send(0, &[hit(0), hit(900)]);
    bench.run_until_end();
    let brokers = bench.kafka_url.clone();
    bench.set("KAFKA_URL", nobody());
    let away = bench.hitstream(&["status", "--json"]).finish();
    assert_eq!(away.code, Some(69), "{away}");
    let told = away.json();
    assert_eq!((&told["ledger"]["records"], &told["lag_records"]), (&json!(2), &Value::Null));
    assert_eq!(told["partitions"][0]["next_offset"], 2);
    assert!(told["error"].as_str().unwrap().contains("does not answer"), "{away}");
    assert_eq!((&told["notes"], away.stderr.as_str()), (&json!([]), ""), "{away}");
    let words = bench.hitstream(&["status"]).finish();
    assert!(words.stdout.contains("lag unknown\n"), "{words}");
    assert!(words.stderr.starts_with("error: ") && words.stderr.lines().count() == 1, "{words}");
    assert!(!words.stdout.contains("does not answer"), "said once: {words}");

    bench.set("KAFKA_URL", brokers);
    kafka::delete(&bench.kafka_url, &bench.topic);
    wait_until("deleted", || !kafka::exists(&bench.kafka_url, &bench.topic));
    let missing = bench.hitstream(&["status", "--json"]).finish();
    assert_eq!((missing.code, &missing.json()["ledger"]["records"]), (Some(64), &json!(2)));
    bench.create_topic(1);
    let another = status(&bench);
    assert_eq!(another["lag_records"], Value::Null, "{another}");
    assert!(another["notes"][0].as_str().unwrap().contains("created since"), "{another}");
}

/// Asserts that the answer as JSON is this failure, said once, and at once.
fn error_alone(bench: &Bench, code: i32, word: &str) {
    let begin = Instant::now();
    let failed = bench.hitstream(&["status", "--json"]).finish();
    // Less than the least that a command which waits for a service takes.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}: {failed}", begin.elapsed());
    assert_eq!((failed.code, failed.stderr.as_str()), (Some(code), ""), "{failed}");
    let answer = failed.json();
    assert_eq!(answer.as_object().unwrap().len(), 1, "{failed}");
    assert!(answer["error"].as_str().unwrap().contains(word), "no {word:?} in {failed}");
    assert!(!failed.to_string().contains("hunter2"), "{failed}");
}

#[test]
fn what_keeps_it_from_telling_anything_is_the_answer_without_a_password() {
    let Some(mut bench) = Bench::new("status_no_pg") else { return };
    let url = bench.database_url();
    bench.set("POSTGRES_URL", format!("postgres://me:hunter2@{}/hits", nobody()));
    error_alone(&bench, 69, "does not answer");
    bench.set("POSTGRES_URL", format!("{url}_absent"));
    error_alone(&bench, 69, "_absent\" does not exist");
    bench.set("POSTGRES_URL", url);
    bench.set("HITSTREAM_WINDOW__SIZE", "hunter");
    error_alone(&bench, 64, "window.size = \"hunter\"");
}

/// An address where nobody answers.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
