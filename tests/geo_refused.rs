//! Places that PostgreSQL does not take: hits there are kept and counted without them, and nothing is rejected for what was
//! added to it.

use crate::support::Bench;
use crate::support::hit::{Hit, Sendable};
use crate::support::ip2location::{Ip2LocationServer, Reply};
use crate::support::mmdb::{Fixture, Value};
use crate::support::process::{Finished, wait_until};
use crate::support::rollups::{BY_CITY, BY_COUNTRY, assert_add_up};
use crate::support::scratch::Folder;

/// Its city is in every encoding.
const COLOGNE: &str = "1.1.1.1";
/// Two addresses of a city that LATIN1 cannot write.
const LODZ: [&str; 2] = ["201.1.1.1", "201.1.2.2"];

/// Half of IPv4 is in Cologne, and the other half in Łódź.
fn cities(folder: &Folder) -> String {
    let place = |code, city| {
        Value::Map(vec![("country_code", Value::Text(code)), ("city", Value::Text(city))])
    };
    let (cologne, lodz) = (place("DE", "Köln"), place("PL", "Łódź"));
    let database = Fixture::new(4, 24).with("0.0.0.0/1", &cologne).with("128.0.0.0/1", &lodz);
    let file = folder.path("city.mmdb");
    std::fs::write(&file, database.bytes()).unwrap();
    file.display().to_string()
}

fn hit(second: i64, ip: &str) -> Hit {
    Hit::at(second).host("h").with("ip", ip)
}

fn texts(bench: &Bench, query: &str) -> Vec<String> {
    bench.sql().query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Runs to the end; all must be accounted for, and nothing may be left out of a rollup.
fn run(bench: &Bench, accepted: i64, rejected: i64) -> Finished {
    let finished = bench.done(&["run", "--until-end"]);
    let audit = bench.clean_audit();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&accepted.into(), &rejected.into()));
    assert_eq!(audit["notes"], serde_json::json!([]), "{finished}");
    finished
}

#[test]
fn city_that_the_databases_encoding_cannot_hold_costs_its_hits_their_place_only() {
    let folder = Folder::new();
    let Some(bench) = Bench::in_encoding("geo_latin", "LATIN1") else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__DATABASE", cities(&folder))
        .with("HITSTREAM_ROLLUPS__BY_CITY", true)
        // Many epochs: what is learnt of the first is known in all others.
        .with("HITSTREAM_FLUSH__MAX_EVENTS", 50);
    bench.create_topic(1);
    let ip = |at: i64| if at % 2 == 0 { COLOGNE } else { LODZ[(at / 2 % 2) as usize] };
    let mut hits: Vec<Sendable> = (0..1_000).map(|at| hit(at % 60, ip(at)).record()).collect();
    // This one is at fault itself, wherever it is from.
    hits[501] = hit(1, LODZ[0]).url("/日本").record();
    bench.send(0, &hits);
    let finished = run(&bench, 999, 1);
    assert!(finished.stderr.contains("refuses events for their places"), "{finished}");
    let generations = finished.stderr.matches("pipeline started").count();
    assert!((2..=5).contains(&generations), "{generations} generations: {finished}");

    let places = "SELECT concat_ws('|', geo_source, geo_status, country_code, country, city, count(*)) FROM processed_events \
         GROUP BY geo_source, geo_status, country_code, country, city ORDER BY 1";
    assert_eq!(texts(&bench, places), ["database|DE|Germany|Köln|500", "error|499"]);
    let cities = format!(
        "SELECT concat_ws('|', country_code, city, num_hits) FROM open_{BY_CITY} ORDER BY 1"
    );
    assert_eq!(texts(&bench, &cities), ["499", "DE|Köln|500"]);
    assert_eq!(assert_add_up(&bench, &[BY_COUNTRY, BY_CITY]), [0, 999, 0]);
    let rejected = "SELECT concat_ws('|', reason, \"offset\", detail LIKE '%0xe6 0x97 0xa5%') FROM rejected_events";
    assert_eq!(texts(&bench, rejected), ["refused|501|t"], "with words about itself");
}

#[test]
fn place_that_a_constraint_forbids_costs_its_hits_their_place_only() {
    let Some(bench) = Bench::new("geo_forbidden") else { return };
    bench.create_topic(1);
    bench.done(&["migrate"]);
    let ddl = "ALTER TABLE processed_events ADD CONSTRAINT no_at CHECK (country_code <> 'AT'), \
         ADD CONSTRAINT nothing_private CHECK (geo_status IS DISTINCT FROM 'private')";
    bench.sql().batch_execute(ddl).unwrap();
    // Of Austria, Andorra, and nowhere in particular.
    let visitors = ["185.119.18.128", "109.205.193.128", "10.0.0.1"];
    let hits: Vec<_> = (0..).zip(visitors).map(|(at, ip)| hit(at, ip).record()).collect();
    bench.send(0, &hits);
    run(&bench, 2, 1);
    let rows = "SELECT concat_ws('|', ip, geo_source, geo_status, country_code) FROM processed_events ORDER BY 1";
    assert_eq!(texts(&bench, rows), ["109.205.193.128|database|AD", "185.119.18.128|error"]);
    // Where nobody knew a place there is none to leave out: that record is at fault itself.
    assert_eq!(bench.count("SELECT \"offset\" FROM rejected_events WHERE reason = 'refused'"), 2);
}

#[test]
fn addresses_that_cannot_be_repaired_keep_no_other_waiting() {
    let server = Ip2LocationServer::start(|seen| match seen.ip.as_str() {
        "8.8.8.1" => Reply::json(r#"{"country_code":"PL","city_name":"Łódź"}"#),
        "8.8.8.3" => Reply::located("SE"),
        _ => Reply::Answer(400, Vec::new(), r#"{"error":{"error_code":10001}}"#.to_owned()),
    });
    let Some(bench) = Bench::in_encoding("geo_unrepairable", "LATIN1") else { return };
    let bench = bench
        .with("HITSTREAM_ENRICH__PROVIDERS", "ip2location")
        .with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", server.base_url())
        .with("HITSTREAM_ENRICH__IP2LOCATION__PER_SECOND", 1_000)
        .with("HITSTREAM_ENRICH__REPAIR_PER_SECOND", 1_000)
        .with("HITSTREAM_ENRICH__DEADLINE", "20s")
        // Half of it is as long as an epoch may wait.
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "45000");
    bench.create_topic(1);
    // The hotter ones come first, in repair too: one that cannot be stored, more that the service declines than are
    // looked at in a round, and at last one that can be repaired.
    let visitors = |times: usize| (0..150 * times).map(|at| format!("8.8.9.{}", at % 150));
    let visitors = ["8.8.8.1"; 3].map(str::to_owned).into_iter().chain(visitors(2));
    let visitors = visitors.chain(["8.8.8.3".to_owned()]);
    let hits: Vec<_> = (0..).zip(visitors).map(|(at, ip)| hit(at % 60, &ip).record()).collect();
    bench.send(0, &hits);
    run(&bench, 304, 0);
    let waiting = "UPDATE processed_events SET geo_status = 'timeout', geo_source = NULL, country_code = NULL";
    bench.sql().batch_execute(waiting).unwrap();
    bench.sql().batch_execute("TRUNCATE ip_locations").unwrap();
    let running = bench.hitstream(&["run"]).start();
    let repaired =
        "SELECT count(*) FROM processed_events WHERE ip = '8.8.8.3' AND country_code = 'SE'";
    wait_until("it is repaired", || bench.count(repaired) == 1);
    running.stop();
    let others = "SELECT count(*) FROM processed_events WHERE geo_status = 'timeout' AND country_code IS NULL";
    assert_eq!(bench.count(others), 303);
}
