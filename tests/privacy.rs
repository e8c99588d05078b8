//! What is kept of visitors, and who they are behind proxies: looked for in every table and in all that the process writes.

use serde_json::json;

use crate::support::Bench;
use crate::support::hit::{Hit, Sendable};
use crate::support::ip2location::{Ip2LocationServer, Reply};
use crate::support::process::wait_until;

const ADDRESS: &str = "203.0.112.77";
const QUERY: &str = "token-b81c";

/// A hit that names its visitor wherever it can, and a record that is no hit and does so, too.
fn records() -> Vec<Sendable> {
    let headers = json!({
        "Accept": "*/*",
        "X-Forwarded-For": ADDRESS,
        "CF-Connecting-IP": ADDRESS,
        "X-Edge": format!("edge:{ADDRESS}:443"),
        "X-Peer": format!("node{ADDRESS}f"),
        "X-Host": "ec2-203-0-112-77.example",
        ADDRESS: "seen",
    });
    let hit = Hit::at(1)
        .host("h")
        .with("ip", ADDRESS)
        .url(&format!("//me:{QUERY}@h/a?{QUERY}"))
        .referrer(&format!("http://me:{QUERY}@r.example/?{QUERY}"))
        .with("headers", headers.to_string());
    let broken = format!(r#"{{"event_time":"{ADDRESS} {QUERY}","ip":"{ADDRESS}"}}"#).into_bytes();
    vec![hit.record(), hit.later(1).record(), (Some(broken), None)]
}

/// All rows of all tables as text.
fn dump(bench: &Bench) -> String {
    let mut sql = bench.sql();
    let tables = sql
        .query("SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace", &[])
        .unwrap();
    let mut all = String::new();
    for table in tables {
        let table: String = table.get(0);
        let payload =
            if table == "rejected_events" { "convert_from(payload, 'UTF8')" } else { "''" };
        let rows =
            sql.query(&format!("SELECT t::text || coalesce({payload}, '') FROM {table} t"), &[]);
        for row in rows.unwrap() {
            all.push_str(&format!(
                "{table}: {}\n",
                row.get::<_, Option<String>>(0).unwrap_or_default()
            ));
        }
    }
    all
}

fn kept(name: &str, ip: &str) -> Option<(Bench, Vec<Option<String>>, String)> {
    let bench = Bench::new(name)?
        .with("HITSTREAM_PRIVACY__IP", ip)
        .with("HITSTREAM_PRIVACY__STRIP_QUERY", "true")
        .with("HITSTREAM_REJECTS__KEEP_PAYLOAD", "false")
        .with("HITSTREAM_LOG__LEVEL", "trace");
    bench.create_topic(1);
    bench.send(0, &records());
    let finished = bench.done(&["run", "--until-end"]);
    bench.clean_audit();
    let everything = format!("{}\n{}\n{}", dump(&bench), finished.stdout, finished.stderr);
    let rows =
        bench.sql().query("SELECT ip FROM processed_events ORDER BY \"offset\"", &[]).unwrap();
    let kept = rows.iter().map(|row| row.get(0)).collect();
    Some((bench, kept, everything))
}

#[test]
fn neither_address_nor_query_is_anywhere() {
    for mode in ["truncate", "hash", "drop"] {
        let Some((bench, kept, everything)) = kept(&format!("privacy_{mode}"), mode) else {
            return;
        };
        for secret in [ADDRESS, QUERY] {
            let found: Vec<&str> =
                everything.lines().filter(|line| line.contains(secret)).collect();
            assert!(found.is_empty(), "{mode}: {secret} in {found:?}");
        }
        match mode {
            "truncate" => {
                assert_eq!(kept, [Some("203.0.112.0".to_owned()), Some("203.0.112.0".to_owned())])
            }
            "hash" => {
                let hash = kept[0].clone().unwrap();
                assert!(hash.starts_with('h') && hash.len() == 17, "{hash}");
                assert_eq!(kept[1].as_ref(), Some(&hash), "one visitor is one hash");
            }
            _ => assert_eq!(kept, [None, None]),
        }
        let located = "SELECT count(*) FROM processed_events WHERE geo_source = 'database' OR geo_status = 'not_found'";
        assert_eq!(bench.count(located), 2, "{mode}: located before it is gone");
        let stripped = "SELECT count(*) FROM live_web_traffic WHERE referrer = 'http://r.example/' AND num_hits = 2";
        assert_eq!(bench.count(stripped), 1);
        let headers =
            "SELECT count(*) FROM processed_events WHERE headers = '{\"Accept\":\"*/*\"}'";
        assert_eq!(bench.count(headers), 2);
    }
}

#[test]
fn key_of_a_day_is_gone_the_day_after() {
    let Some((bench, kept, _)) = kept("privacy_day", "hash") else { return };
    let mut sql = bench.sql();
    let yesterday = "UPDATE ip_hash_keys SET day = day - 1 RETURNING key";
    let old: Vec<u8> = sql.query_one(yesterday, &[]).unwrap().get(0);
    bench.send(0, &records()[..1]);
    bench.run_until_end();
    let keys = sql.query("SELECT key FROM ip_hash_keys", &[]).unwrap();
    assert_eq!(keys.len(), 1);
    assert_ne!(keys[0].get::<_, Vec<u8>>(0), old);
    let last = "SELECT ip FROM processed_events ORDER BY \"offset\" DESC LIMIT 1";
    let hash: Option<String> = sql.query_one(last, &[]).unwrap().get(0);
    assert!(hash.is_some() && hash != kept[0], "{hash:?} {kept:?}");
}

#[test]
fn key_of_a_former_day_is_not_even_in_the_tables_file() {
    let Some((bench, _, _)) = kept("privacy_file", "hash") else { return };
    let mut sql = bench.sql();
    // A row that is only deleted stays in its file; a file that is replaced is removed.
    let mut file = || -> u32 {
        sql.query_one("SELECT pg_relation_filenode('ip_hash_keys')", &[]).unwrap().get(0)
    };
    let old = file();
    bench.send(0, &records()[..1]);
    bench.run_until_end();
    assert_eq!(file(), old, "the same day has the same file");
    bench.sql().batch_execute("UPDATE ip_hash_keys SET day = day - 1").unwrap();
    bench.send(0, &records()[..1]);
    bench.run_until_end();
    assert_ne!(file(), old);
}

#[test]
fn tables_that_a_change_of_settings_forbids_are_emptied_at_start() {
    let server = Ip2LocationServer::start(|_| Reply::located("SE"));
    let Some(bench) = Bench::new("privacy_changed") else { return };
    let mut bench = bench
        .with("HITSTREAM_ENRICH__PROVIDERS", "ip2location")
        .with("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", server.base_url())
        .with("HITSTREAM_ENRICH__DEADLINE", "20s")
        // Half of it is as long as an epoch may wait.
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "45000");
    bench.create_topic(1);
    let mut sql = bench.sql();
    let mut bytes = |table: &str| -> i64 {
        let size = format!("SELECT pg_relation_size('{table}')");
        sql.query_one(&size, &[]).unwrap().get(0)
    };
    let mut settings = |ip: &str, keep_for: &str| {
        bench.set("HITSTREAM_PRIVACY__IP", ip);
        bench.set("HITSTREAM_ENRICH__IP2LOCATION__KEEP_FOR", keep_for);
        bench.send(0, &records()[..1]);
        bench.run_until_end();
        [bytes("ip_locations") > 0, bytes("ip_hash_keys") > 0]
    };
    let none = [false, false];
    for (ip, keep_for, due) in [
        ("truncate", "30d", none),
        ("hash", "30d", [false, true]),
        ("drop", "30d", none),
        ("full", "0s", none),
    ] {
        assert_eq!(settings("full", "30d"), [true, false], "before {ip}");
        // A second start forbids nothing and empties nothing.
        assert_eq!(settings("full", "30d"), [true, false], "before {ip}");
        assert_eq!(settings(ip, keep_for), due, "{ip}, {keep_for}");
        assert_eq!(settings(ip, keep_for), due, "{ip}, {keep_for} again");
    }
}

#[test]
fn start_waits_for_a_table_that_is_held_and_empties_it_then() {
    let Some(bench) = Bench::new("privacy_held") else { return };
    let bench = bench.with("HITSTREAM_PRIVACY__IP", "drop");
    bench.create_topic(1);
    bench.done(&["migrate"]);
    let mut sql = bench.sql();
    let row = "INSERT INTO ip_locations (ip, source) VALUES ('8.8.8.8', 'ip2location')";
    sql.batch_execute(row).unwrap();
    // As a dump does.
    sql.batch_execute("BEGIN; LOCK TABLE ip_locations IN ACCESS SHARE MODE").unwrap();
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("it says so", || running.stderr().contains("is not emptied"));
    sql.batch_execute("COMMIT").unwrap();
    let left = "SELECT count(*) FROM ip_locations";
    wait_until("it is empty", || bench.count(left) == 0);
    running.stop();
}

#[test]
fn odd_forms_of_a_forwarded_header_are_read_and_nothing_of_them_is_kept() {
    let Some(bench) = Bench::new("client_forms") else { return };
    let bench = bench
        .with("HITSTREAM_INPUT__CLIENT_HEADER", "X-Forwarded-For")
        .with("HITSTREAM_INPUT__TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32")
        .with("HITSTREAM_PRIVACY__IP", "truncate");
    bench.create_topic(1);
    let forms = [
        (json!("1.2.3.4, 203.0.112.77"), "203.0.112.0"),
        (json!("203.0.112.77,10.0.0.9 ,\t10.0.0.8"), "203.0.112.0"),
        (json!(["1.2.3.4", "203.0.112.77, 10.0.0.9"]), "203.0.112.0"),
        (json!(["203.0.112.77", "", null]), "203.0.112.0"),
        (json!("203.0.112.77:4711"), "203.0.112.0"),
        (json!("[2001:4860:aa:bb::77]:4711, [2001:db8::1]:80"), "2001:4860:aa::"),
        (json!("[2001:4860:aa:bb::77]"), "2001:4860:aa::"),
        (json!("2001:4860:aa:bb::77%eth0"), "2001:4860:aa::"),
        (json!("::ffff:203.0.112.77"), "203.0.112.0"),
        // Where something is no address, the proxy before it is all that is known.
        (json!("203.0.112.77, unknown"), "10.1.1.0"),
        (json!("203.0.112.77, unknown, 10.7.7.7"), "10.7.7.0"),
        (json!("203.0.112.77, 203.0.112"), "10.1.1.0"),
        (json!("203.0.112.77 203.0.112.77"), "10.1.1.0"),
        (json!(["203.0.112.77", 7]), "10.1.1.0"),
        (json!({ "first": "203.0.112.77" }), "10.1.1.0"),
        (json!(""), "10.1.1.0"),
    ];
    let records = forms.iter().flat_map(|(value, _)| {
        let headers = json!({ "Accept": "*/*", "x-forwarded-for": value });
        let hit = Hit::at(1).host("h").with("ip", "10.1.1.1");
        // As an object, and as the text of one.
        let text = headers.to_string();
        [hit.clone().with("headers", headers).record(), hit.with("headers", text).record()]
    });
    bench.send(0, &records.collect::<Vec<_>>());
    bench.run_until_end();
    let query = "SELECT ip, headers FROM processed_events ORDER BY \"offset\"";
    let rows = bench.sql().query(query, &[]).unwrap();
    let due = forms.iter().flat_map(|(value, ip)| [(value, *ip); 2]);
    for (row, (value, ip)) in rows.iter().zip(due) {
        assert_eq!(row.get::<_, Option<&str>>(0), Some(ip), "{value}");
        let headers: Option<&str> = row.get(1);
        assert!(!headers.unwrap_or_default().contains("77"), "{value} is kept as {headers:?}");
    }
    assert_eq!(rows.len(), 2 * forms.len());
}

#[test]
fn rejected_payloads_that_hold_what_is_not_kept_are_told_of() {
    let Some(bench) = Bench::new("privacy_payloads") else { return };
    let mut bench = bench;
    bench.create_topic(1);
    for (ip, strips, payloads, is_told) in [
        ("drop", "false", "true", true),
        ("full", "true", "true", true),
        ("drop", "true", "false", false),
        ("full", "false", "true", false),
    ] {
        bench.set("HITSTREAM_PRIVACY__IP", ip);
        bench.set("HITSTREAM_PRIVACY__STRIP_QUERY", strips);
        bench.set("HITSTREAM_REJECTS__KEEP_PAYLOAD", payloads);
        let case = format!("{ip} {strips} {payloads}");
        let words = "rejected records are stored whole";
        let run = bench.done(&["run", "--until-end"]);
        assert_eq!(run.stderr.matches(words).count(), usize::from(is_told), "{case}: {run}");
        assert_eq!(run.stderr.contains("rejects.keep_payload = false"), is_told, "{case}: {run}");
        let check = bench.done(&["check"]);
        assert_eq!(check.stdout.matches(words).count(), usize::from(is_told), "{case}: {check}");
    }
}

#[test]
fn client_behind_trusted_proxies_is_the_visitor() {
    let Some(bench) = Bench::new("client") else { return };
    let bench = bench
        .with("HITSTREAM_INPUT__CLIENT_HEADER", "X-Forwarded-For")
        .with("HITSTREAM_INPUT__TRUSTED_PROXIES", "10.0.0.0/8, 198.51.100.7");
    bench.create_topic(1);
    let through = |peer: &str, header: &str| {
        let headers = json!({ "x-forwarded-for": header }).to_string();
        Hit::at(1).host("h").with("ip", peer).with("headers", headers).record()
    };
    bench.send(
        0,
        &[
            through("10.1.1.1", "8.8.8.8"),
            through("10.1.1.1", "1.2.3.4, 8.8.4.4, 198.51.100.7"),
            through("9.9.9.9", "8.8.8.8"),
            through("10.1.1.1", "who knows"),
        ],
    );
    bench.run_until_end();
    let rows =
        bench.sql().query("SELECT ip FROM processed_events ORDER BY \"offset\"", &[]).unwrap();
    let ips: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ips, ["8.8.8.8", "8.8.4.4", "9.9.9.9", "10.1.1.1"]);

    let everybody = bench.with("HITSTREAM_INPUT__TRUSTED_PROXIES", "0.0.0.0/0");
    let finished = everybody.hitstream(&["run", "--until-end"]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains("input.trusted_proxies"), "{finished}");
}
