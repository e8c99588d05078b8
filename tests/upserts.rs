//! How sums get into the open tables: an instance that has all partitions is alone with them, and need not look out for others.

use std::time::Duration;

use crate::support::group::{bench, start, start_all};
use crate::support::hit::Hit;
use crate::support::process::wait_until;
use crate::support::traffic::Traffic;

const PATIENCE: Duration = Duration::from_secs(90);

/// Writes down with which statement each commit adds to the open table.
const WATCHED: &str = "
    CREATE TABLE seen (at serial, statement text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen (statement) VALUES (split_part(current_query(), ' ', 1));
        RETURN NULL;
    END $$;
    CREATE TRIGGER see AFTER INSERT OR UPDATE ON open_web_traffic FOR EACH STATEMENT EXECUTE FUNCTION see()";

#[test]
fn instance_merges_where_it_is_alone_and_upserts_beside_others() {
    let Some(bench) = bench("upserts", 4) else { return };
    bench.done(&["migrate"]);
    bench.sql().batch_execute(WATCHED).unwrap();
    let mut traffic = Traffic::start(&bench, &["--rate", "1000"]);
    traffic.wait_for_records();
    let of = |statement: &str, after: i64| {
        bench.count(&format!(
            "SELECT count(*) FROM seen WHERE statement = '{statement}' AND at > {after}"
        ))
    };
    let last = || bench.count("SELECT coalesce(max(at), 0)::bigint FROM seen");

    let mut instances = start_all(&bench, 1);
    wait_until("the first instance commits", PATIENCE, || of("MERGE", 0) > 10);
    assert_eq!(of("INSERT", 0), 0);
    instances.push(start(&bench));
    wait_until("none has all partitions", PATIENCE, || of("INSERT", 0) > 10);
    let first = instances.remove(0).stop();
    let left = last();
    wait_until("the second has all partitions", PATIENCE, || of("MERGE", left) > 10);

    traffic.finish_counted(&bench);
    for ended in [first, instances.remove(0).stop()] {
        assert!(!ended.stderr.contains("23505"), "{ended}");
    }
    traffic.settle(&bench);
}

#[test]
fn row_that_somebody_puts_in_amid_a_merge_is_added_to() {
    let Some(bench) = bench("amid_merge", 1) else { return };
    let hit = || Hit::at(0).host("a.example");
    bench.send(0, &[hit().record()]);
    let running = start(&bench);
    // Before the instance has made the tables there are none.
    let hits = || {
        let row = bench.sql().query_one("SELECT sum(num_hits)::bigint FROM open_web_traffic", &[]);
        row.ok().and_then(|row| row.get::<_, Option<i64>>(0))
    };
    wait_until("the first hit is counted", PATIENCE, || hits() == Some(1));

    let (mut sql, mut beside) = (bench.sql(), bench.sql());
    let mut amid = sql.transaction().unwrap();
    let moved = "WITH gone AS (DELETE FROM open_web_traffic RETURNING *) INSERT INTO kept SELECT * FROM gone";
    amid.batch_execute("CREATE TEMP TABLE kept (LIKE open_web_traffic)").unwrap();
    assert_eq!(amid.execute(moved, &[]).unwrap(), 1);
    amid.batch_execute("INSERT INTO open_web_traffic SELECT * FROM kept").unwrap();
    bench.send(0, &[hit().later(1).record()]);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE 'MERGE%'";
    wait_until("a commit waits for it", PATIENCE, || {
        beside.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 1
    });
    amid.commit().unwrap();
    wait_until("the second hit is counted", PATIENCE, || hits() == Some(2));

    let ended = running.stop();
    assert!(ended.stderr.contains("23505"), "{ended}");
    assert_eq!(bench.count("SELECT count(*) FROM rejected_events"), 0);
    bench.clean_audit();
}
