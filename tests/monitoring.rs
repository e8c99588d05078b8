//! What watches the pipeline, tried on it: every query of every dashboard against a Prometheus and the PostgreSQL of a run.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Bench;
use crate::support::http::{address, get};
use crate::support::monitoring::{Prometheus, SCRIPT};
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
