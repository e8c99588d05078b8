//! What is measured is what the tables say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::Bench;
use crate::support::hit::{Hit, millis};
use crate::support::http::{address, get, scrape};
use crate::support::monitoring::tool;
use crate::support::process::{Running, wait_until};
use crate::support::traffic::committed;

/// A scrape: series and values.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    fn of(at: &str) -> Self {
        Self(scrape(at).into_iter().collect())
    }

    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0.keys()))
    }

    fn sum(&self, family: &str) -> f64 {
        let of = |series: &str| series.split('{').next() == Some(family);
        self.0.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }
}

/// Hits that are on time and late, known and unknown, and records that are none, in two partitions of three.
fn bench(name: &str) -> Option<Bench> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_FLUSH__INTERVAL", "50ms")
        .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "1h")
        .with("HITSTREAM_ENRICH__PROVIDERS", "database,ip2location")
        // Nobody is there; and nobody is asked, for the database knows.
        .with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", "http://127.0.0.1:9/");
    bench.create_topic(3);
    let hit = |second: i64| Hit::at(second).host("h");
    bench.send(
        0,
        &[
            hit(0).with("ip", "8.8.8.8").record(),
            hit(1).with("ip", "8.8.8.8").record(),
            hit(2).with("ip", "10.0.0.1").record(),
            hit(1_000).record(),
            hit(3).record(), // late
        ],
    );
    let broken = (Some(b"no hit".to_vec()), Some(millis(0)));
    bench.send(1, &[hit(700).record(), broken, hit(701).referrer("r").record()]);
    Some(bench)
}

fn counted(bench: &Bench) -> (Running, String) {
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    wait_until("all is counted", || committed(bench) == 8);
    (running, at)
}

#[test]
fn metrics_say_what_the_tables_say() {
    let Some(bench) = bench("metrics") else { return };
    let (running, at) = counted(&bench);
    let ledger = |column: &str| {
        bench.count(&format!("SELECT sum({column})::bigint FROM partition_progress")) as f64
    };
    // The writer tells of a commit after PostgreSQL does.
    wait_until("it is told", || {
        Scrape::of(&at).value("hitstream_committed_records_total") == ledger("records")
    });
    let scrape = Scrape::of(&at);
    for (series, column) in [
        ("hitstream_accepted_records_total", "accepted"),
        ("hitstream_rejected_records_total{reason=\"invalid_json\"}", "rejected"),
        ("hitstream_stored_events_total", "stored"),
        ("hitstream_hits_total{outcome=\"counted\"}", "counted"),
        ("hitstream_hits_total{outcome=\"late\"}", "late"),
        ("hitstream_hits_total{outcome=\"diverted\"}", "diverted"),
    ] {
        assert_eq!(scrape.value(series), ledger(column), "{series}");
    }
    assert_eq!(scrape.sum("hitstream_rejected_records_total"), 1.0);
    assert_eq!(scrape.value("hitstream_consumed_records_total"), 8.0);
    assert_eq!(scrape.value("hitstream_latency_seconds_count"), 8.0);
    for (table, rows) in [("events", 7.0), ("rejects", 1.0)] {
        let series = format!("hitstream_rows_written_total{{table=\"{table}\"}}");
        assert_eq!(scrape.value(&series), rows);
    }
    // Both looks at an address are counted, the second in the cache.
    for (labels, hits) in [
        (r#"outcome="located",provider="database""#, 1.0),
        (r#"outcome="located",provider="cache""#, 1.0),
        (r#"outcome="private",provider="none""#, 1.0),
        (r#"outcome="invalid_ip",provider="none""#, 4.0),
    ] {
        assert_eq!(scrape.value(&format!("hitstream_geo_lookups_total{{{labels}}}")), hits);
    }
    // What windows go by, and what may wait where.
    for (series, seconds) in [
        ("hitstream_window_size_seconds", 300.0),
        ("hitstream_window_slide_seconds", 300.0),
        ("hitstream_watermark_delay_seconds", 60.0),
        ("hitstream_watermark_idle_timeout_seconds", 3_600.0),
    ] {
        assert_eq!(scrape.value(series), seconds, "{series}");
    }
    assert_eq!(scrape.value("hitstream_undecoded_records_max"), 200_000.0);
    for actor in ["PartitionConsumer", "Enricher", "WindowShard", "Writer", "Ip2Location"] {
        let series = |what| format!("hitstream_mailbox_messages{what}{{actor=\"{actor}\"}}");
        assert!(scrape.value(&series("")) < scrape.value(&series("_max")), "{actor}");
    }
    // Nothing of the budget was reserved.
    assert!(!scrape.0.contains_key("hitstream_ip2location_budget_left"));
    // Partitions: what is committed, how far, and who holds the frontier: the one that is empty.
    assert_eq!(scrape.value("hitstream_assigned_partitions"), 3.0);
    for (partition, next) in [(0, 5.0), (1, 3.0), (2, 0.0)] {
        let series = |what| format!("hitstream_partition_{what}{{partition=\"{partition}\"}}");
        assert_eq!(scrape.value(&series("next_offset")), next);
        assert_eq!(scrape.value(&series("lag_records")), 0.0);
        assert_eq!(scrape.value(&series("lag_seconds")), 0.0);
    }
    wait_until("what is open is counted", || {
        let scrape = Scrape::of(&at);
        let rows = |rollup| format!("SELECT count(*) FROM open_{rollup}");
        ["web_traffic", "web_traffic_by_country"].iter().all(|rollup| {
            let told = scrape.0.get(&format!("hitstream_open_rows{{rollup=\"{rollup}\"}}"));
            told.is_some_and(|told| *told > 0.0 && *told == bench.count(&rows(rollup)) as f64)
        })
    });
    let watermark = "SELECT extract(epoch FROM max(max_event_time) - interval '1 minute')::bigint \
                     FROM partition_progress WHERE partition = 0";
    let watermark = bench.count(watermark) as f64;
    let series = "hitstream_partition_watermark_timestamp_seconds{partition=\"0\"}";
    assert_eq!(scrape.value(series), watermark);
    wait_until("the finalizer has looked", || {
        let scrape = Scrape::of(&at);
        scrape.0.contains_key("hitstream_frontier_holder{partition=\"2\"}")
            && scrape.value("hitstream_newest_watermark_timestamp_seconds") == watermark
    });
    assert_eq!(Scrape::of(&at).sum("hitstream_frontier_holder"), 1.0);
    // With a hit in it the frontier moves, and partition 1 holds it, for its watermark is the least.
    bench.send(2, &[Hit::at(2_000).record()]);
    wait_until("the frontier moves", || {
        Scrape::of(&at).0.contains_key("hitstream_frontier_holder{partition=\"1\"}")
    });
    let frontier = "SELECT extract(epoch FROM f)::bigint FROM frontier";
    wait_until("it is told", || {
        let told = Scrape::of(&at).value("hitstream_frontier_timestamp_seconds");
        told > 0.0 && told == bench.count(frontier) as f64
    });
    wait_until("windows are final", || {
        Scrape::of(&at).value("hitstream_final_windows_total") == 1.0
    });
    assert_eq!(bench.count("SELECT count(DISTINCT window_start) FROM aggregated_web_traffic"), 1);
    running.stop();
}

#[test]
fn every_documented_metric_is_served_and_every_served_one_is_documented() {
    let Some(bench) = bench("documented") else { return };
    // What is not known has no series: it is asked, so that it knows of its budget.
    let bench = bench.with("HITSTREAM_ENRICH__PROVIDERS", "ip2location");
    let (running, at) = counted(&bench);
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md")).unwrap();
    let named = |prefix: &str| -> BTreeSet<String> {
        let words = document.split('`').skip(1).step_by(2);
        words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
    };
    let documented: BTreeSet<String> = &named("hitstream_") | &named("process_");
    assert!(documented.len() > 60, "{documented:?}");
    let served = || -> BTreeSet<String> {
        let body = get(&at, "/metrics").body;
        let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
    };
    wait_until("everything was measured once", || served().is_superset(&documented));
    let unknown: Vec<_> = served().difference(&documented).cloned().collect();
    assert!(unknown.is_empty(), "not in docs/METRICS.md: {unknown:?}");
    // Prometheus' own word on names, types and help.
    let Some(promtool) = tool("promtool") else { return };
    let mut promtool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = get(&at, "/metrics").body;
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    running.stop();
}
