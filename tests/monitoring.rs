//! What watches the pipeline, tried on it: every query of every dashboard against a Prometheus and the PostgreSQL of a run.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::readme::{read, root};
use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::http::{address, get, scrape};
use crate::support::ip2location::{Ip2LocationServer, Reply};
use crate::support::mmdb::{Fixture, Value as Place};
use crate::support::monitoring::{Alertmanager, Prometheus, SCRIPT};
use crate::support::process::wait_until;
use crate::support::scratch::Folder;
use crate::support::traffic::committed;

/// Rates want samples, and rules samples of those.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// A pipeline that knows half of all addresses from a file, and asks a service for the others.
fn bench(folder: &Folder, service: &Ip2LocationServer) -> Option<Bench> {
    let database = folder.path("half.mmdb");
    let sweden = Place::Map(vec![("country_code", Place::Text("SE"))]);
    std::fs::write(&database, Fixture::new(4, 24).with("0.0.0.0/1", &sweden).bytes()).unwrap();
    let bench = Bench::new("monitoring")?
        .with("HITSTREAM_FLUSH__INTERVAL", "200ms")
        .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "3s")
        .with("HITSTREAM_ENRICH__PROVIDERS", "database,ip2location")
        .with("HITSTREAM_ENRICH__DATABASE", database.display())
        .with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", service.base_url())
        .with("IP_CODING_KEY", "0123456789");
    bench.create_topic(3);
    Some(bench)
}

/// Two hits that wait in their partition until the frontier has passed them, and one in which text is mended.
fn send_odd_ones(bench: &Bench) {
    bench.send(0, &[Hit::at(0).host("h").record()]);
    bench.send(1, &[Hit::at(3_600).host("h").record()]);
    let frontier = "SELECT (extract(epoch FROM f) * 1000)::bigint FROM frontier WHERE isfinite(f)";
    wait_until("all are idle, and the newest decides", || {
        let moved = bench.sql().query_opt(frontier, &[]).ok().flatten();
        moved.is_some_and(|row| row.get::<_, i64>(0) == crate::support::hit::millis(3_540))
    });
    let diverted = Hit::at(30).host("h").record();
    let sanitised = Hit::at(40).host("h").referrer("a\0b").record();
    bench.send(0, &[diverted, sanitised]);
    wait_until("they are counted", || committed(bench) == 4);
}

/// Runs every query of the dashboards in a folder; none may have nothing to show.
fn ask(prometheus: &Prometheus, bench: &Bench, dashboards: &Path) -> Output {
    let mut live = Command::new(SCRIPT);
    live.args(["live", &prometheus.url(), &bench.database_url()]).arg(dashboards);
    live.env("LIVE_ALL", "1").output().unwrap()
}

#[test]
fn every_query_of_the_dashboards_is_answered_by_the_live_pipeline() {
    let folder = Folder::new();
    let service = Ip2LocationServer::start(|_| Reply::located("BR"));
    let Some(bench) = bench(&folder, &service) else { return };
    let mut running = bench.hitstream(&["run"]).env("FAILPOINTS", DEATH).start();
    let at = address(&mut running);
    // Another one that is kept from its work, for as long as this takes.
    let mut kept = bench.hitstream(&["run"]);
    let mut kept = kept.env("POSTGRES_URL", "postgres://a@127.0.0.1:1/x").start();
    let kept_at = address(&mut kept);
    let Some(prometheus) = Prometheus::start(&[&at, &kept_at]) else { return };
    send_odd_ones(&bench);
    // Of the last half hour, so that windows are final; late hits, and records that are none, among them.
    let past = ["--count", "20000", "--step", "90ms", "--late", "2%", "--malformed", "2%"];
    bench.done(&[&["generate"], &past[..]].concat());
    wait_until("it counts", || committed(&bench) == 20_004);
    let live = ["--rate", "200", "--late", "2%", "--malformed", "2%"];
    let traffic = bench.hitstream(&[&["generate"], &live[..]].concat()).start();
    // Each query is asked; those of a first try may be too early for what is looked at now and then.
    let (begin, dashboards) = (Instant::now(), root().join("grafana/dashboards"));
    loop {
        let asked = ask(&prometheus, &bench, &dashboards);
        if asked.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(begin.elapsed() < ANSWERED_WITHIN, "{said}{}", get(&at, "/metrics").body);
    }
    assert_everything_was_there(&bench, &at);
    assert_planted_faults_are_found(&prometheus, &bench);
    traffic.stop();
    kept.kill();
    running.stop();
}

/// An actor that dies once.
const DEATH: &str = "consumer::after_batch=20*off->1*panic->off";

/// What the panels tell of did happen: a zero would be an answer as well.
fn assert_everything_was_there(bench: &Bench, at: &str) {
    let ledger = |column: &str| {
        bench.count(&format!("SELECT sum({column})::bigint FROM partition_progress"))
    };
    for column in ["rejected", "late", "diverted", "sanitised"] {
        assert!(ledger(column) > 0, "no record was {column}");
    }
    let samples = scrape(at);
    for series in [
        "hitstream_hits_total{outcome=\"late\"}",
        "hitstream_hits_total{outcome=\"diverted\"}",
        "hitstream_actor_deaths_total{actor=\"PartitionConsumer\",cause=\"panic\"}",
        "hitstream_geo_lookups_total{outcome=\"located\",provider=\"database\"}",
        "hitstream_geo_lookups_total{outcome=\"located\",provider=\"ip2location\"}",
        "hitstream_geo_database_loads_total{outcome=\"loaded\"}",
        "hitstream_move_seconds_count",
    ] {
        let found = samples.iter().find(|(name, _)| name == series);
        assert!(found.is_some_and(|(_, value)| *value > 0.0), "{series}: {found:?}");
    }
}

/// Faults in copies of the dashboards, asked of the same servers: each is named with its panel, and nothing else is.
fn assert_planted_faults_are_found(prometheus: &Prometheus, bench: &Bench) {
    let faults = [
        ("pipeline", "Ready", "expr", "sum(rate(", "parse error"),
        ("pipeline", "Last commit", "expr", "hitstream_no_such_thing", "the answer is empty"),
        ("traffic", "Hits", "rawSql", "SELECT nonsense", "column \"nonsense\" does not exist"),
        ("traffic", "Hosts", "rawSql", "SELECT 1 WHERE false", "the answer is empty"),
        ("traffic", "Late hits", "rawSql", "DELETE FROM late_web_traffic", "read-only transaction"),
    ];
    let folder = Folder::new();
    for name in ["pipeline", "traffic"] {
        let text = read(root().join(format!("grafana/dashboards/{name}.json")));
        let mut dashboard: Value = serde_json::from_str(&text).unwrap();
        for (_, title, key, query, _) in faults.iter().filter(|fault| fault.0 == name) {
            let panels = dashboard["panels"].as_array_mut().unwrap();
            let panel = panels.iter_mut().find(|panel| panel["title"] == *title).unwrap();
            panel["targets"][0][key] = Value::from(*query);
        }
        std::fs::write(folder.path(&format!("{name}.json")), dashboard.to_string()).unwrap();
    }
    let asked = ask(prometheus, bench, folder.path("traffic.json").parent().unwrap());
    let said = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{said}");
    let found: Vec<&str> =
        said.lines().filter(|line| line.starts_with("monitoring: error: ")).collect();
    assert_eq!(found.len(), faults.len(), "{said}");
    for (name, title, _, _, words) in faults {
        let panel = format!("monitoring: error: {name} / {title} (A): ");
        let is_it = |line: &&str| line.starts_with(&panel) && line.contains(words);
        assert!(found.iter().any(is_it), "no {panel}… {words}: {said}");
    }
}

#[test]
fn alert_of_one_instance_holds_back_what_follows_there_and_nothing_of_the_others() {
    let Some(alertmanager) = Alertmanager::start() else { return };
    let fire = |name: &str, labels: &[&str]| {
        let name = format!("alertname=Hitstream{name}");
        alertmanager.fire(&[&[name.as_str(), "job=hitstream"], labels].concat());
    };
    let (a, b) = (["instance=a:8080"], ["instance=b:8080"]);
    fire("PostgresAway", &a);
    for name in ["NoCommits", "Backpressure", "LagUnknown"] {
        fire(name, &a);
        fire(name, &b);
    }
    for name in ["LagOld", "FrontierStuck"] {
        fire(name, &["partition=3"]);
    }
    fire("LagGrowing", &[]);
    let follows =
        ["HitstreamBackpressure a:8080", "HitstreamLagUnknown a:8080", "HitstreamNoCommits a:8080"];
    let told = [
        "HitstreamBackpressure b:8080",
        "HitstreamFrontierStuck 3",
        "HitstreamLagGrowing",
        "HitstreamLagOld 3",
        "HitstreamLagUnknown b:8080",
        "HitstreamNoCommits b:8080",
        "HitstreamPostgresAway a:8080",
    ];
    wait_until("each is judged", || {
        alertmanager.alerts("--inhibited") == follows && alertmanager.alerts("--active") == told
    });
    // Where no instance works, that explains the whole pipeline; and what is wrong at each explains that.
    fire("NoInstanceReady", &[]);
    fire("KafkaAway", &b);
    let told = ["HitstreamKafkaAway b:8080", "HitstreamPostgresAway a:8080"];
    wait_until("each is explained", || alertmanager.alerts("--active") == told);
}
