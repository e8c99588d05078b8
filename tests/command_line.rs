//! The command line as people and scripts meet it: help, signals, summaries, exit codes.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::support::hit::Hit;
use crate::support::process::{Running, wait_until};
use crate::support::{Bench, kafka, process::Hitstream};

const COMMANDS: [&str; 9] =
    ["demo", "run", "import", "generate", "migrate", "frontier", "status", "check", "audit"];

#[test]
fn help_of_every_command_has_examples() {
    let help = Hitstream::new(&["--help"]).finish();
    assert_eq!(help.code, Some(0), "{help}");
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}: {help}");
        let help = Hitstream::new(&[command, "--help"]).finish();
        assert_eq!(help.code, Some(0), "{help}");
        assert!(help.stdout.contains("Examples:\n  "), "{command}: {help}");
        assert!(help.stdout.contains(&format!("hitstream {command}")), "{command}: {help}");
        let (own, global) = help.stdout.split_once("Global options:\n").unwrap();
        assert!(own.contains("Options:\n") && !own.contains("--config"), "{command}: {help}");
        let global = global.split("Examples:\n").next().unwrap();
        let texts = global.lines().filter(|line| !line.trim().is_empty()).count();
        let lines = if ["import", "generate"].contains(&command) { 10 } else { 5 };
        assert_eq!(texts, lines, "a line each, or two where all options have them: {help}");
        assert_eq!(help.stderr, "");
    }
    let version = Hitstream::new(&["--version"]).finish();
    assert_eq!(
        (version.code, version.stdout.starts_with("hitstream 0.")),
        (Some(0), true),
        "{version}"
    );
}

#[test]
fn help_comes_by_itself_where_nothing_is_asked_for() {
    let finished = Hitstream::new(&[]).finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(64), ""), "{finished}");
    assert!(finished.stderr.contains("Commands:\n"), "{finished}");
}

/// A device that is always full.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn answer_that_cannot_be_written_is_a_failure() {
    for arguments in [&["generate", "--help"][..], &["--version"], &["--print-config"]] {
        let finished = Hitstream::new(arguments).stdout(full()).finish();
        assert_eq!(finished.code, Some(69), "{arguments:?}: {finished}");
        let said = "error: standard output does not take the answer: No space left on device";
        assert!(finished.stderr.starts_with(said), "{finished}");
    }
}

#[test]
fn reader_that_has_gone_away_is_no_failure() {
    for arguments in [&["generate", "--help"][..], &["--print-config"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let finished = Hitstream::new(arguments).stdout(writer).finish();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn work_is_done_though_its_answer_cannot_be_written() {
    let Some(bench) = Bench::new("full") else { return };
    bench.create_topic(1);
    bench.send(0, &[Hit::at(0).record()]);
    let commands: [&[&str]; 3] = [
        &["run", "--until-end"],
        &["migrate", "--close-open"],
        &["generate", "--count", "10", "--json"],
    ];
    for arguments in commands {
        let finished = bench.hitstream(arguments).stdout(full()).finish();
        assert_eq!(finished.code, Some(69), "{arguments:?}: {finished}");
        assert!(finished.stderr.contains("does not take the answer"), "{finished}");
    }
    assert_eq!(bench.count("SELECT count(*) FROM live_web_traffic WHERE is_final"), 1);
    assert_eq!(kafka::read(&bench.kafka_url, &bench.topic).len(), 11);
}

#[test]
fn failure_is_told_as_json_where_the_answer_would_be() {
    for command in ["status", "audit", "frontier", "migrate", "run --until-end"] {
        for (url, code, word) in [
            ("mysql://h/x", 64, "is no PostgreSQL URL"),
            ("postgres://a@nowhere.invalid/x", 69, "nowhere.invalid:5432/x"),
        ] {
            // These wait for a server.
            if ["migrate", "run --until-end"].contains(&command) && code == 69 {
                continue;
            }
            let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
            let failed = Hitstream::new(&arguments).env("POSTGRES_URL", url).finish();
            assert_eq!((failed.code, failed.stderr.as_str()), (Some(code), ""), "{failed}");
            let error = failed.json();
            assert!(error["error"].as_str().is_some_and(|text| text.contains(word)), "{failed}");
        }
    }
}

#[test]
fn empty_variable_is_remarked_on_in_the_log() {
    // No file is there: the command ends before it connects.
    let finished = Hitstream::new(&["import", "/missing"]).env("KAFKA_URL", "").finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    let remark = "variable KAFKA_URL is set but empty; it counts as not set";
    assert_eq!(finished.stderr.matches(remark).count(), 1, "{finished}");
}

#[test]
fn summary_says_what_this_run_did_and_a_second_one_does_nothing() {
    let Some(bench) = Bench::new("summary") else { return };
    bench.create_topic(2);
    let hit = |second: i64| Hit::at(second).host("h").record();
    let sanitised = (Some(Hit::at(2).host("a\0b").json()), None);
    bench.send(0, &[hit(900), hit(0), (None, None), sanitised]);
    bench.send(1, &[hit(0), (Some(b"no hit".to_vec()), None)]);
    let summary = bench.done(&["run", "--until-end", "--json"]).json();
    for (name, value) in [
        ("records", 6),
        ("accepted", 4),
        ("rejected", 2),
        ("sanitised", 1),
        ("counted", 2),
        ("late", 2),
        ("skipped", 0),
    ] {
        assert_eq!(summary[name], value, "{name}: {summary}");
    }
    assert_eq!(
        (&summary["topic"], &summary["reached_end"]),
        (&bench.topic.as_str().into(), &true.into())
    );
    assert!(summary["commits"].as_i64() >= Some(1), "{summary}");

    let rows = "SELECT sum(num_hits)::bigint FROM (SELECT num_hits FROM live_web_traffic UNION ALL \
         SELECT num_hits FROM late_web_traffic UNION ALL SELECT 1 FROM processed_events UNION ALL \
         SELECT 1 FROM rejected_events) r";
    let before = bench.count(rows);
    let again = bench.done(&["run", "--until-end"]);
    assert!(again.stdout.starts_with("0 records of "), "{again}");
    assert_eq!((before, bench.count(rows)), (10, 10));
    // What comes later is added by the next.
    bench.send(1, &[hit(1)]);
    let third = bench.done(&["run", "--until-end", "--json"]).json();
    assert_eq!((&third["records"], &third["commits"]), (&1.into(), &1.into()));
    bench.clean_audit();
}

fn records(bench: &Bench) -> i64 {
    let query = "SELECT coalesce(sum(records), 0)::bigint FROM partition_progress";
    bench.sql().query_one(query, &[]).map_or(0, |row| row.get(0))
}

/// A running pipeline that has committed something.
fn running(bench: &Bench) -> Running {
    bench.create_topic(2);
    bench.send(0, &[Hit::at(0).record()]);
    let running = bench.hitstream(&["run"]).start();
    wait_until("first commit", || records(bench) == 1);
    running
}

#[test]
fn signal_ends_an_endless_run_with_everything_committed() {
    for signal in ["TERM", "INT"] {
        let Some(bench) = Bench::new("signal") else { return };
        // By itself an epoch would end long after the signal.
        let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "3s");
        let mut running = running(&bench);
        let more: Vec<_> = (0..500).map(|at| Hit::at(at % 60).host("h").record()).collect();
        bench.send(0, &more);
        bench.send(1, &more);
        running.run_for(Duration::from_millis(700));
        running.signal(signal);
        let begin = Instant::now();
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{finished}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}: {finished}", begin.elapsed());
        assert_eq!(records(&bench), 1_001, "{finished}");
        bench.clean_audit();
    }
}

/// Sends hits that cannot be committed as long as the returned connection holds its lock, and a signal.
fn stuck(bench: &Bench, running: &Running) -> postgres::Client {
    let mut sql = bench.sql();
    sql.batch_execute("BEGIN; LOCK TABLE open_web_traffic IN ACCESS EXCLUSIVE MODE").unwrap();
    bench.send(1, &[Hit::at(0).record()]);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the commit waits", || bench.count(waits) > 0);
    running.signal("TERM");
    sql
}

#[test]
fn second_signal_ends_at_once() {
    let Some(bench) = Bench::new("second_signal") else { return };
    let mut running = running(&bench);
    let lock = stuck(&bench, &running);
    running.run_for(Duration::from_secs(1));
    running.signal("TERM");
    let begin = Instant::now();
    let finished = running.finish();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}: {finished}", begin.elapsed());
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("stopped at once"), "{finished}");
    drop(lock);
    bench.run_until_end();
    assert_eq!(records(&bench), 2);
}

#[test]
fn shutdown_ends_at_its_timeout_where_nothing_can_be_committed() {
    let Some(bench) = Bench::new("shutdown") else { return };
    let bench = bench.with("HITSTREAM_SHUTDOWN__TIMEOUT", "1s");
    let running = running(&bench);
    let lock = stuck(&bench, &running);
    let begin = Instant::now();
    let finished = running.finish();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}: {finished}", begin.elapsed());
    assert!(finished.stderr.contains("not committed in time"), "{finished}");
    drop(lock);
    bench.run_until_end();
    assert_eq!(records(&bench), 2);
}

#[test]
fn run_waits_for_a_topic_that_is_created_later() {
    let Some(bench) = Bench::new("later_topic") else { return };
    let bench =
        bench.with("HITSTREAM_KAFKA__PROPERTIES__TOPIC_METADATA_REFRESH_INTERVAL_MS", "500");
    let mut running = bench.hitstream(&["run"]).start();
    running.run_for(Duration::from_millis(500));
    bench.create_topic(1);
    bench.send(0, &[Hit::at(0).record()]);
    wait_until("it is found", || records(&bench) == 1);
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn log_lines_tell_actor_and_epoch_and_levels_go_by_module() {
    let Some(bench) = Bench::new("log_spans") else { return };
    bench.create_topic(1);
    bench.send(0, &[Hit::at(0).host("h").record()]);
    let bench = bench.with("HITSTREAM_LOG__LEVEL", "warn,hitstream_actors::writer=debug");
    let ended = bench.done(&["run", "--until-end"]);
    let span = ended.logged("epoch committed", "span");
    assert_eq!(span["name"], "Writer", "{ended}");
    assert!(span["epoch"].is_u64(), "{ended}");
    assert!(!ended.stderr.contains("pipeline started"), "that is said at info: {ended}");
}

#[test]
fn log_lines_tell_their_span_once_and_the_partition_that_they_are_about() {
    let Some(bench) = Bench::new("log_partition") else { return };
    bench.create_topic(2);
    let bench = bench.with("HITSTREAM_LOG__LEVEL", "info,hitstream_actors=debug");
    // An actor of each kind that a batch passes dies of it, once.
    let points =
        ["consumer::before_batch", "consumer::before_cut", "enricher::events", "shard::hits"];
    let mut panics = 0;
    for point in points {
        let faults = format!("{point}=1*panic->off");
        for partition in 0..2 {
            bench.send(partition, &[Hit::at(1).host("h").record()]);
        }
        let ended = bench.hitstream(&["run", "--until-end"]).env("FAILPOINTS", &faults).finish();
        assert_eq!(ended.code, Some(0), "{ended}");
        let lines: Vec<serde_json::Value> =
            ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        for line in &lines {
            assert!(line.get("spans").is_none(), "it tells its span twice: {line}");
            let said = line["message"].as_str().unwrap();
            let partition = [&line["partition"], &line["span"]["partition"]];
            let partition = partition.into_iter().find_map(|told| told.as_str());
            let is_about_one = ["reading", "taking a partition up", "an actor died at partition"]
                .iter()
                .any(|words| said.starts_with(words));
            let is_panic =
                said.contains(&format!("failpoint {point} panic")) && line.get("thread").is_some();
            if is_about_one || is_panic {
                assert!(matches!(partition, Some("0" | "1")), "it tells no partition: {line}");
            }
            if is_panic {
                panics += 1;
                assert!(line["span"]["epoch"].is_u64(), "{line}");
            }
        }
        assert!(lines.iter().any(|line| line["message"] == "reading"), "{ended}");
    }
    assert_eq!(panics, points.len(), "each is told of once");
}
