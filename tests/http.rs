//! What an instance says of itself over HTTP, and what `check --health` makes of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::http::{Answer, address, get, request, samples, scrape};
use crate::support::process::{Hitstream, PATIENCE, Running, wait_until, wait_within};
use crate::support::proxy::{Fate, Proxy};
use crate::support::server::Server;
use crate::support::traffic::committed;

const TOKEN: &str = "0123456789abcdef-canary";

/// A topic of two partitions with a hit in each.
fn bench(name: &str) -> Option<Bench> {
    let bench = Bench::new(name)?.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(2);
    for partition in 0..2 {
        bench.send(partition, &[Hit::at(0).host("h").record()]);
    }
    Some(bench)
}

/// Starts an instance and waits until it is ready.
fn ready(bench: &Bench) -> (Running, String) {
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    wait_until("it is ready", || get(&at, "/readyz").status == 200);
    (running, at)
}

/// The reason why a part is not ready; empty where it is.
fn reason(answer: &Answer, part: &str) -> String {
    assert_eq!(answer.status == 200, answer.json()["ready"] == true, "{answer:?}");
    answer.json()["reasons"][part].as_str().unwrap_or_default().to_owned()
}

/// Asks how an instance is: exit code and JSON.
fn health(at: &str, env: &[(&str, &str)]) -> (Option<i32>, Value) {
    let url = format!("http://{at}");
    let mut check = Hitstream::new(&["check", "--health", "--json", "--url", &url]);
    for (name, value) in env {
        check.env(name, value);
    }
    let finished = check.finish();
    assert!(!finished.to_string().contains(TOKEN), "{finished}");
    (finished.code, finished.json())
}

#[test]
fn scrape_of_a_running_instance_is_what_prometheus_reads() {
    let Some(bench) = bench("scrape") else { return };
    let (running, at) = ready(&bench);
    wait_until("it counts", || committed(&bench) == 2);
    let answer = get(&at, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4\r\n"), "{answer:?}");
    let samples = samples(&answer.body);
    let value = |series: &str| {
        let found: Vec<f64> =
            samples.iter().filter(|(name, _)| name == series).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{series}: {}", answer.body);
        found[0]
    };
    assert_eq!(value("hitstream_committed_records_total"), 2.0);
    assert_eq!(value("hitstream_ready"), 1.0);
    assert_eq!(value("hitstream_not_ready{part=\"commits\"}"), 0.0);
    assert_eq!(value("hitstream_partition_lag_records{partition=\"1\"}"), 0.0);
    // What people open, and what probes ask.
    let page = get(&at, "/");
    assert!(page.status == 200 && page.body.contains("href=\"/metrics\""), "{page:?}");
    assert_eq!(
        (get(&at, "/healthz").status, get(&at, "/healthz").json()["alive"].clone()),
        (200, true.into())
    );
    assert!(get(&at, "/readyz").json()["last_commit_seconds"].as_f64() < Some(60.0));
    for path in ["/", "/metrics", "/healthz", "/readyz"] {
        let head = request(&at, &format!("HEAD {path}"), &[]);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    assert_eq!(get(&at, "/absent").status, 404);
    assert!(get(&at, "/absent").json()["error"].is_string());
    let (code, json) = health(&at, &[]);
    assert_eq!((code, &json["ready"], &json["alive"]), (Some(0), &true.into(), &true.into()));
    running.stop();
    assert_eq!(health(&at, &[]).0, Some(69), "nobody is there any more");
}

/// Whether anything is told of lag.
fn has_lag(scraped: &[(String, f64)]) -> bool {
    scraped
        .iter()
        .any(|(series, _)| series.contains("_lag_records") || series.contains("_lag_seconds"))
}

#[test]
fn instance_is_not_ready_while_postgresql_is_away_and_says_why() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("http_away", None, Some(&postgres)) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(2);
    postgres.kill("QUIT");
    // It answers before there is anything to be connected to.
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    wait_until("why it waits", || reason(&get(&at, "/readyz"), "postgres").contains("refused"));
    assert_eq!(get(&at, "/healthz").status, 200);
    let scraped = scrape(&at);
    assert!(scraped.contains(&("hitstream_ready".to_owned(), 0.0)), "{scraped:?}");
    let unknown = ("hitstream_lag_unknown".to_owned(), 1.0);
    assert!(scraped.contains(&unknown) && !has_lag(&scraped), "{scraped:?}");
    let waits = "hitstream_not_ready{part=\"postgres\"}".to_owned();
    assert!(scraped.contains(&(waits, 1.0)), "{scraped:?}");
    let (code, json) = health(&at, &[]);
    assert_eq!((code, &json["ready"]), (Some(1), &false.into()));
    assert!(json["reasons"]["postgres"].as_str().unwrap().contains("refused"), "{json}");
    let told = Hitstream::new(&["check", "--health", "--url", &format!("http://{at}/")]).finish();
    assert!(told.stdout.contains("postgres  fail") && told.stdout.contains("not ready"), "{told}");
    postgres.start_again();
    wait_until("it is ready", || get(&at, "/readyz").status == 200);
    postgres.kill("QUIT");
    wait_until("it notices", || !reason(&get(&at, "/readyz"), "postgres").is_empty());
    postgres.start_again();
    wait_until("it is ready again", || get(&at, "/readyz").status == 200);
    running.stop();
}

#[test]
fn commits_that_do_not_follow_are_a_reason_while_records_wait() {
    let Some(mut bench) = bench("http_stall") else { return };
    let proxy = Proxy::start(bench.postgres_address());
    let through = bench.database_url().replace(&bench.postgres_address(), proxy.address());
    let direct = bench.database_url();
    bench.set("POSTGRES_URL", through);
    bench.set("HITSTREAM_HEALTH__STALL", "2s");
    bench.set("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "10m");
    let (running, at) = ready(&bench);
    wait_until("it counts", || committed(&bench) == 2);
    // Nothing comes, and nothing is committed: that is no stall.
    let begin = Instant::now();
    wait_until("the limit passes", || {
        assert_eq!(get(&at, "/readyz").status, 200);
        begin.elapsed() > Duration::from_secs(3)
    });
    proxy.plan(&[Fate::HoldRequest]);
    bench.send(0, &[Hit::at(1).host("h").record()]);
    assert!(proxy.wait_for_hold(PATIENCE));
    // Longer, and the commit itself would be missed.
    wait_within("it is noticed", Duration::from_secs(8), || {
        reason(&get(&at, "/readyz"), "commits").contains("partition 0")
    });
    let (code, json) = health(&at, &[]);
    assert_eq!(code, Some(1), "{json}");
    assert_eq!(json["lag_records"], 1, "{json}");
    assert!(json["reasons"].as_object().unwrap().len() == 1, "{json}");
    proxy.release(true);
    wait_until("it is ready again", || get(&at, "/readyz").status == 200);
    let ended = running.stop();
    assert!(ended.stderr.contains("nothing of partition 0 is committed for"), "{ended}");
    bench.set("POSTGRES_URL", direct);
}

#[test]
fn marker_of_a_transaction_at_the_end_is_no_stall() {
    let Some(bench) = bench("http_marker") else { return };
    let bench = bench.with("HITSTREAM_HEALTH__STALL", "1s");
    bench.send_in_transaction(0, &[Hit::at(1).host("h").record()]);
    let (running, at) = ready(&bench);
    wait_until("it counts", || committed(&bench) >= 3);
    let begin = Instant::now();
    wait_until("the limit passes", || {
        let answer = get(&at, "/readyz");
        assert_eq!(answer.status, 200, "{answer:?}");
        begin.elapsed() > Duration::from_secs(4)
    });
    running.stop();
}

#[test]
fn health_is_told_at_once_whoever_else_holds_connections() {
    let Some(bench) = bench("http_idle") else { return };
    let (running, at) = ready(&bench);
    let connect = || {
        let stream = TcpStream::connect(&at).unwrap();
        // Six times as long as a head may take.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    // The first half say nothing at all, the others begin a head and never end it.
    let mut held: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    for slow in &mut held[100..] {
        drop(slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: "));
    }
    for _ in 0..20 {
        let mut probe = connect();
        // As impatient as a container's health check.
        probe.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    // All of them are closed in the end, made room or not.
    for (i, stream) in held.iter_mut().enumerate() {
        let ended = stream.read(&mut [0]);
        let kept = matches!(&ended, Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()));
        assert!(!kept && !matches!(ended, Ok(1..)), "connection {i}: {ended:?}");
    }
    assert_eq!(get(&at, "/readyz").status, 200);
    running.stop();
}

#[test]
fn token_is_wanted_and_never_shown() {
    let Some(bench) = bench("http_token") else { return };
    let bench = bench.with("HITSTREAM_HTTP__TOKEN", TOKEN);
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for path in ["/", "/metrics", "/readyz", "/absent"] {
        let refused = get(&at, path);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    }
    assert_eq!(request(&at, "GET /metrics", &[&bearer]).status, 200);
    assert_eq!(get(&at, "/healthz").status, 200);
    wait_until("it is ready", || health(&at, &[("HITSTREAM_HTTP__TOKEN", TOKEN)]).0 == Some(0));
    let (code, json) = health(&at, &[]);
    assert_eq!(code, Some(64));
    assert!(json["error"].as_str().unwrap().contains("HITSTREAM_HTTP__TOKEN"), "{json}");
    let ended = running.stop();
    assert!(!ended.to_string().contains(TOKEN), "{ended}");
    let printed = bench.hitstream(&["--print-config"]).finish();
    assert!(
        printed.stdout.contains("token = \"***\"") && !printed.stdout.contains(TOKEN),
        "{printed}"
    );
}

#[test]
fn port_that_is_taken_is_named_before_anything_else_is_tried() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // Nobody is at the services, which would be waited for.
    let mut run = Hitstream::new(&["run"]);
    run.env("KAFKA_URL", "127.0.0.1:1").env("POSTGRES_URL", "postgres://127.0.0.1:1/x");
    let finished = run.env("HITSTREAM_HTTP__LISTEN", &address).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    for words in
        [&format!("http.listen = \"{address}\""), "another program listens there", "port 0"]
    {
        assert!(finished.stderr.contains(words), "{finished}");
    }
}

#[test]
fn run_to_an_end_serves_nothing_unless_it_is_told_to() {
    let Some(mut bench) = bench("http_end") else { return };
    let until_end = ["run", "--until-end"];
    bench.unset("HITSTREAM_HTTP__LISTEN");
    let finished = bench.done(&until_end);
    assert!(!finished.stderr.contains("serving HTTP"), "{finished}");
    bench.set("HITSTREAM_HTTP__LISTEN", "127.0.0.1:0");
    let finished = bench.done(&until_end);
    assert!(finished.stderr.contains("serving HTTP"), "{finished}");
    bench.set("HITSTREAM_HTTP__LISTEN", "off");
    let finished = bench.done(&until_end);
    assert!(!finished.stderr.contains("serving HTTP"), "{finished}");
}
