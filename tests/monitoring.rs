//! What watches the pipeline, tried on it: every query of every dashboard against a Prometheus and the PostgreSQL of a run.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Bench;
use crate::support::http::{address, get};
use crate::support::monitoring::{Alertmanager, Prometheus, SCRIPT};
use crate::support::process::wait_until;
use crate::support::traffic::committed;

const PATIENCE: Duration = Duration::from_secs(60);
/// Rates want samples, and rules samples of those.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn every_query_of_the_dashboards_is_answered_by_the_live_pipeline() {
    let Some(bench) = Bench::new("monitoring") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "200ms");
    bench.create_topic(3);
    // Of the last half hour, so that windows are final; late hits, and records that are none, among them.
    let past = ["--count", "20000", "--step", "90ms", "--late", "2%", "--malformed", "2%"];
    bench.done(&[&["generate"], &past[..]].concat());
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    let Some(prometheus) = Prometheus::start(&at) else { return };
    wait_until("it counts", PATIENCE, || committed(&bench) == 20_000);
    let live = ["--rate", "200", "--late", "2%", "--malformed", "2%"];
    let traffic = bench.hitstream(&[&["generate"], &live[..]].concat()).start();
    // Each query is asked; those of a first try may be too early for what is looked at now and then.
    let begin = Instant::now();
    loop {
        let asked = Command::new(SCRIPT)
            .args(["live", &prometheus.url(), &bench.database_url()])
            .output()
            .unwrap();
        if asked.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(begin.elapsed() < ANSWERED_WITHIN, "{said}{}", get(&at, "/metrics").body);
    }
    traffic.stop();
    running.stop();
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
    wait_until("each is judged", PATIENCE, || {
        alertmanager.alerts("--inhibited") == follows && alertmanager.alerts("--active") == told
    });
    // Where no instance works, that explains the whole pipeline; and what is wrong at each explains that.
    fire("NoInstanceReady", &[]);
    fire("KafkaAway", &b);
    let told = ["HitstreamKafkaAway b:8080", "HitstreamPostgresAway a:8080"];
    wait_until("each is explained", PATIENCE, || alertmanager.alerts("--active") == told);
}
