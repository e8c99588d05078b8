//! What is kept of visitors, and who they are behind proxies: looked for in every table and in all that the process writes.

use serde_json::json;

use crate::support::Bench;
use crate::support::hit::{Hit, Sendable};

const ADDRESS: &str = "203.0.112.77";
const QUERY: &str = "token-b81c";

/// A hit that names its visitor wherever it can, and a record that is no hit and does so, too.
fn records() -> Vec<Sendable> {
    let headers =
        json!({ "Accept": "*/*", "X-Forwarded-For": ADDRESS, "CF-Connecting-IP": ADDRESS });
    let hit = Hit::at(1)
        .host("h")
        .with("ip", ADDRESS)
        .url(&format!("/a?{QUERY}"))
        .referrer(&format!("http://r.example/?{QUERY}"))
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
