//! From one version to the next: databases that former versions wrote, and versions side by side.

use std::collections::BTreeSet;
use std::path::PathBuf;

use postgres::Client;

use crate::support::group::{bench, start};
use crate::support::process::wait_until;
use crate::support::traffic::{Traffic, committed, owners};
use crate::support::{Bench, kafka};

/// Where the tables of a former version are made.
const FORMER: &str = "former";

/// The migrations in their order: version and file.
fn migrations() -> Vec<(i32, PathBuf)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/migrations"));
    let mut found: Vec<(i32, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (version, _) = name.trim_start_matches('V').split_once("__").unwrap();
            (version.parse().unwrap(), path)
        })
        .collect();
    found.sort();
    found
}

/// The columns that a table has in a schema.
fn columns(sql: &mut Client, schema: &str, table: &str) -> BTreeSet<String> {
    let query = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2";
    sql.query(query, &[&schema, &table]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Makes the tables as they were at `version`, with what this version has written to them so far.
fn go_back(bench: &Bench, version: i32) {
    let mut sql = bench.sql();
    sql.batch_execute(&format!("CREATE SCHEMA {FORMER}; SET search_path = {FORMER}")).unwrap();
    for (_, file) in migrations().iter().filter(|(at, _)| *at <= version) {
        sql.batch_execute(&std::fs::read_to_string(file).unwrap()).unwrap();
    }
    sql.batch_execute(&format!(
        "CREATE TABLE hitstream_migrations AS SELECT * FROM public.hitstream_migrations WHERE version <= {version}"
    ))
    .unwrap();
    let query = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'hitstream_migrations'";
    let tables: Vec<String> =
        sql.query(query, &[&FORMER]).unwrap().iter().map(|row| row.get(0)).collect();
    let days = "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'public.processed_events'::regclass";
    for row in sql.query(days, &[]).unwrap() {
        let (name, bounds): (String, String) = (row.get(0), row.get(1));
        let attach = format!("CREATE TABLE {name} PARTITION OF processed_events {bounds}");
        sql.batch_execute(&attach).unwrap();
    }
    for table in tables {
        let (then, now) = (columns(&mut sql, FORMER, &table), columns(&mut sql, "public", &table));
        let shared: Vec<String> = then.intersection(&now).map(|name| format!("{name:?}")).collect();
        let shared = shared.join(", ");
        sql.batch_execute(&format!(
            "DELETE FROM {FORMER}.{table}; INSERT INTO {FORMER}.{table} ({shared}) SELECT {shared} FROM public.{table}"
        ))
        .unwrap();
    }
    sql.batch_execute(&format!(
        "DROP SCHEMA public CASCADE; ALTER SCHEMA {FORMER} RENAME TO public"
    ))
    .unwrap();
}

#[test]
fn every_former_version_of_the_tables_is_taken_over_with_all_that_is_in_it() {
    let all = migrations();
    let former = &all[..all.len() - 1];
    assert!(!former.is_empty());
    for (version, _) in former {
        let Some(bench) = bench("upgrade", 3) else { return };
        let traffic = Traffic::start(&bench, &["--rate", "1000"]);
        wait_until("traffic", || kafka::end(&bench.kafka_url, &bench.topic) > 1_000);
        // Some of the records are counted by then, in open windows, final ones and late rows.
        bench.done(&["run", "--until-end"]);
        let before = committed(&bench);
        assert!(before > 0);
        go_back(&bench, *version);
        assert_eq!(committed(&bench), before);
        let migrated = bench.done(&["migrate", "--json"]).json();
        let applied = migrated["applied"].as_array().map(Vec::len);
        assert_eq!(applied, Some(all.len() - usize::try_from(*version).unwrap()), "{migrated}");
        traffic.settle(&bench);
        assert!(committed(&bench) > before, "nothing was left to count from version {version} on");
    }
}

#[test]
fn former_version_runs_beside_the_next_one_whose_tables_suit_it() {
    let Some(bench) = bench("side_by_side", 4) else { return };
    let mut traffic = Traffic::start(&bench, &["--rate", "500"]);
    let running = start(&bench);
    wait_until("it counts", || committed(&bench) > 0);
    // What a next version does to the tables while this one runs: it adds, and says whom that suits.
    let newest = migrations().last().unwrap().0;
    let next = |suits: i32| {
        format!(
            "ALTER TABLE open_web_traffic ADD COLUMN IF NOT EXISTS of_tomorrow text; \
             ALTER TABLE partition_progress ADD COLUMN IF NOT EXISTS of_tomorrow bigint NOT NULL DEFAULT 0; \
             INSERT INTO hitstream_migrations VALUES ({}, 'of_tomorrow', now()::text, '1') ON CONFLICT DO NOTHING; \
             UPDATE compatibility SET oldest_version = {suits}",
            newest + 1
        )
    };
    bench.sql().batch_execute(&next(newest)).unwrap();
    let before = committed(&bench);
    wait_until("it goes on", || committed(&bench) > before + 200);
    // One of this version that starts now finds tables of the next.
    let second = start(&bench);
    wait_until("both count", || owners(&bench) == 2);
    let said = second.stop();
    assert!(said.stderr.contains("a newer hitstream has been here"), "{said}");
    running.stop();
    for command in [&["migrate"][..], &["check"], &["status"]] {
        bench.done(command);
    }
    traffic.finish();
    // Tables that no longer suit it are left alone.
    bench.sql().batch_execute(&next(newest + 1)).unwrap();
    for command in [&["run", "--until-end"][..], &["migrate"]] {
        let refused = bench.hitstream(command).finish();
        assert_eq!(refused.code, Some(64), "{refused}");
        let says = format!("version {} or newer", newest + 1);
        assert!(refused.stderr.contains(&says), "{refused}");
    }
    bench.sql().batch_execute(&next(newest)).unwrap();
    traffic.settle(&bench);
}
