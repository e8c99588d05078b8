//! `audit`: says yes to what is sound, and names each thing that somebody broke.

use serde_json::Value;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::wait_until;

/// Final, open and late hits, events and rejects in two partitions: eight hits and four rejects in all.
fn sound() -> Option<Bench> {
    let bench = Bench::new("audit")?;
    bench.create_topic(2);
    for partition in 0..2 {
        let hit = |second: i64| Hit::at(second).host("h").record();
        let no_hit = || (Some(b"no hit".to_vec()), Some(0));
        bench.send(partition, &[hit(0), no_hit(), hit(900), no_hit(), hit(1), hit(901)]);
    }
    let audit = bench.run_until_end();
    assert_eq!(
        (&audit["final"], &audit["open"], &audit["late"]),
        (&2.into(), &4.into(), &2.into())
    );
    Some(bench)
}

/// Breaks sound tables and asserts what the audit makes of them: sums, and a word of each problem.
fn broken(bench: &Bench, sql: &str, lost: i64, doubled: i64, words: &[&str]) {
    // Broken in a transaction of its own would be gone for the audit: mended by going back to a copy.
    let mut client = bench.sql();
    let tables = [
        "aggregated_web_traffic",
        "open_web_traffic",
        "late_web_traffic",
        "processed_events",
        "rejected_events",
        "partition_progress",
        "frontier",
    ];
    for table in tables {
        client
            .batch_execute(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"))
            .unwrap();
    }
    let changed = client.execute(sql, &[]).unwrap();
    assert!(changed > 0, "{sql} changes nothing");
    let finished = bench.hitstream(&["audit", "--json"]).finish();
    let text = bench.hitstream(&["audit"]).finish();
    for table in tables {
        let mend = format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}; DROP TABLE saved_{table}"
        );
        client.batch_execute(&mend).unwrap();
    }

    assert_eq!((finished.code, text.code), (Some(1), Some(1)), "{sql}: {finished}");
    let audit = finished.json();
    assert_eq!(audit["ok"], false, "{sql}: {audit}");
    assert_eq!(
        (&audit["lost"], &audit["doubled"]),
        (&lost.into(), &doubled.into()),
        "{sql}: {audit}"
    );
    let problems = audit["problems"].as_array().unwrap();
    assert_eq!(problems.len(), words.len(), "{sql}: {audit}");
    assert!(
        text.stdout.starts_with(&format!("NOT OK: {lost} lost, {doubled} doubled\n")),
        "{text}"
    );
    for (problem, word) in problems.iter().zip(words) {
        assert!(problem.as_str().unwrap().contains(word), "{sql}: no {word:?} in {problem}");
        assert!(text.stdout.contains(&format!("problem: {}", problem.as_str().unwrap())), "{text}");
    }
}

#[test]
fn everything_that_somebody_breaks_is_named() {
    let Some(bench) = sound() else { return };
    let live = "web_traffic: hits in final and open windows: 6 by the ledger, ";
    let with = |word: &str| format!("{live}{word}");
    broken(&bench, "DELETE FROM open_web_traffic", 4, 0, &[&with("2 in the tables")]);
    broken(
        &bench,
        "INSERT INTO aggregated_web_traffic SELECT * FROM aggregated_web_traffic",
        0,
        2,
        &[&with("8 in the tables"), "1 keys have several rows"],
    );
    broken(
        &bench,
        "INSERT INTO aggregated_web_traffic SELECT window_start, window_end, host, referrer, num_hits FROM open_web_traffic",
        0,
        4,
        &[
            &with("10 in the tables"),
            "1 keys have several rows",
            "1 final rows belong to windows that the frontier has not passed",
        ],
    );
    broken(
        &bench,
        "UPDATE aggregated_web_traffic SET num_hits = num_hits - 1",
        1,
        0,
        &[&with("5 in the tables")],
    );
    broken(
        &bench,
        "UPDATE open_web_traffic SET num_hits = num_hits + 3",
        0,
        3,
        &[&with("9 in the tables")],
    );
    broken(
        &bench,
        "DELETE FROM late_web_traffic",
        2,
        0,
        &["late hits: 2 by the ledger, 0 in the tables"],
    );
    broken(
        &bench,
        "DELETE FROM rejected_events WHERE partition = 1 AND \"offset\" = 3",
        1,
        0,
        &["partition 1: rejected records: 2 by the ledger, 1 in the tables"],
    );
    broken(
        &bench,
        "INSERT INTO processed_events SELECT * FROM processed_events WHERE partition = 0 AND \"offset\" = 0",
        0,
        1,
        &[
            "partition 0: stored events: 4 by the ledger, 5 in the tables",
            "partition 0: stored events: 1 rows twice",
        ],
    );
    broken(
        &bench,
        "UPDATE processed_events SET \"offset\" = 77 WHERE partition = 0 AND \"offset\" = 0",
        0,
        0,
        &["partition 0: stored events: 1 of offsets never read"],
    );
    broken(
        &bench,
        "UPDATE partition_progress SET next_offset = 50 WHERE partition = 1",
        0,
        0,
        &["partition 1: read up to offset 50, but Kafka's records end at 6"],
    );
    broken(
        &bench,
        "UPDATE partition_progress SET records = records + 1 WHERE partition = 0",
        0,
        1,
        &[
            "partition 0: 7 records, but 4 accepted and 2 rejected",
            "partition 0: 7 records and 0 lost ones between offsets 0 and 6",
        ],
    );
    broken(
        &bench,
        "UPDATE frontier SET f = '2024-05-17T12:00:00Z'",
        0,
        0,
        &[
            "web_traffic: 1 final rows belong to windows",
            "web_traffic_by_country: 1 final rows belong to windows",
        ],
    );
    // Mended, it is sound again.
    bench.clean_audit();
}

#[test]
fn sound_tables_are_told_in_words_and_numbers() {
    let Some(bench) = sound() else { return };
    let text = bench.done(&["audit"]).stdout;
    for word in [
        "ok: nothing lost, nothing doubled",
        "12 records of",
        "= 8 accepted + 4 rejected",
        "8 (record, window) pairs; in the tables: 2 final + 4 open + 2 late",
        "0 offsets in Kafka still unread",
    ] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    // What has come since is unread, and no loss.
    bench.send(0, &[Hit::at(0).record()]);
    let audit = bench.clean_audit();
    assert_eq!((&audit["unread"], &audit["records"]), (&1.into(), &12.into()));
}

#[test]
fn schema_without_tables_is_a_mistake() {
    let Some(bench) = Bench::new("audit_nothing") else { return };
    bench.create_topic(1);
    let finished = bench.hitstream(&["audit"]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains("`hitstream run` starts one"), "{finished}");
    // With tables and before the first run there is nothing to object to.
    bench.done(&["migrate"]);
    assert_eq!(bench.clean_audit()["records"], 0);
}

#[test]
fn audit_is_sound_at_any_moment_of_a_running_pipeline() {
    let Some(bench) = Bench::new("audit_running") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "20ms");
    bench.create_topic(3);
    let traffic =
        ["generate", "--rate", "3000", "--step", "1s", "--malformed", "3%", "--late", "3%"];
    let traffic =
        bench.hitstream(&[&traffic[..], &["--start", "2026-01-01T00:00:00Z"]].concat()).start();
    let mut running = bench.hitstream(&["run"]).start();
    let committed = || {
        bench
            .sql()
            .query_one("SELECT sum(records)::bigint FROM partition_progress", &[])
            .ok()
            .and_then(|row| row.get::<_, Option<i64>>(0))
    };
    wait_until("first commits", || committed() > Some(0));
    let audits: Vec<Value> = (0..10).map(|_| bench.clean_audit()).collect();
    let records = |audit: &Value| audit["records"].as_i64().unwrap();
    assert!(records(&audits[9]) > records(&audits[0]), "it was under load");
    assert!(audits[9]["final"].as_i64() > Some(0) && audits[9]["rejected"].as_i64() > Some(0));
    traffic.signal("TERM");
    assert_eq!(traffic.finish().code, Some(0));
    assert!(running.is_running());
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    bench.clean_audit();
}
