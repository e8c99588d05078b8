//! Rollups by country and city: the countries are those that another reader finds, and they add up to `web_traffic`,
//! whatever the windows, wherever the pipeline is killed, whenever a rollup is switched on.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::support::hit::Hit;
use crate::support::process::wait_until;
use crate::support::random::Random;
use crate::support::rollups::{BY_CITY, BY_COUNTRY, assert_add_up, distinct};
use crate::support::scratch::Folder;
use crate::support::traffic::{Traffic, committed};
use crate::support::{Bench, data, skip};

/// The database that is compiled in.
const EMBEDDED: &[u8] = include_bytes!("../actors/data/iptoasn-country.mmdb.zst");

/// Addresses of two countries in it, and one that has no place.
const ADDRESSES: [&str; 3] = ["109.205.193.128", "185.119.18.128", "10.0.0.1"];

/// How a script ends that cannot get what it needs.
const UNAVAILABLE: i32 = 69;

/// Hits by window start (in seconds since 1970), host and country.
type ByCountry = BTreeMap<(i64, Option<String>, Option<String>), i64>;

/// What MaxMind's reader for Python finds in a log; `None`, with a word, where it cannot be had.
fn by_another_reader(log: &str, host: &str) -> Option<ByCountry> {
    let folder = Folder::new();
    let database = folder.path("country.mmdb");
    let mut file = std::fs::File::create(&database).unwrap();
    zstd::stream::copy_decode(EMBEDDED, &mut file).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/count-countries.sh");
    let mut command = Command::new(script);
    let output = command.args([log, database.to_str().unwrap(), host]).output().unwrap();
    let (answer, said) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
    let said = String::from_utf8_lossy(&said);
    if output.status.code() == Some(UNAVAILABLE) {
        skip(&said);
        return None;
    }
    assert!(output.status.success(), "{}: {said}", output.status);
    let mut counts = ByCountry::new();
    for line in answer.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [start, host, country, hits] = fields[..] else { panic!("{line}") };
        let country = (country != "\\N").then(|| country.to_owned());
        let key = (start.parse().unwrap(), Some(host.to_owned()), country);
        assert_eq!(counts.insert(key, hits.parse().unwrap()), None, "{line}");
    }
    Some(counts)
}

/// What the tables hold, final, open and late together.
fn by_hitstream(bench: &Bench) -> ByCountry {
    let rows = ["live", "late"].map(|kind| {
        format!("SELECT window_start, host, country_code, num_hits FROM {kind}_{BY_COUNTRY}")
    });
    let query = format!(
        "SELECT extract(epoch FROM window_start)::bigint, host, country_code, sum(num_hits)::bigint \
         FROM ({}) all_rows GROUP BY 1, 2, 3",
        rows.join(" UNION ALL ")
    );
    let rows = bench.sql().query(&query, &[]).unwrap();
    rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect()
}

#[test]
fn countries_of_real_logs_are_those_that_another_reader_finds() {
    // The second has names where the first has addresses, and is so disordered that most of it is late.
    let logs = [
        ("elastic_apache.log.gz", "www.semicomplete.com", 50, false),
        ("nasa_1995.log.gz", "www.ksc.nasa.gov", 5, true),
    ];
    for (name, host, least_countries, is_late) in logs {
        let Some(file) = data(name) else { return };
        let file = file.to_str().unwrap();
        let Some(bench) = Bench::new("geo_logs") else { return };
        let bench = bench.with("HITSTREAM_FLUSH__MAX_EVENTS", 1_000);
        let Some(due) = by_another_reader(file, host) else { return };
        let import = ["import", "--create-topic", "--partitions", "3", "--key", "ip"];
        bench.done(&[&import[..], &["--host", host, file]].concat());
        bench.run_until_end();

        let found = by_hitstream(&bench);
        let mut keys = due.keys().chain(found.keys());
        if let Some(key) = keys.find(|key| due.get(key) != found.get(key)) {
            panic!("{name}, {key:?}: {:?} found, {:?} due", found.get(key), due.get(key));
        }
        let [last, open, late] = assert_add_up(&bench, &[BY_COUNTRY]);
        assert!(last > 0 && open > 0 && (late > 0) == is_late, "{name}: {last} {open} {late}");
        assert!(distinct(&bench, BY_COUNTRY, "country_code") >= least_countries, "{name}");
        // Each hit says who located its visitor, or else why nobody did.
        let unsaid = "SELECT count(*) FROM processed_events WHERE geo_source IS DISTINCT FROM \
             CASE WHEN country_code IS NOT NULL THEN 'database' END OR (geo_status IS NULL) = (geo_source IS NULL)";
        assert_eq!(bench.count(unsaid), 0, "{name}");
    }
}

/// Counts synthetic traffic with these settings; both rollups must add up to `web_traffic`.
fn add_up(name: &str, settings: &[(&str, &str)]) -> Option<Bench> {
    let mut bench = Bench::new(name)?
        .with("HITSTREAM_ROLLUPS__BY_CITY", true)
        .with("HITSTREAM_FLUSH__MAX_EVENTS", 2_000);
    for (setting, value) in settings {
        bench.set(setting, value);
    }
    bench.create_topic(3);
    let _traffic = Traffic::send(&bench, &["--count", "20000", "--step", "100ms"]);
    let notes = bench.run_until_end()["notes"].clone();
    assert_eq!(notes, serde_json::json!([]));
    let [last, open, late] = assert_add_up(&bench, &[BY_COUNTRY, BY_CITY]);
    assert!(last > 0 && open > 0 && late > 0, "{last} final, {open} open, {late} late");
    assert!(distinct(&bench, BY_COUNTRY, "country_code") > 20);
    Some(bench)
}

#[test]
fn rollups_add_up_to_web_traffic() {
    let Some(bench) = add_up("geo_sums", &[]) else { return };
    // A database of countries knows no city.
    assert_eq!(distinct(&bench, BY_CITY, "city"), 0);
}

#[test]
fn rollups_add_up_in_sliding_windows() {
    let settings = [("HITSTREAM_WINDOW__SIZE", "5m"), ("HITSTREAM_WINDOW__SLIDE", "100s")];
    let Some(bench) = add_up("geo_sliding", &settings) else { return };
    let pairs = "SELECT (counted + late + refused)::bigint FROM rollup_ledger WHERE rollup = $1";
    let pairs: i64 = bench
        .sql()
        .query(pairs, &[&BY_COUNTRY])
        .unwrap()
        .iter()
        .map(|row| row.get::<_, i64>(0))
        .sum();
    let accepted = bench.count("SELECT sum(accepted)::bigint FROM partition_progress");
    assert_eq!(pairs, 3 * accepted, "each hit is in three windows");
}

#[test]
fn rollups_add_up_where_events_are_not_stored() {
    let Some(bench) = add_up("geo_unstored", &[("HITSTREAM_EVENTS__STORE", "false")]) else {
        return;
    };
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 0);
}

#[test]
fn rollups_add_up_after_kill_9() {
    const KILLS: usize = 6;
    let Some(bench) = Bench::new("geo_kill") else { return };
    let bench = bench
        .with("HITSTREAM_ROLLUPS__BY_CITY", true)
        .with("HITSTREAM_FLUSH__INTERVAL", "50ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "one")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "30000");
    bench.create_topic(3);
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut random = Random::new(20_261_124);
    for _ in 0..KILLS {
        let before = committed(&bench);
        let running = bench.hitstream(&["run"]).start();
        wait_until("a commit", || committed(&bench) > before);
        running.kill_after(Duration::from_millis(random.below(0..400)));
    }
    traffic.settle(&bench);
    assert_add_up(&bench, &[BY_COUNTRY, BY_CITY]);
    assert!(distinct(&bench, BY_COUNTRY, "country_code") > 20);
}

#[test]
fn rollup_that_was_switched_off_for_a_while_is_noted_and_no_fault() {
    let Some(mut bench) = Bench::new("geo_switched") else { return };
    bench.create_topic(1);
    let hits = |seconds: std::ops::Range<usize>| {
        let hit = |at: usize| Hit::at(at as i64).host("h").with("ip", ADDRESSES[at % 3]).record();
        seconds.map(hit).collect::<Vec<_>>()
    };
    let note = |summed: i64, all: i64| {
        serde_json::json!([format!(
            "{BY_COUNTRY}: {summed} of {all} hits: it was not switched on all the time"
        )])
    };
    let summed = "SELECT coalesce(sum(num_hits), 0)::bigint FROM live_web_traffic_by_country";
    bench.send(0, &hits(0..60));
    assert_eq!(bench.run_until_end()["notes"], serde_json::json!([]));
    assert_eq!(bench.count(summed), 60);

    bench.set("HITSTREAM_ROLLUPS__BY_COUNTRY", false);
    bench.send(0, &hits(60..400));
    assert_eq!(bench.run_until_end()["notes"], note(60, 400));
    assert_eq!(bench.count(summed), 60);
    let located = "SELECT count(*) FROM processed_events WHERE country_code IS NOT NULL OR geo_status = 'private'";
    assert_eq!(bench.count(located), 400, "events are located all the same");

    bench.set("HITSTREAM_ROLLUPS__BY_COUNTRY", true);
    bench.send(0, &hits(400..430));
    assert_eq!(bench.run_until_end()["notes"], note(90, 430));
    let by_country = "SELECT string_agg(format('%s %s', country_code, hits), ', ' ORDER BY country_code) \
         FROM (SELECT country_code, sum(num_hits) AS hits FROM live_web_traffic_by_country GROUP BY 1) countries";
    let found: String = bench.sql().query_one(by_country, &[]).unwrap().get(0);
    assert_eq!(found, "AD 30, AT 30,  30");
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM live_web_traffic"), 430);
}
