//! Rows that PostgreSQL refuses: their records are rejected, everything else is committed, and nothing goes in circles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::hit::{Hit, Sendable, noise};
use crate::support::http::{address, value};
use crate::support::model::Model;
use crate::support::process::{Finished, wait_until, wait_within};
use crate::support::{Bench, kafka};

const PARTITIONS: i32 = 3;

/// A bench whose tables are there, so that a test can put a constraint on them.
fn prepared(bench: Option<Bench>, ddl: &str) -> Option<Bench> {
    let bench = bench?;
    bench.create_topic(PARTITIONS);
    bench.done(&["migrate"]);
    bench.sql().batch_execute(ddl).unwrap();
    Some(bench)
}

/// Good hits in all partitions and several windows, with what `bad` makes of some of them between: every seventh.
fn send(bench: &Bench, seconds: std::ops::Range<i64>, bad: impl Fn(i64, Hit) -> Hit) {
    let mut partitions = vec![Vec::<Sendable>::new(); PARTITIONS as usize];
    for second in seconds {
        let hit = Hit::at(second * 7).host(&format!("good-{}", second % 5)).url("/good");
        let hit = if second % 3 == 0 { hit.referrer("http://r.example/") } else { hit };
        // The bad ones are the newest by far: a watermark that heard of them would make all that follows late.
        let hit = if second % 7 == 3 { bad(second, hit).later(200) } else { hit };
        partitions[(second % i64::from(PARTITIONS)) as usize].push(hit.record());
    }
    for (partition, records) in (0..).zip(&partitions) {
        bench.send(partition, records);
    }
}

/// Runs to the end and compares everything with a model of the topic in which what `is_bad` is no hit.
fn assert_rejected(bench: &Bench, is_bad: impl Fn(&str) -> bool) -> Finished {
    let finished = bench.done(&["run", "--until-end"]);
    bench.clean_audit();
    let records = kafka::read(&bench.kafka_url, &bench.topic);
    let text = |record: &kafka::Record| {
        record.value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
    };
    let (bad, good): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| is_bad(&text(r)));
    let mut model = Model::of(&good, 300, 300, 60);
    model.rejected += bad.len() as i64;
    bench.assert_equals(&model);

    let mut sql = bench.sql();
    let query = "SELECT partition, \"offset\", payload, detail FROM rejected_events WHERE reason = 'refused'";
    let mut found = BTreeMap::new();
    for row in sql.query(query, &[]).unwrap() {
        let detail: Option<String> = row.get(3);
        assert!(detail.is_none_or(|detail| detail.starts_with("PostgreSQL refused it: ")));
        found.insert((row.get(0), row.get(1)), row.get::<_, Option<Vec<u8>>>(2));
    }
    let sent: BTreeMap<_, _> =
        bad.into_iter().map(|r| ((r.partition, r.offset), r.value)).collect();
    assert!(found == sent, "{:?} refused, {:?} due", found.keys(), sent.keys());
    let stored: BTreeSet<(i32, i64)> = sql
        .query("SELECT partition, \"offset\" FROM processed_events", &[])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(stored, good.iter().map(|r| (r.partition, r.offset)).collect());
    let newest = "SELECT partition, (extract(epoch FROM max_event_time) * 1000)::bigint FROM partition_progress";
    for row in sql.query(newest, &[]).unwrap() {
        let (partition, found): (i32, i64) = (row.get(0), row.get(1));
        // These tests send the event's time as the record's.
        let of_good = good.iter().filter(|r| r.partition == partition);
        assert_eq!(Some(found), of_good.filter_map(|r| r.timestamp_millis).max(), "{partition}");
    }
    finished
}

/// Sends and runs twice: a restart forgets what was refused and must find it again. Nothing goes in circles: of each
/// run one generation at least is due, and one more for each kind of row that is refused, and for each of few epochs.
fn assert_survives(bench: &Bench, bad: impl Fn(i64, Hit) -> Hit, is_bad: impl Fn(&str) -> bool) {
    for seconds in [0..140, 140..280] {
        send(bench, seconds, &bad);
        let finished = assert_rejected(bench, &is_bad);
        let generations = finished.stderr.matches("pipeline started").count();
        assert!((2..=8).contains(&generations), "{generations} generations: {finished}");
    }
    let rows = bench.count("SELECT count(*) FROM rejected_events");
    bench.run_until_end();
    assert_eq!(bench.count("SELECT count(*) FROM rejected_events"), rows);
}

#[test]
fn constraint_on_open_windows_rejects_the_hits_of_one_host() {
    let ddl = "ALTER TABLE open_web_traffic ADD CONSTRAINT no_bad CHECK (host <> 'bad')";
    let Some(bench) = prepared(Bench::new("refused_check"), ddl) else { return };
    assert_survives(&bench, |_, hit| hit.host("bad"), |record| record.contains("\"bad\""));
    let detail =
        "SELECT count(*) FROM rejected_events WHERE detail LIKE '%no_bad%[SQLSTATE 23514]'";
    assert_eq!(bench.count(detail), 40);
}

#[test]
fn trigger_on_events_rejects_the_hits_of_one_url_in_the_windows_too() {
    let ddl = "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.url LIKE '/bad%' THEN RAISE EXCEPTION 'no %', NEW.url; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER judge BEFORE INSERT ON processed_events FOR EACH ROW EXECUTE FUNCTION judge()";
    let Some(bench) = prepared(Bench::new("refused_trigger"), ddl) else { return };
    let bad = |second, hit: Hit| hit.url(&format!("/bad/{second}"));
    assert_survives(&bench, bad, |record| record.contains("/bad/"));
    // Each with PostgreSQL's words about itself, not about another.
    let query = "SELECT count(*) FROM rejected_events WHERE detail = format('PostgreSQL refused it: no %s [SQLSTATE P0001]', \
         convert_from(payload, 'UTF8')::json ->> 'url')";
    assert_eq!(bench.count(query), 40);
}

#[test]
fn text_that_the_databases_encoding_cannot_hold_rejects_its_record_whole() {
    let Some(bench) = prepared(Bench::in_encoding("refused_latin", "LATIN1"), "") else { return };
    let bad = |second, hit: Hit| match second % 3 {
        0 => hit.host("日本.example"),
        1 => hit.url("/日本"),
        _ => hit.referrer("http://日本.example/"),
    };
    assert_survives(&bench, bad, |record| record.contains("日本"));
    // What the encoding has is stored as ever.
    bench.send(0, &[Hit::at(2_000).host("münchen.example").record()]);
    bench.run_until_end();
    assert_eq!(
        bench.count("SELECT num_hits FROM live_web_traffic WHERE host = 'münchen.example'"),
        1
    );
}

#[test]
fn payload_is_kept_where_only_the_detail_cannot_be_stored() {
    let Some(bench) = prepared(Bench::in_encoding("refused_detail", "LATIN1"), "") else { return };
    let value = "{\"event_time\":\"昨日\",\"host\":\"h\"}".as_bytes().to_vec();
    bench.send(1, &[(Some(value.clone()), Some(0)), Hit::at(0).host("h").record()]);
    bench.run_until_end();
    let row =
        bench.sql().query_one("SELECT reason, detail, payload FROM rejected_events", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "malformed_time");
    assert_eq!(row.get::<_, Option<String>>(1), None);
    assert_eq!(row.get::<_, Vec<u8>>(2), value);
}

#[test]
fn database_without_an_encoding_holds_every_text() {
    let Some(bench) = prepared(Bench::in_encoding("refused_ascii", "SQL_ASCII"), "") else {
        return;
    };
    send(&bench, 0..140, |_, hit| hit.host("日本.example").later(-200));
    bench.run_until_end();
    bench.assert_equals(&bench.model(300, 300));
    assert_eq!(bench.count("SELECT count(*) FROM rejected_events"), 0);
}

#[test]
fn index_on_a_text_rejects_what_is_too_long_for_it() {
    let ddl = "CREATE INDEX ON open_web_traffic (host); CREATE INDEX ON processed_events (url)";
    let Some(bench) = prepared(Bench::new("refused_size"), ddl) else { return };
    let long = |second: i64| noise(20_000, second as u64);
    let bad = |second, hit: Hit| match second % 2 {
        0 => hit.host(&long(second)),
        _ => hit.url(&long(second)),
    };
    assert_survives(&bench, bad, |record| record.len() > 20_000);
    let sqlstate = "SELECT count(*) FROM rejected_events WHERE detail LIKE '%[SQLSTATE 54000]'";
    assert_eq!(bench.count(sqlstate), 40);
}

#[test]
fn rows_of_every_kind_refused_in_one_epoch_are_all_found() {
    let ddl = "ALTER TABLE open_web_traffic ADD CONSTRAINT no_host CHECK (host <> 'bad-host'); \
         ALTER TABLE open_web_traffic ADD CONSTRAINT no_referrer CHECK (referrer <> 'bad-referrer') DEFERRABLE; \
         ALTER TABLE processed_events ADD CONSTRAINT no_agent CHECK (user_agent <> 'bad-agent'); \
         ALTER TABLE rejected_events ADD CONSTRAINT no_detail CHECK (detail NOT LIKE '%no_agent%')";
    let ddl = ddl.replace(" DEFERRABLE", "");
    let Some(bench) = prepared(Bench::new("refused_all"), &ddl) else { return };
    let bad = |second, hit: Hit| match second % 3 {
        0 => hit.host("bad-host"),
        1 => hit.referrer("bad-referrer"),
        _ => hit.with("user_agent", "bad-agent"),
    };
    assert_survives(&bench, bad, |record| record.contains("\"bad-"));
}

#[test]
fn constraint_that_speaks_at_commit_rejects_as_well() {
    let ddl = "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.host = 'bad' THEN RAISE EXCEPTION 'not at commit'; END IF; RETURN NEW; END $$; \
         CREATE CONSTRAINT TRIGGER judge AFTER INSERT ON open_web_traffic DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION judge()";
    let Some(bench) = prepared(Bench::new("refused_deferred"), ddl) else { return };
    assert_survives(&bench, |_, hit| hit.host("bad"), |record| record.contains("\"bad\""));
}

#[test]
fn more_refused_rows_than_are_looked_for_at_once_are_found_in_turns() {
    let ddl = "ALTER TABLE processed_events ADD CONSTRAINT no_bad CHECK (url NOT LIKE '/bad%')";
    let Some(bench) = prepared(Bench::new("refused_many"), ddl) else { return };
    let bad = (0..2_500).map(|at| Hit::at(at % 60).host("h").url(&format!("/bad/{at}")).record());
    let records: Vec<_> = bad.chain([Hit::at(30).host("h").url("/good").record()]).collect();
    bench.send(0, &records);
    let audit = bench.run_until_end();
    assert_eq!((&audit["rejected"], &audit["accepted"]), (&2_500.into(), &1.into()));
    assert_eq!(bench.count("SELECT count(*) FROM rejected_events WHERE reason = 'refused'"), 2_500);
}

#[test]
fn rejected_record_whose_payload_is_refused_is_still_accounted_for() {
    let ddl =
        "ALTER TABLE rejected_events ADD CONSTRAINT small CHECK (octet_length(payload) < 1000)";
    let Some(bench) = prepared(Bench::new("refused_payload"), ddl) else { return };
    let large = || (Some(noise(5_000, 1).into_bytes()), Some(0));
    let small = || (Some(b"no hit".to_vec()), Some(0));
    for partition in 0..PARTITIONS {
        bench.send(partition, &[Hit::at(0).record(), large(), small(), Hit::at(1).record()]);
    }
    let audit = bench.run_until_end();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&6.into(), &6.into()));
    let without = "SELECT count(*) FROM rejected_events WHERE payload IS NULL AND detail IS NOT NULL \
         AND reason = 'invalid_json' AND \"offset\" = 1";
    assert_eq!(bench.count(without), 3);
    assert_eq!(bench.count("SELECT count(*) FROM rejected_events WHERE payload = 'no hit'"), 3);
}

#[test]
fn nothing_is_lost_where_not_even_rejected_records_are_taken() {
    let ddl = "ALTER TABLE rejected_events ADD CONSTRAINT none CHECK (reason IS NULL)";
    let Some(bench) = prepared(Bench::new("refused_none"), ddl) else { return };
    bench.send(0, &[Hit::at(0).record(), (Some(b"no hit".to_vec()), None)]);
    let finished = bench.hitstream(&["run", "--until-end"]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains("rejected_events"), "{finished}");
    assert_eq!(bench.count("SELECT sum(next_offset)::bigint FROM partition_progress"), 0);

    // Without an end in sight it waits for someone to mend that, trying less and less often.
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("it says so", || running.stderr().contains("does not take rejected records"));
    running.run_for(Duration::from_secs(1));
    let generations = running.stderr().matches("pipeline started").count();
    assert!(generations <= 9, "{generations} generations");
    bench.sql().batch_execute("ALTER TABLE rejected_events DROP CONSTRAINT none").unwrap();
    wait_within("it goes on", Duration::from_secs(60), || {
        bench.count("SELECT sum(next_offset)::bigint FROM partition_progress") == 2
    });
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    bench.clean_audit();
}

#[test]
fn window_that_the_final_table_refuses_stays_open_and_holds_up_no_other() {
    let ddl = "CREATE INDEX long ON aggregated_web_traffic (host)";
    let Some(mut bench) = prepared(Bench::new("refused_move"), ddl) else { return };
    let hit = |minute: i64, host: &str| Hit::at(minute * 60).host(host).record();
    let long = noise(20_000, 1);
    for partition in 0..PARTITIONS {
        let hits = [hit(0, "h"), hit(5, &long), hit(10, "h"), hit(15, "h"), hit(60, &long)];
        bench.send(partition, &hits);
    }
    let finished = bench.hitstream(&["run", "--until-end"]).finish();
    assert_eq!(finished.code, Some(64), "all is counted, not all is final: {finished}");
    assert!(finished.stderr.contains("the final tables refuse the window of"), "{finished}");
    bench.clean_audit();
    bench.assert_equals(&bench.model(300, 300));
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM aggregated_web_traffic"), 9);
    let shown =
        "SELECT sum(num_hits)::bigint FROM live_web_traffic WHERE is_final AND length(host) > 1000";
    assert_eq!(bench.count(shown), 3);
    bench.set("HITSTREAM_WATERMARK__DELAY", "2m");
    let closing = bench.hitstream(&["migrate", "--close-open"]).finish();
    assert_eq!(closing.code, Some(64), "{closing}");
    assert!(closing.stderr.contains("SQLSTATE 54000"), "{closing}");

    bench.set("HITSTREAM_WATERMARK__DELAY", "1m");
    bench.sql().batch_execute("DROP INDEX long").unwrap();
    bench.run_until_end();
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM aggregated_web_traffic"), 12);
}

#[test]
fn window_that_the_final_table_refuses_is_told_to_those_who_watch() {
    let ddl = "ALTER TABLE aggregated_web_traffic ADD CONSTRAINT no_bad CHECK (host <> 'bad')";
    let Some(bench) = prepared(Bench::new("refused_told"), ddl) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "100ms");
    let send = |hits: &[(i64, &str)]| {
        for partition in 0..PARTITIONS {
            let hit = |(second, host): &(i64, &str)| Hit::at(*second).host(host).record();
            bench.send(partition, &hits.iter().map(hit).collect::<Vec<_>>());
        }
    };
    let windows = |bench: &Bench| bench.done(&["status", "--json"]).json()["open_windows"].clone();
    let start = || {
        let mut running = bench.hitstream(&["run"]).start();
        let at = address(&mut running);
        (running, at)
    };
    let refused = |at: &str, number: f64| value(at, "hitstream_refused_windows") == Some(number);
    send(&[(0, "bad"), (400, "good")]);
    let (running, at) = start();
    wait_until("it is told", || refused(&at, 1.0));
    // It is the only one that is final: whether it is only about to be moved shows with time.
    assert_eq!(windows(&bench)[0]["is_final"], true);
    let later = "UPDATE frontier SET updated_at = updated_at - interval '2 minutes'";
    bench.sql().batch_execute(later).unwrap();
    assert_eq!(
        (windows(&bench)[0]["is_overdue"].as_bool(), windows(&bench)[1]["is_overdue"].as_bool()),
        (Some(true), Some(false))
    );
    let words = bench.done(&["status"]).stdout;
    assert!(
        words.contains("but not moved: the final tables refuse it, or no instance runs"),
        "{words}"
    );
    // Another one is moved past it.
    send(&[(1_800, "good")]);
    wait_until("the next is moved", || {
        bench.count("SELECT count(*) FROM aggregated_web_traffic") == 1
    });
    assert_eq!(windows(&bench)[0]["is_overdue"], true);
    let words = bench.done(&["status"]).stdout;
    assert!(words.contains("it is final, but the final tables refuse it"), "{words}");
    assert!(refused(&at, 1.0));
    running.stop();
    bench.sql().batch_execute("ALTER TABLE aggregated_web_traffic DROP CONSTRAINT no_bad").unwrap();
    let (running, at) = start();
    wait_until("it is moved", || bench.count("SELECT count(*) FROM aggregated_web_traffic") == 2);
    wait_until("that is told", || refused(&at, 0.0));
    assert_eq!(windows(&bench)[0]["is_overdue"], false);
    running.stop();
    bench.clean_audit();
}

#[test]
fn row_that_is_refused_only_beside_another_is_found() {
    let ddl = "ALTER TABLE processed_events ADD UNIQUE (event_time, url)";
    let Some(bench) = prepared(Bench::new("refused_beside"), ddl) else { return };
    let twin = |second: i64, which: &str| Hit::at(second).host(which).url("/twin").record();
    bench.send(0, &[twin(0, "a"), twin(1, "a"), twin(0, "b"), Hit::at(2).record(), twin(1, "b")]);
    bench.done(&["run", "--until-end"]);
    let audit = bench.clean_audit();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&3.into(), &2.into()), "{audit}");
    let second =
        "SELECT count(*) FROM rejected_events WHERE reason = 'refused' AND \"offset\" IN (2, 4)";
    assert_eq!(bench.count(second), 2);
}

#[test]
fn rows_that_a_trigger_leaves_out_without_a_word_are_refused_rows() {
    for table in ["open_web_traffic", "processed_events", "late_web_traffic"] {
        let ddl = format!(
            "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN IF NEW.host = 'bad' THEN RETURN NULL; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION leave_out()"
        );
        let name = format!("left_out_{}", &table[..4]);
        let Some(bench) = prepared(Bench::new(&name), &ddl) else { return };
        let hit = |second: i64, host: &str| Hit::at(second).host(host).record();
        bench.send(
            0,
            &[hit(0, "good"), hit(1, "bad"), hit(900, "good"), hit(2, "bad"), hit(3, "good")],
        );
        let finished = bench.done(&["run", "--until-end"]);
        assert!(finished.stderr.contains("leaves the others out"), "{finished}");
        let audit = bench.clean_audit();
        let bad = if table == "open_web_traffic" { 1 } else { audit["rejected"].as_i64().unwrap() };
        assert!(bad >= 1, "{audit}");
        assert_eq!(audit["accepted"].as_i64().unwrap() + audit["rejected"].as_i64().unwrap(), 5);
    }
}

#[test]
fn window_whose_rows_a_trigger_leaves_out_is_not_moved() {
    let ddl = "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER t BEFORE INSERT ON aggregated_web_traffic FOR EACH ROW EXECUTE FUNCTION leave_out()";
    let Some(bench) = prepared(Bench::new("left_out_final"), ddl) else { return };
    for partition in 0..PARTITIONS {
        bench.send(partition, &[Hit::at(0).record(), Hit::at(900).record()]);
    }
    let finished = bench.hitstream(&["run", "--until-end"]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains("leaves the others out"), "{finished}");
    bench.clean_audit();
    bench.sql().batch_execute("DROP TRIGGER t ON aggregated_web_traffic").unwrap();
    bench.run_until_end();
    bench.assert_equals(&bench.model(300, 300));
}

#[test]
fn geo_rollup_that_refuses_a_country_leaves_it_out_and_everything_else_counts() {
    let ddl =
        "ALTER TABLE open_web_traffic_by_country ADD CONSTRAINT no_at CHECK (country_code <> 'AT')";
    let Some(bench) = prepared(Bench::new("refused_geo"), ddl) else { return };
    // Of two countries in the embedded database.
    let hit = |second: i64| {
        let ip = if second % 3 == 0 { "185.119.18.128" } else { "109.205.193.128" };
        Hit::at(second * 7).host("h").with("ip", ip)
    };
    // The second time the list of refused rows is gone with its process, and all is found again.
    for (run, seconds) in [0..140, 140..280].into_iter().enumerate() {
        let mut partitions = vec![Vec::<Sendable>::new(); PARTITIONS as usize];
        for second in seconds {
            partitions[(second / 3 % i64::from(PARTITIONS)) as usize].push(hit(second).record());
        }
        for (partition, records) in (0..).zip(&partitions) {
            bench.send(partition, records);
        }
        let finished = bench.done(&["run", "--until-end"]);
        assert!(finished.stderr.contains("no_at"), "{finished}");
        // The log promises no rejects where there are none.
        assert!(finished.stderr.contains("PostgreSQL refuses sums by place"), "{finished}");
        assert!(!finished.stderr.contains("their records will be rejected"), "{finished}");
        bench.assert_equals(&bench.model(300, 300));

        let [all, refused] = [[140, 47], [280, 94]][run];
        let audit = bench.clean_audit();
        assert_eq!((&audit["accepted"], &audit["rejected"]), (&all.into(), &0.into()));
        let note = format!(
            "web_traffic_by_country: {refused} hits are left out, for PostgreSQL refused their rows"
        );
        assert_eq!(audit["notes"], serde_json::json!([note]));
        let booked = "SELECT sum(refused)::bigint FROM rollup_ledger WHERE rollup = 'web_traffic_by_country'";
        assert_eq!(bench.count(booked), refused);
        let others = "SELECT sum(num_hits)::bigint FROM live_web_traffic_by_country WHERE country_code = 'AD'";
        assert_eq!(bench.count(others), all - refused);
        let austrian = "SELECT count(*) FROM processed_events WHERE country_code = 'AT'";
        assert_eq!(bench.count(austrian), refused, "events are stored all the same");
    }
}

#[test]
fn refused_rows_are_quoted_neither_in_the_log_nor_in_what_is_kept() {
    let ddl = "ALTER TABLE processed_events ADD CONSTRAINT no_bad CHECK (host <> 'bad'); \
         ALTER TABLE processed_events ADD UNIQUE (event_time, url)";
    for payloads in ["false", "true"] {
        let bench = Bench::new(&format!("refused_words_{payloads}"))
            .map(|bench| bench.with("HITSTREAM_REJECTS__KEEP_PAYLOAD", payloads));
        let Some(bench) = prepared(bench, ddl) else { return };
        let secrets = ["8.8.4.77", "/url-b81c", "agent-b81c", "r-b81c.example"];
        let [ip, url, agent, referrer] = secrets;
        let hit = |host: &str| {
            let hit = Hit::at(1).host(host).url(url).with("ip", ip).with("user_agent", agent);
            hit.referrer(&format!("http://{referrer}/")).record()
        };
        // One against the constraint, one against the index.
        bench.send(0, &[hit("good"), hit("bad"), hit("good")]);
        let finished = bench.done(&["run", "--until-end"]);
        bench.clean_audit();
        let query = "SELECT string_agg(coalesce(detail, '-'), ' ') FROM rejected_events";
        let details: String = bench.sql().query_one(query, &[]).unwrap().get(0);
        let all = format!("{}\n{}\n{details}", finished.stdout, finished.stderr);
        let quoting: Vec<&str> =
            all.lines().filter(|line| secrets.iter().any(|it| line.contains(it))).collect();
        assert!(quoting.is_empty(), "{payloads}: {quoting:?}");
        for word in ["no_bad", "SQLSTATE 23514", "SQLSTATE 23505"] {
            assert!(finished.stderr.contains(word), "{word}: {finished}");
            assert_eq!(details.contains(word), payloads == "true", "{word}: {details}");
        }
    }
}
