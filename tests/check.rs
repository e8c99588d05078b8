//! `check`: names each thing that would keep a run from starting, and nothing else.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use hitstream_actors::writer::postgres::tables_version;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::kafka;
use crate::support::process::{Finished, Hitstream, wait_until};
use crate::support::scratch::Folder;
use crate::support::traffic::committed;

/// A password that must never be seen.
const CANARY: &str = "hunter2canary";

const ALL: [&str; 13] = [
    "settings",
    "kafka",
    "topic",
    "topic id",
    "group",
    "postgres",
    "durability",
    "encoding",
    "tables",
    "rights",
    "pipeline",
    "progress",
    "geo",
];

/// A check's answer, as JSON and in words, which must be the same.
struct Checked {
    checks: Vec<Value>,
    finished: Finished,
}

impl Checked {
    fn new(bench: &Bench, code: i32) -> Self {
        let begin = Instant::now();
        let finished = bench.hitstream(&["check", "--json"]).finish();
        assert_eq!(finished.code, Some(code), "{finished}");
        assert!(begin.elapsed() < Duration::from_secs(35), "{:?}: {finished}", begin.elapsed());
        assert!(!finished.to_string().contains(CANARY), "{finished}");
        let answer = finished.json();
        assert_eq!(answer["ok"], code == 0, "{finished}");
        let checks: Vec<Value> = answer["checks"].as_array().unwrap().clone();
        let mut names: Vec<&str> =
            checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
        names.dedup();
        assert_eq!(names, ALL, "each is told, in order");
        for check in &checks {
            let fails = check["result"] == "fail";
            assert!(!fails || check["advice"].is_string(), "it says what to do: {check}");
        }
        Self { checks, finished }
    }

    fn result(&self, name: &str) -> (&str, &str) {
        let found = self.checks.iter().find(|check| check["check"] == name).unwrap();
        (found["result"].as_str().unwrap(), found["detail"].as_str().unwrap())
    }

    /// Asserts these results, and that every other check is ok.
    fn assert_results(&self, expected: &[(&str, &str)]) {
        for name in ALL {
            let wanted = expected.iter().find(|(of, _)| *of == name).map_or("ok", |(_, what)| what);
            assert_eq!(self.result(name).0, wanted, "{name}: {}", self.finished);
        }
    }

    fn assert_says(&self, name: &str, word: &str) {
        let all: String =
            self.checks.iter().filter(|c| c["check"] == name).map(Value::to_string).collect();
        assert!(all.contains(word), "no {word:?} in {name}: {}", self.finished);
    }
}

/// An address where nobody answers.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A bench with a topic of two partitions that was read to its end.
fn counted(name: &str) -> Option<Bench> {
    counted_by(name, "classic")
}

/// The same, by a group of this protocol.
fn counted_by(name: &str, protocol: &str) -> Option<Bench> {
    let bench = Bench::new(name)?.with("HITSTREAM_KAFKA__PROPERTIES__GROUP_PROTOCOL", protocol);
    bench.create_topic(2);
    bench.send(0, &[Hit::at(0).record(), Hit::at(900).record()]);
    bench.run_until_end();
    Some(bench)
}

const NOT_RUN: [(&str, &str); 2] = [("pipeline", "skipped"), ("progress", "skipped")];

#[test]
fn fresh_services_are_fine_and_nothing_is_made() {
    let Some(bench) = Bench::new("check_fresh") else { return };
    bench.create_topic(3);
    let checked = Checked::new(&bench, 0);
    checked.assert_results(&NOT_RUN);
    checked.assert_says("topic", "3 partitions, 0 offsets");
    checked.assert_says("group", "nobody has joined it yet");
    checked.assert_says("geo", "the built-in database: country ipvAll, built 20");
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(bench.count(tables), 0);
    let by_city = bench.hitstream(&["check"]).env("HITSTREAM_ROLLUPS__BY_CITY", "true").finish();
    assert_eq!(by_city.code, Some(0), "{by_city}");
    let words = "geo         warn     the built-in database: country ipvAll, built 20";
    assert!(by_city.stdout.contains(words), "{by_city}");
    assert!(by_city.stdout.contains("it knows no cities"), "{by_city}");
    let idle = bench.hitstream(&["check"]).env("IP_CODING_KEY", "unasked").finish();
    assert!(idle.stdout.contains("is not asked, though there is a key"), "{idle}");
    assert!(!idle.stdout.contains("unasked"), "{idle}");
    let mut unread = bench.hitstream(&["check"]);
    unread.env("HITSTREAM_ENRICH__PROVIDERS", "none").env("HITSTREAM_ENRICH__DATABASE", "/absent");
    let unread = unread.finish();
    assert!(unread.stdout.contains("enrich.database is set and not read"), "{unread}");
    bench.done(&["migrate"]);
    Checked::new(&bench, 0).assert_results(&[("progress", "skipped")]);
    let words = bench.done(&["check"]).stdout;
    assert!(words.starts_with("check       result   detail\nsettings    ok       "), "{words}");
}

#[test]
fn running_instance_is_seen_and_not_disturbed() {
    let Some(bench) = counted("check_running") else { return };
    instance_is_seen(&bench, "");
}

#[test]
fn running_instance_is_seen_also_where_the_brokers_assign() {
    let Some(mut bench) = counted_by("check_brokers_assign", "consumer") else { return };
    instance_is_seen(&bench, ", assigned by the brokers");
    // Whoever would join by the other protocol is told so as well.
    bench.set("HITSTREAM_KAFKA__PROPERTIES__GROUP_PROTOCOL", "classic");
    wait_until("it is seen to have left", || {
        let checked = Checked::new(&bench, 0);
        checked.result("group").1.ends_with(": Empty, 0 members, assigned by the brokers")
    });
}

/// Starts an instance, which `check` must see and leave alone.
fn instance_is_seen(bench: &Bench, group_says: &str) {
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("the instance is seen", || {
        let checked = Checked::new(bench, 0);
        checked.assert_results(&[]);
        let group = &checked.result("group").1;
        assert!(!group.contains("from /"), "{group}");
        group.contains("Stable, 1 member from ") && group.contains(group_says)
    });
    bench.send(1, &vec![Hit::at(1).record(); 5]);
    let progress = "SELECT sum(next_offset)::bigint FROM partition_progress";
    wait_until("it goes on", || bench.count(progress) == 7);
    assert!(running.is_running());
    running.stop();
    bench.send(1, &vec![Hit::at(1).record(); 4]);
    let checked = Checked::new(bench, 0);
    checked.assert_says("progress", "4 offsets are left to read");
    checked.assert_says("topic", "2 partitions, 11 offsets");
}

#[test]
fn kafka_away_leaves_postgres_to_be_checked() {
    let Some(bench) = Bench::new("check_no_kafka") else { return };
    let address = nobody();
    let bench = bench
        .with("KAFKA_URL", &address)
        .with("HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD", CANARY);
    let checked = Checked::new(&bench, 69);
    let expected =
        [("kafka", "fail"), ("topic", "skipped"), ("topic id", "skipped"), ("group", "skipped")];
    checked.assert_results(&[&expected[..], &NOT_RUN].concat());
    for word in [&address, "refused", "KAFKA_URL"] {
        checked.assert_says("kafka", word);
    }
    checked.assert_says("topic", "mend kafka first");
    let Some(bench) = counted("check_no_kafka") else { return };
    let bench = bench.with("KAFKA_URL", &address);
    let checked = Checked::new(&bench, 69);
    checked.assert_results(&[&expected[..], &[("progress", "skipped")]].concat());
    checked.assert_says("progress", "mend kafka first");
}

#[test]
fn postgres_away_or_refusing_leaves_kafka_to_be_checked() {
    let Some(mut bench) = Bench::new("check_no_pg") else { return };
    bench.create_topic(1);
    let address = bench.postgres_address();
    let urls = [
        (format!("postgres://me:{CANARY}@{}/hits", nobody()), "does not answer"),
        (format!("postgres://hitstream:{CANARY}@{address}/{}", bench.database), "refuses"),
        (format!("{}_absent", bench.database_url()), "does not exist"),
    ];
    for (url, word) in urls {
        bench.set("POSTGRES_URL", &url);
        let checked = Checked::new(&bench, 69);
        let skipped = ["durability", "encoding", "tables", "rights", "pipeline", "progress"];
        let skipped: Vec<_> = skipped.iter().map(|name| (*name, "skipped")).collect();
        checked.assert_results(&[&[("postgres", "fail")], &skipped[..]].concat());
        checked.assert_says("postgres", word);
        checked.assert_says("postgres", "POSTGRES_URL");
        let secret = url.split([':', '@']).nth(2).unwrap();
        assert!(!checked.finished.to_string().contains(secret), "{}", checked.finished);
    }
}

#[test]
fn missing_topic_is_a_mistake_also_where_postgres_is_away() {
    let Some(bench) = Bench::new("check_no_topic") else { return };
    let missing = [("topic", "fail"), ("topic id", "skipped")];
    let checked = Checked::new(&bench, 64);
    checked.assert_results(&[&missing[..], &NOT_RUN].concat());
    checked.assert_says("topic", "--create-topic");
    assert!(!kafka::exists(&bench.kafka_url, &bench.topic), "it was not created");
    let bench = bench.with("POSTGRES_URL", format!("postgres://me@{}/hits", nobody()));
    assert_eq!(Checked::new(&bench, 64).result("postgres").0, "fail");
}

#[test]
fn settings_that_do_not_fit_the_tables_are_named() {
    let changes = [
        ("HITSTREAM_WINDOW__SIZE", "10m", "window.size is 600 s here and 300 s there"),
        ("KAFKA_GROUP", "another_group", "kafka.group"),
    ];
    for (name, value, word) in changes {
        let Some(mut bench) = counted("check_mismatch") else { return };
        bench.set(name, value);
        let checked = Checked::new(&bench, 64);
        checked.assert_results(&[("pipeline", "fail"), ("progress", "skipped")]);
        checked.assert_says("pipeline", word);
    }
}

/// Asserts that a command ends with 64 and these words.
fn refused(bench: &Bench, command: &str, word: &str) {
    let finished = bench.hitstream(&[command]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains(word), "no {word:?} in {finished}");
}

#[test]
fn versions_of_tables_are_told_apart() {
    let Some(bench) = counted("check_versions") else { return };
    let mut sql = bench.sql();
    let latest = "(SELECT max(version) FROM hitstream_migrations)";
    let newest = format!("UPDATE hitstream_migrations SET version = 99 WHERE version = {latest}");
    sql.batch_execute(&format!("{newest}; UPDATE compatibility SET oldest_version = 99")).unwrap();
    let after = [("rights", "skipped"), ("pipeline", "skipped"), ("progress", "skipped")];
    let newer = Checked::new(&bench, 64);
    newer.assert_results(&[&[("tables", "fail")], &after[..]].concat());
    newer.assert_says("tables", "version 99");
    for command in ["status", "audit", "frontier"] {
        refused(&bench, command, "version 99");
    }
    sql.batch_execute(
        "CREATE TABLE kept AS SELECT * FROM hitstream_migrations; DELETE FROM hitstream_migrations WHERE version > 1",
    )
    .unwrap();
    let older = Checked::new(&bench, 0);
    older.assert_results(&[&[("tables", "warn")], &NOT_RUN[..]].concat());
    older.assert_says("tables", "hitstream migrate");
    let back = format!(
        "DELETE FROM hitstream_migrations; INSERT INTO hitstream_migrations SELECT * FROM kept; DROP TABLE kept; \
         UPDATE hitstream_migrations SET version = {0} WHERE version = 99; UPDATE compatibility SET oldest_version = {0}",
        tables_version()
    );
    sql.batch_execute(&back).unwrap();
    sql.batch_execute("DROP TABLE rejected_events").unwrap();
    Checked::new(&bench, 64).assert_says("tables", "has lost rejected_events");
    sql.batch_execute("DROP TABLE frontier CASCADE").unwrap();
    for command in ["status", "audit", "frontier"] {
        refused(&bench, command, "schema public has lost frontier, ");
    }
    sql.batch_execute("DROP TABLE hitstream_migrations").unwrap();
    Checked::new(&bench, 64).assert_says("tables", "not made by hitstream");
    for columns in ["id integer", "version text", "version bigint, x text"] {
        let foreign = format!("CREATE TABLE hitstream_migrations ({columns})");
        sql.batch_execute(&foreign).unwrap();
        Checked::new(&bench, 64).assert_says("tables", "public has ");
        sql.batch_execute("DROP TABLE hitstream_migrations").unwrap();
    }
}

#[test]
fn rights_that_a_run_needs_are_asked_for() {
    let Some(mut bench) = counted("check_rights") else { return };
    let role = format!("{}_role", bench.database);
    let mut sql = bench.sql();
    let create = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{CANARY}'; GRANT {role} TO CURRENT_USER; \
         REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    );
    sql.batch_execute(&create).unwrap();
    let url = format!("postgres://{role}:{CANARY}@{}/{}", bench.postgres_address(), bench.database);
    bench.set("POSTGRES_URL", url);
    let reads_only = Checked::new(&bench, 64);
    sql.batch_execute(&format!("REVOKE SELECT ON hitstream_migrations FROM {role}")).unwrap();
    Checked::new(&bench, 64).assert_says("tables", &format!("IN SCHEMA public TO {role}"));
    sql.batch_execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC").unwrap();
    Checked::new(&bench, 64).assert_says("tables", "may not read table hitstream_migrations");
    sql.batch_execute("GRANT USAGE ON SCHEMA public TO PUBLIC").unwrap();
    sql.batch_execute(&format!("GRANT SELECT ON hitstream_migrations TO {role}")).unwrap();
    let grant = format!("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    sql.batch_execute(&grant).unwrap();
    let no_owner = Checked::new(&bench, 64);
    bench.set("HITSTREAM_EVENTS__STORE", "false");
    let counts_only = Checked::new(&bench, 0);
    bench.set("HITSTREAM_PRIVACY__IP", "hash");
    // Or it would warn of what is kept of those.
    bench.set("HITSTREAM_REJECTS__KEEP_PAYLOAD", "false");
    let private = Checked::new(&bench, 0);
    bench.set("HITSTREAM_POSTGRES__SCHEMA", "absent");
    let no_schema = Checked::new(&bench, 64);
    sql.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).unwrap();
    let fails = [("rights", "fail"), ("pipeline", "skipped"), ("progress", "skipped")];
    for checked in [&reads_only, &no_owner, &no_schema] {
        checked.assert_results(&fails);
    }
    reads_only.assert_says(
        "rights",
        "aggregated_web_traffic, aggregated_web_traffic_by_city, aggregated_web_traffic_by_country, compatibility, frontier",
    );
    no_owner.assert_says("rights", "events.store = false");
    for grant in ["GRANT USAGE ON", "GRANT TRUNCATE ON public.ip_hash_keys", "GRANT CREATE ON"] {
        reads_only.assert_says("rights", grant);
    }
    reads_only.assert_says("rights", &format!("GRANT hitstream TO {role}"));
    private.assert_says("rights", "may not empty ip_hash_keys and ip_locations");
    no_schema.assert_says("rights", "GRANT CREATE ON DATABASE");
    counts_only.assert_results(&[]);
    private.assert_results(&[("rights", "warn")]);
}

#[test]
fn what_kafka_no_longer_has_is_found_and_may_be_accepted() {
    let Some(mut bench) = counted("check_loss") else { return };
    bench.send(0, &vec![Hit::at(901).record(); 10]);
    kafka::delete_records(&bench.kafka_url, &bench.topic, 0, 7);
    let lost = Checked::new(&bench, 64);
    lost.assert_results(&[("progress", "fail")]);
    lost.assert_says("progress", "offsets 2 to 6");
    bench.set("HITSTREAM_KAFKA__ON_DATA_LOSS", "continue");
    Checked::new(&bench, 0).assert_results(&[("progress", "warn")]);
    bench.set("HITSTREAM_KAFKA__ON_DATA_LOSS", "fail");
    kafka::delete(&bench.kafka_url, &bench.topic);
    wait_until("deleted", || !kafka::exists(&bench.kafka_url, &bench.topic));
    bench.create_topic(2);
    Checked::new(&bench, 64).assert_says("progress", "deleted and created again");
}

#[test]
fn server_settings_that_cost_safety_are_warned_of() {
    let Some(bench) = Bench::in_encoding("check_warn", "LATIN1") else { return };
    bench.create_topic(1);
    let set = format!("ALTER DATABASE {} SET synchronous_commit = off", bench.database);
    bench.sql().batch_execute(&set).unwrap();
    let checked = Checked::new(&bench, 0);
    checked
        .assert_results(&[&[("durability", "warn"), ("encoding", "warn")], &NOT_RUN[..]].concat());
    let set = format!("ALTER DATABASE {} SET default_transaction_read_only = on", bench.database);
    bench.sql().batch_execute(&set).unwrap();
    assert_eq!(Checked::new(&bench, 64).result("postgres").0, "fail");
}

#[test]
fn settings_that_cannot_be_used_are_the_answer() {
    let mut wrong = Hitstream::new(&["check", "--json"]);
    wrong.env("HITSTREAM_FLUSH__MAX_KYES", "5").env("HITSTREAM_FLUSH__INTERVAL", "5");
    wrong.env("POSTGRES_PASSWORD", CANARY);
    let finished = wrong.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(64), ""), "{finished}");
    let answer = finished.json();
    let first = &answer["checks"][0];
    assert_eq!((&first["check"], &first["result"]), (&"settings".into(), &"fail".into()));
    assert!(first["detail"].as_str().unwrap().contains("did you mean HITSTREAM_FLUSH__MAX_KEYS?"));
    let skipped = answer["checks"].as_array().unwrap().iter().filter(|c| c["result"] == "skipped");
    assert_eq!(skipped.count(), ALL.len() - 1);
    assert_eq!(answer["checks"][3]["detail"], "mend settings first");

    let folder = Folder::new();
    let absent = folder.path("absent.toml").display().to_string();
    let unreadable = Hitstream::new(&["check", "--json", "--config", &absent]).finish();
    assert_eq!(unreadable.code, Some(64), "{unreadable}");
    let first = &unreadable.json()["checks"][0];
    let detail = format!("file {absent} (--config): cannot be read: No such file or directory");
    assert!(first["detail"].as_str().unwrap().starts_with(&detail), "{first}");
    assert_eq!(
        first["advice"],
        "make it a text file that can be read, or name another with --config"
    );

    let mut odd = Hitstream::new(&["check", "--print-config"]);
    odd.env("POSTGRES_URL", &format!("jdbc:postgresql://h/x?password={CANARY}&ssl=false&foo=1"));
    let printed = odd.finish();
    assert_eq!(printed.code, Some(0), "{printed}");
    assert!(printed.stdout.contains("# variable POSTGRES_URL"), "{printed}");
    assert!(!printed.to_string().contains(CANARY), "{printed}");
    let global = Hitstream::new(&["--print-config"])
        .env("POSTGRES_URL", &format!("jdbc:postgresql://h/x?password={CANARY}&ssl=false&foo=1"))
        .finish();
    assert_eq!(printed.stdout, global.stdout);
}

#[test]
fn pipeline_that_reads_on_while_it_is_checked_is_not_taken_for_one_that_lost_records() {
    let Some(bench) = Bench::new("check_running") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "10ms");
    bench.create_topic(1);
    let running = bench.hitstream(&["run"]).start();
    let traffic = bench.hitstream(&["generate", "--rate", "2000"]).start();
    wait_until("it counts", || committed(&bench) > 0);
    for _ in 0..10 {
        let checked = Checked::new(&bench, 0);
        assert!(checked.finished.stdout.contains("left to read"), "{}", checked.finished);
    }
    traffic.stop();
    running.stop();
}
