//! `enrich.database`: files of both forms, replaced while the pipeline runs, broken, missing; and nobody who is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::http::{address, get};
use crate::support::mmdb::{Fixture, Value};
use crate::support::process::{Running, wait_until, wait_within};
use crate::support::rollups::{BY_CITY, BY_COUNTRY, assert_add_up};
use crate::support::scratch::Folder;
use crate::support::traffic::committed;

const SWEDEN: &str = "89.160.20.112";
const AUSTRALIA: &str = "2001:8003::1";
const NOWHERE: &str = "8.8.8.8";
const PRIVATE: &str = "192.168.1.1";
/// Of each row: address, who knew or why nobody did, and the columns.
const LOCATED: &str = "SELECT concat_ws('|', ip, geo_source, geo_status, country_code, country, region, city, latitude, longitude, \
     time_zone, asn, as_name) FROM processed_events ORDER BY \"offset\"";

fn map(entries: Vec<(&'static str, Value)>) -> Value {
    Value::Map(entries)
}

fn names(english: &'static str) -> Value {
    map(vec![("names", map(vec![("de", Value::Text("nein")), ("en", Value::Text(english))]))])
}

/// Two places in MaxMind's form.
fn nested() -> Vec<u8> {
    let place = |city, region, code, latitude, longitude, zone, network| {
        map(vec![
            ("city", names(city)),
            ("country", map(vec![("iso_code", Value::Text(code))])),
            (
                "location",
                map(vec![
                    ("latitude", Value::Double(latitude)),
                    ("longitude", Value::Double(longitude)),
                    ("time_zone", Value::Text(zone)),
                ]),
            ),
            ("subdivisions", Value::Array(vec![names(region)])),
            ("autonomous_system_number", Value::U32(network)),
            ("autonomous_system_organization", Value::Text("A Network")),
        ])
    };
    let sweden = place("Linköping", "Östergötland", "SE", 58.5, 15.5, "Europe/Stockholm", 29_518);
    let australia = place("Brisbane", "Queensland", "AU", -27.5, 153.0, "Australia/Brisbane", 1221);
    both(&sweden, &australia)
}

/// The same places in the form of ip-location-db, which says numbers as text as well.
fn flat() -> Vec<u8> {
    let place = |city, region, code, latitude, longitude, zone, network| {
        map(vec![
            ("city", Value::Text(city)),
            ("country_code", Value::Text(code)),
            ("latitude", Value::Float(latitude)),
            ("longitude", Value::Text(longitude)),
            ("state1", Value::Text(region)),
            ("timezone", Value::Text(zone)),
            ("as_number", Value::Text(network)),
            ("as_name", Value::Text("A Network")),
        ])
    };
    let sweden =
        place("Linköping", "Östergötland", "SE", 58.5, "15.5", "Europe/Stockholm", "AS29518");
    let australia =
        place("Brisbane", "Queensland", "AU", -27.5, "153", "Australia/Brisbane", "1221");
    both(&sweden, &australia)
}

fn both(sweden: &Value, australia: &Value) -> Vec<u8> {
    Fixture::new(6, 28).with("89.160.20.0/24", sweden).with("2001:8003::/32", australia).bytes()
}

/// A database in which the whole of IPv4 is one country.
fn world(code: &'static str) -> Vec<u8> {
    let record = map(vec![("country_code", Value::Text(code))]);
    Fixture::new(4, 24).with("0.0.0.0/1", &record).with("128.0.0.0/1", &record).bytes()
}

/// The same file, with a type that its metadata names in as many letters.
fn called(kind: &[u8; 7], mut file: Vec<u8>) -> Vec<u8> {
    let at = file.windows(7).rposition(|letters| letters == b"Fixture").unwrap();
    file[at..at + 7].copy_from_slice(kind);
    file
}

/// A bench whose database is this file.
fn bench(name: &str, file: &Path) -> Option<Bench> {
    let bench = Bench::new(name)?.with("HITSTREAM_ENRICH__DATABASE", file.display());
    bench.create_topic(1);
    Some(bench)
}

fn hit(second: i64, ip: &str) -> Hit {
    Hit::at(second).host("h").with("ip", ip)
}

fn texts(bench: &Bench, query: &str) -> Vec<String> {
    bench.sql().query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn city_databases_of_both_forms_fill_the_columns_and_the_rollups() {
    for (form, database) in [("nested", nested()), ("flat", flat())] {
        let folder = Folder::new();
        let file = folder.path("city.mmdb");
        std::fs::write(&file, database).unwrap();
        let Some(bench) = bench(form, &file) else { return };
        let bench = bench.with("HITSTREAM_ROLLUPS__BY_CITY", true);
        // As an address of IPv4 may be written as well, and what is no address.
        let mapped = format!("::ffff:{SWEDEN}");
        let visitors = [SWEDEN, AUSTRALIA, &mapped, NOWHERE, PRIVATE, "203.0.113.7", "somebody"];
        let mut hits: Vec<_> = (0..).zip(visitors).map(|(at, ip)| hit(at, ip).record()).collect();
        // One that makes the others' window final, and one that comes too late for it.
        hits.extend([hit(900, SWEDEN).record(), hit(1, AUSTRALIA).record()]);
        hits.push(Hit::at(901).host("h").record());
        bench.send(0, &hits);
        bench.run_until_end();

        let sweden =
            "database|SE|Sweden|Östergötland|Linköping|58.5|15.5|Europe/Stockholm|29518|A Network";
        let australia =
            "database|AU|Australia|Queensland|Brisbane|-27.5|153|Australia/Brisbane|1221|A Network";
        let due = [
            format!("{SWEDEN}|{sweden}"),
            format!("{AUSTRALIA}|{australia}"),
            format!("{mapped}|{sweden}"),
            format!("{NOWHERE}|not_found"),
            format!("{PRIVATE}|private"),
            "203.0.113.7|reserved".to_owned(),
            "somebody|invalid_ip".to_owned(),
            format!("{SWEDEN}|{sweden}"),
            format!("{AUSTRALIA}|{australia}"),
            "invalid_ip".to_owned(),
        ];
        assert_eq!(texts(&bench, LOCATED), due, "{form}");
        let cities = |kind: &str| {
            texts(
                &bench,
                &format!(
                    "SELECT concat_ws('|', host, country_code, region, city, num_hits) FROM {kind}_{BY_CITY} \
                     ORDER BY country_code"
                ),
            )
        };
        let (sweden, australia) = ("h|SE|Östergötland|Linköping", "h|AU|Queensland|Brisbane");
        let last = [format!("{australia}|1"), format!("{sweden}|2"), "h|4".to_owned()];
        assert_eq!(cities("aggregated"), last, "{form}");
        assert_eq!(cities("open"), [format!("{sweden}|1"), "h|1".to_owned()], "{form}");
        assert_eq!(cities("late"), [format!("{australia}|1")], "{form}");
        assert_eq!(assert_add_up(&bench, &[BY_COUNTRY, BY_CITY]), [7, 2, 1], "{form}");
    }
}

/// Puts a file in the place of another, as it should be done.
fn rename_over(file: &Path, bytes: &[u8]) {
    let new = PathBuf::from(format!("{}.new", file.display()));
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Waits until the log has so many lines with these words.
fn wait_for(running: &mut Running, words: &str, times: usize) {
    // Six times as long as between two looks at the file.
    wait_within(words, Duration::from_secs(60), || {
        running.stderr().matches(words).count() == times
    });
}

#[test]
fn database_that_is_replaced_is_taken_up_and_a_broken_one_is_not() {
    let folder = Folder::new();
    let file = folder.path("country.mmdb");
    rename_over(&file, &world("AT"));
    let Some(bench) = bench("geo_replaced", &file) else { return };
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    let owed = "This product includes GeoLite2 Data created by MaxMind, available from https://www.maxmind.com.";
    let mut sent = 0;
    // The same visitors each time: nothing of the old answers may be left in a cache.
    let mut count = |bench: &Bench| {
        let ips = ["8.8.8.8", "1.1.1.1", "9.9.9.9"];
        let hits: Vec<_> = ips.iter().map(|ip| hit(sent, ip).record()).collect();
        bench.send(0, &hits);
        sent += 3;
        wait_until("hits are committed", || committed(bench) == sent);
    };
    let countries = "SELECT DISTINCT ON (event_time) country_code FROM processed_events ORDER BY event_time, country_code";
    let (loaded, kept) =
        ("geolocation database loaded", "the geolocation database stays the one that was loaded");
    count(&bench);
    rename_over(&file, &world("NZ"));
    wait_for(&mut running, loaded, 2);
    count(&bench);
    assert_eq!(texts(&bench, countries), ["AT", "NZ"]);

    let new = world("PE");
    let (half, _) = new.split_at(new.len() / 2);
    for (times, broken) in [(1, half), (2, b"<html>not found</html>")] {
        rename_over(&file, broken);
        wait_for(&mut running, kept, times);
        count(&bench);
    }
    assert_eq!(texts(&bench, countries), ["AT", "NZ", "NZ", "NZ"]);
    assert!(running.stderr().contains(&file.display().to_string()), "the log names the file");

    assert!(!get(&at, "/").body.contains(owed));
    rename_over(&file, &called(b"GeoLite", new));
    wait_for(&mut running, loaded, 3);
    assert!(get(&at, "/").body.contains(owed), "what the licence of the present file asks for");
    count(&bench);
    assert_eq!(texts(&bench, countries), ["AT", "NZ", "NZ", "NZ", "PE"]);
    assert_eq!(bench.count("SELECT count(DISTINCT country_code) FROM processed_events"), 3);
    let finished = running.stop();
    assert_eq!(finished.stderr.matches("pipeline started").count(), 1, "{finished}");
    let rows = format!("SELECT concat(country_code, num_hits) FROM open_{BY_COUNTRY} ORDER BY 1");
    assert_eq!(texts(&bench, &rows), ["AT3", "NZ9", "PE3"]);
    bench.clean_audit();
}

#[test]
fn geo_database_that_cannot_be_used_at_start_is_a_mistake_and_says_what_to_do() {
    let folder = Folder::new();
    let file = folder.path("city.mmdb");
    let path = file.display().to_string();
    let Some(bench) = bench("geo_missing", &file) else { return };
    let assert_refused = |words: &[&str]| {
        for arguments in [&["run"][..], &["run", "--until-end"]] {
            let finished = bench.hitstream(arguments).finish();
            assert_eq!(finished.code, Some(64), "{finished}");
            for word in words.iter().chain([&path.as_str()]) {
                assert!(finished.stderr.contains(word), "no {word:?} in {finished}");
            }
        }
        let checked = bench.hitstream(&["check", "--json"]).finish();
        assert_eq!(checked.code, Some(64), "{checked}");
        let answer = checked.json();
        let geo =
            answer["checks"].as_array().unwrap().iter().find(|c| c["check"] == "geo").unwrap();
        let said = format!("{} {}", geo["detail"], geo["advice"]);
        assert!(geo["result"] == "fail" && said.contains(words[0]), "{geo}");
        assert!(geo["advice"].as_str().unwrap().contains(words[words.len() - 1]), "{geo}");
    };
    assert_refused(&["cannot read the geolocation database", "No such file", "enrich.database"]);
    std::fs::create_dir(&file).unwrap();
    assert_refused(&["cannot read the geolocation database", "not a file", "enrich.database"]);
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, "a text").unwrap();
    assert_refused(&["no geolocation database in MMDB format", "use a country or city database"]);
    // Nothing was done before it was found out.
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(bench.count(tables), 0);
}

#[test]
fn where_nobody_is_asked_hits_say_that_it_is_disabled() {
    let Some(bench) = Bench::new("geo_none") else { return };
    let bench = bench.with("HITSTREAM_ENRICH__PROVIDERS", "none");
    bench.create_topic(1);
    bench.send(0, &[hit(0, SWEDEN).record(), hit(1, PRIVATE).record(), Hit::at(2).record()]);
    bench.run_until_end();
    let due = [&format!("{SWEDEN}|disabled"), &format!("{PRIVATE}|private"), "invalid_ip"];
    assert_eq!(texts(&bench, LOCATED), due);
    assert_eq!(assert_add_up(&bench, &[BY_COUNTRY]), [0, 3, 0]);
    let rows =
        format!("SELECT concat_ws('|', host, country_code, num_hits) FROM open_{BY_COUNTRY}");
    let mut rows = texts(&bench, &rows);
    rows.sort();
    assert_eq!(rows, ["1", "h|2"]);
}

#[test]
fn check_tells_of_a_database_that_knows_no_countries() {
    let folder = Folder::new();
    let file = folder.path("asn.mmdb");
    let network = map(vec![("autonomous_system_number", Value::U32(64_500))]);
    let asn = Fixture::new(4, 24).with("8.8.8.0/24", &network).bytes();
    std::fs::write(&file, called(b"Net-ASN", asn)).unwrap();
    let Some(bench) = bench("geo_asn", &file) else { return };
    let told = bench.done(&["check"]).stdout;
    assert!(told.contains("it knows networks and no countries"), "{told}");
}
