//! IP2Location.io as the whole pipeline uses it, played by a server that remembers what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::support::Bench;
use crate::support::hit::{Hit, noise};
use crate::support::http::{address, value};
use crate::support::ip2location::{Ip2LocationServer, Reply, Seen};
use crate::support::process::wait_until;

/// Found in nothing that the process writes.
const CANARY: &str = "canary-5f3a91c07e";

/// A bench that asks this server alone.
fn bench(name: &str, server: &Ip2LocationServer) -> Option<Bench> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_ENRICH__PROVIDERS", "ip2location")
        .with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", server.base_url())
        .with("IP_CODING_KEY", CANARY)
        .with("HITSTREAM_ENRICH__DEADLINE", "20s")
        // Half of it is as long as an epoch may wait.
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "45000");
    bench.create_topic(1);
    Some(bench)
}

fn hits(addresses: &[impl AsRef<str>]) -> Vec<crate::support::hit::Sendable> {
    addresses.iter().map(|ip| Hit::at(1).host("h").with("ip", ip.as_ref()).record()).collect()
}

/// A service that gives the one reply until the switch is off, and the other from then on.
fn away_at_first(away: Reply, back: Reply) -> (Ip2LocationServer, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(true));
    let switch = is_away.clone();
    let reply = move |_: &Seen| if switch.load(SeqCst) { away.clone() } else { back.clone() };
    (Ip2LocationServer::start(reply), is_away)
}

/// `ip source status country` of each event.
fn places(bench: &Bench) -> Vec<String> {
    let query = "SELECT concat_ws(' ', ip, geo_source, geo_status, country_code) FROM processed_events ORDER BY \"offset\"";
    bench.sql().query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn by_last_digit(seen: &Seen) -> Reply {
    if seen.ip.ends_with('1') { Reply::located("SE") } else { Reply::located("BR") }
}

#[test]
fn address_is_asked_about_once_and_not_again_by_the_next_process() {
    let server = Ip2LocationServer::start(by_last_digit);
    let Some(bench) = bench("geo_once", &server) else { return };
    bench.send(0, &hits(&["8.8.8.1", "8.8.8.2", "8.8.8.1", "10.0.0.1", "::ffff:8.8.8.1"]));
    bench.run_until_end();
    let expected = [
        "8.8.8.1 ip2location SE",
        "8.8.8.2 ip2location BR",
        "8.8.8.1 ip2location SE",
        "10.0.0.1 private",
        "::ffff:8.8.8.1 ip2location SE",
    ];
    assert_eq!(places(&bench), expected);
    bench.send(0, &hits(&["8.8.8.2", "8.8.8.1"]));
    bench.run_until_end();
    assert_eq!(places(&bench)[5..], ["8.8.8.2 ip2location BR", "8.8.8.1 ip2location SE"]);
    let counts = server.counts();
    assert_eq!((counts.len(), counts["8.8.8.1"], counts["8.8.8.2"]), (2, 1, 1), "{counts:?}");
    assert!(server.seen().iter().all(|seen| seen.key.as_deref() == Some(CANARY)));
    let by_country = "SELECT string_agg(concat(country_code, num_hits), ' ' ORDER BY country_code) FROM live_web_traffic_by_country";
    let sums: String = bench.sql().query_one(by_country, &[]).unwrap().get(0);
    assert_eq!(sums, "BR2 SE4 1");
}

#[test]
fn commits_go_on_while_somebody_holds_the_table_of_answers() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE"));
    let Some(bench) = bench("geo_held", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__DEADLINE", "200ms")
        .with("HITSTREAM_POSTGRES__POOL_SIZE", 2)
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms");
    bench.send(0, &hits(&["8.8.8.1"]));
    bench.run_until_end();
    let mut sql = bench.sql();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE ip_locations IN ACCESS EXCLUSIVE MODE").unwrap();
    let running = bench.hitstream(&["run"]).start();
    let events = || bench.count("SELECT count(*) FROM processed_events");
    for sent in 0..8 {
        let began = std::time::Instant::now();
        bench.send(0, &hits(&[&format!("8.8.9.{sent}")]));
        wait_until("committed", || events() == 2 + sent);
        // The first one waits for the group as well.
        assert!(sent == 0 || began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    lock.rollback().unwrap();
    running.stop();
}

#[test]
fn answer_that_comes_too_late_for_its_epoch_is_kept_at_the_end() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE").after(Duration::from_secs(1)));
    let Some(bench) = bench("geo_late", &server) else { return };
    let bench = bench.with("HITSTREAM_ENRICH__DEADLINE", "100ms");
    bench.send(0, &hits(&["8.8.8.1", "8.8.8.2"]));
    bench.run_until_end();
    assert_eq!(places(&bench), ["8.8.8.1 timeout", "8.8.8.2 timeout"]);
    assert_eq!(bench.count("SELECT count(*) FROM ip_locations WHERE country_code = 'SE'"), 2);
    // And what was reserved and not used is there for the next run.
    assert_eq!(bench.count("SELECT used FROM geo_budget"), 2);
    bench.send(0, &hits(&["8.8.8.2"]));
    bench.run_until_end();
    assert_eq!((places(&bench)[2].as_str(), server.seen().len()), ("8.8.8.2 ip2location SE", 2));
}

#[test]
fn answer_under_way_when_a_run_is_told_to_stop_is_kept() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE").after(Duration::from_secs(1)));
    let Some(bench) = bench("geo_stopped", &server) else { return };
    let bench = bench.with("HITSTREAM_ENRICH__DEADLINE", "100ms");
    bench.send(0, &hits(&["8.8.8.1"]));
    let running = bench.hitstream(&["run"]).start();
    wait_until("asked", || !server.seen().is_empty());
    running.stop();
    assert_eq!(bench.count("SELECT count(*) FROM ip_locations"), 1);
    assert_eq!(bench.count("SELECT used FROM geo_budget"), 1);
}

#[test]
fn budget_is_not_reset_by_a_restart() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE"));
    let Some(bench) = bench("geo_budget", &server) else { return };
    let bench = bench.with("HITSTREAM_ENRICH__IP2LOCATION__BUDGET", 2);
    for (offset, ip) in ["8.8.8.1", "8.8.8.2", "8.8.8.3"].into_iter().enumerate() {
        bench.send(0, &hits(&[ip]));
        bench.run_until_end();
        let expected = if offset < 2 { "ip2location SE" } else { "quota" };
        assert_eq!(places(&bench)[offset], format!("{ip} {expected}"));
    }
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn outage_costs_an_epoch_its_deadline_and_events_are_repaired_after_it() {
    let (server, is_away) = away_at_first(Reply::Never, Reply::located("SE"));
    let Some(bench) = bench("geo_outage", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__DEADLINE", "200ms")
        .with("HITSTREAM_ENRICH__IP2LOCATION__TIMEOUT", "500ms")
        .with("HITSTREAM_ENRICH__IP2LOCATION__RETRIES", 0)
        .with("HITSTREAM_ENRICH__IP2LOCATION__FAILING_REST", "100ms")
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 100);
    bench.send(0, &hits(&["8.8.8.1", "8.8.8.1", "127.0.0.1"]));
    bench.run_until_end();
    let waiting = places(&bench);
    assert_eq!(waiting, ["8.8.8.1 timeout", "8.8.8.1 timeout", "127.0.0.1 private"]);
    is_away.store(false, SeqCst);
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    // They are counted at its start, and then seldom.
    wait_until("they are counted", || value(&at, "hitstream_geo_waiting_events") == Some(2.0));
    wait_until("repaired", || value(&at, "hitstream_geo_repaired_events_total") == Some(2.0));
    running.stop();
    let repaired = ["8.8.8.1 ip2location SE", "8.8.8.1 ip2location SE", "127.0.0.1 private"];
    assert_eq!(places(&bench), repaired);
    // What was counted stays counted: a final row never changes.
    let nowhere =
        "SELECT sum(num_hits)::bigint FROM live_web_traffic_by_country WHERE country_code IS NULL";
    assert_eq!(bench.count(nowhere), 3);
    bench.clean_audit();
}

#[test]
fn repair_asks_in_the_order_of_the_chain_and_does_without_a_service() {
    let server = Ip2LocationServer::start(|_| Reply::status(500));
    let Some(bench) = bench("geo_chain", &server) else { return };
    let mut bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__RETRIES", 0)
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 100);
    for (ip, chain) in [("8.8.8.8", "database,ip2location"), ("8.8.4.4", "database")] {
        bench.set("HITSTREAM_ENRICH__PROVIDERS", "ip2location");
        bench.send(0, &hits(&[ip]));
        bench.run_until_end();
        let (asked, last) = (server.seen().len(), || places(&bench).pop().unwrap());
        assert_eq!(last(), format!("{ip} error"));
        let running = bench.hitstream(&["run"]).env("HITSTREAM_ENRICH__PROVIDERS", chain).start();
        wait_until("repaired", || last() == format!("{ip} database US"));
        running.stop();
        assert_eq!(server.seen().len(), asked, "the built-in database knows it");
    }
}

#[test]
fn repair_gives_every_address_a_turn_before_any_gets_a_second() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE"));
    let Some(bench) = bench("geo_turns", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__BUDGET", 1)
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 1_000);
    // More than are looked at in 25 rounds, all hotter than the one that can be located without a request: with a rest after
    // each round it would not be met while this test lasts.
    let hotter: Vec<String> =
        (0..2_500).map(|at| format!("8.8.{}.{}", at / 200, at % 200)).collect();
    let visitors: Vec<&str> =
        hotter.iter().chain(&hotter).map(String::as_str).chain(["9.9.9.9"]).collect();
    bench.send(0, &hits(&visitors));
    bench.run_until_end();
    let known = "INSERT INTO ip_locations (ip, country_code, source) VALUES ('9.9.9.9', 'CH', 'ip2location')";
    bench.sql().batch_execute(known).unwrap();
    let running = bench.hitstream(&["run"]).start();
    wait_until("repaired", || places(&bench).last().unwrap() == "9.9.9.9 ip2location CH");
    running.stop();
    assert_eq!(server.seen().len(), 1, "the budget");
}

#[test]
fn outage_counts_against_no_address_that_nobody_was_asked_about() {
    let (server, is_away) = away_at_first(Reply::status(500), Reply::located("SE"));
    let Some(bench) = bench("geo_away", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__RETRIES", 0)
        .with("HITSTREAM_ENRICH__IP2LOCATION__FAILING_REST", "2s")
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 1_000);
    let visitors: Vec<String> = (0..60).map(|last| format!("8.8.8.{last}")).collect();
    bench.send(0, &hits(&visitors));
    bench.run_until_end();
    let before = server.seen().len();
    let mut running =
        bench.hitstream(&["run"]).env("HITSTREAM_LOG__LEVEL", "info,hitstream=debug").start();
    wait_until("all had a turn", || {
        let log = running.stderr();
        log.matches("stored events").count() >= visitors.len() || !running.is_running()
    });
    is_away.store(false, SeqCst);
    let asked = server.seen().len() - before;
    assert!(asked < 30, "{asked} of 60: the breaker lets few through");
    let located = "SELECT count(*) FROM processed_events WHERE country_code = 'SE'";
    // Those that were asked about are left alone for ten minutes.
    wait_until("repaired", || bench.count(located) >= 60 - asked as i64);
    running.stop();
}

#[test]
fn one_instance_repairs_and_no_address_is_asked_for_twice() {
    let slow = Reply::located("SE").after(Duration::from_millis(300));
    let (server, is_away) = away_at_first(Reply::status(500), slow);
    let Some(bench) = bench("geo_repairers", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__RETRIES", 0)
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 100);
    let visitors: Vec<String> = (1..=9).map(|last| format!("8.8.8.{last}")).collect();
    bench.send(0, &hits(&visitors));
    bench.run_until_end();
    let before = server.seen().len();
    is_away.store(false, SeqCst);
    let running: Vec<_> = (0..3).map(|_| bench.hitstream(&["run"]).start()).collect();
    let located = "SELECT count(*) FROM processed_events WHERE country_code = 'SE'";
    wait_until("repaired", || bench.count(located) == 9);
    for running in running {
        running.stop();
    }
    let mut asked: Vec<_> = server.seen().split_off(before).into_iter().map(|s| s.ip).collect();
    asked.sort_unstable();
    assert_eq!(asked, visitors);
}

#[test]
fn long_address_is_stored_during_an_outage_and_repaired_after_it() {
    let (server, is_away) = away_at_first(Reply::status(500), Reply::located("SE"));
    let Some(bench) = bench("geo_long", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__RETRIES", 0)
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 100);
    // A zone may be as long as one likes; an index of PostgreSQL takes no text of more than 2.7 kB. What is no address is
    // no address, however long.
    let zone = noise(12_000, 7);
    let long = format!("2001:4860::8888%{zone}");
    bench.send(0, &hits(&[long.as_str(), zone.as_str(), "8.8.8.1"]));
    let audit = bench.run_until_end();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&3.into(), &0.into()));
    let rows = |status: &str| [format!("{long} {status}"), format!("{zone} invalid_ip")];
    assert_eq!(places(&bench)[..2], rows("error"));
    is_away.store(false, SeqCst);
    let running = bench.hitstream(&["run"]).start();
    wait_until("repaired", || places(&bench)[0] != rows("error")[0]);
    running.stop();
    assert_eq!(places(&bench)[..2], rows("ip2location SE"));
    assert!(server.seen().iter().all(|seen| seen.ip.len() < 50), "nobody is told of a zone");
}

#[test]
fn slow_service_is_asked_once_about_an_address_however_many_batches_wait_for_it() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE").after(Duration::from_secs(2)));
    let Some(bench) = bench("geo_slow", &server) else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__IP2LOCATION__TIMEOUT", "20s")
        .with("HITSTREAM_FLUSH__MAX_EVENTS", 200);
    let visitors = ["8.8.8.1", "8.8.8.2", "8.8.8.3"];
    let waiting: Vec<&str> = visitors.into_iter().cycle().take(3_000).collect();
    bench.send(0, &hits(&waiting));
    let audit = bench.run_until_end();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&3_000.into(), &0.into()));
    assert_eq!(
        bench.count("SELECT count(*) FROM processed_events WHERE country_code = 'SE'"),
        3_000
    );
    let counts = server.counts();
    assert!(counts.len() == 3 && counts.values().all(|count| *count == 1), "{counts:?}");
}

#[test]
fn key_is_in_nothing_that_the_process_writes() {
    let server = Ip2LocationServer::start(|seen| match seen.ip.as_str() {
        "8.8.8.1" => Reply::located("SE"),
        "8.8.8.2" => Reply::status(500),
        "8.8.8.3" => Reply::Reset,
        "8.8.8.4" => Reply::CutOff(format!("{{\"key\":\"{CANARY}\"")),
        "8.8.8.5" => Reply::limited("1"),
        _ => Reply::refused(401, seen.key.as_deref()),
    });
    let Some(bench) = bench("geo_canary", &server) else { return };
    let bench =
        bench.with("HITSTREAM_LOG__LEVEL", "trace").with("HITSTREAM_ENRICH__DEADLINE", "5s");
    bench.send(0, &hits(&["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5", "8.8.8.6"]));
    for arguments in [
        &["run", "--until-end"][..],
        &["check"],
        &["check", "--print-config"],
        &["status"],
        &["audit"],
    ] {
        let finished = bench.hitstream(arguments).finish();
        for said in [&finished.stdout, &finished.stderr] {
            assert!(!said.contains(CANARY), "{arguments:?}: {finished}");
        }
    }
    assert!(server.seen().iter().any(|seen| seen.key.as_deref() == Some(CANARY)));
    let bad = bench.with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", "not a url");
    let finished = bad.hitstream(&["run", "--until-end"]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(!finished.stderr.contains(CANARY), "{finished}");
}

#[test]
fn check_asks_the_service_once() {
    let server = Ip2LocationServer::start(|seen| match seen.before {
        0 => Reply::located("US"),
        1 => Reply::refused(401, None),
        2 => Reply::limited("60"),
        3 => Reply::status(503),
        4 => Reply::Answer(302, vec!["Location: http://localhost:1/".to_owned()], String::new()),
        5 => Reply::json("<html>"),
        6 => Reply::CutOff(r#"{"country_code":"US""#.to_owned()),
        _ => Reply::Reset,
    });
    let Some(bench) = bench("geo_check", &server) else { return };
    for (times, result, word) in [
        (1, "ok", "answers"),
        (2, "warn", "refuses the key"),
        (3, "warn", "too many requests and wants none for 60 s"),
        (4, "warn", "fails with HTTP status 503"),
        (5, "warn", "sends requests elsewhere (HTTP status 302)"),
        (6, "warn", "no answer of IP2Location.io"),
        (7, "warn", "breaks off its answer: "),
        (8, "warn", "out of reach: "),
    ] {
        let finished = bench.done(&["check", "--json"]);
        let checks = finished.json()["checks"].clone();
        let geo = checks.as_array().unwrap().iter().find(|check| check["check"] == "geo").unwrap();
        assert_eq!(geo["result"], result, "{geo}");
        assert!(geo["detail"].as_str().unwrap().contains(word), "{geo}");
        assert_eq!(server.seen().len(), times);
    }
}
