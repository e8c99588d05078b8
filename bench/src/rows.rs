//! Whether two pipelines came to the same rows, in the windows that are final in both.

use std::fmt;

use anyhow::{Result, ensure};
use postgres::Client;

/// What was compared, and what could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Windows that are final in both.
    pub(crate) windows: i64,
    /// Their rows.
    pub(crate) rows: i64,
    /// Their hits.
    pub(crate) hits: i64,
    /// Windows that only Spark has closed, and that only hitstream has.
    pub(crate) spark_alone: i64,
    pub(crate) hitstream_alone: i64,
    /// Windows that both still hold open: hitstream shows them in `live_web_traffic`, Spark keeps them to itself.
    pub(crate) open: i64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, rows, hits, spark_alone, hitstream_alone, open } = self;
        write!(
            f,
            "rows are equal: {rows} of {hits} hits in the {windows} windows that are final in both; closed by Spark \
             alone: {spark_alone}, by hitstream alone: {hitstream_alone}, by neither: {open}"
        )
    }
}

/// Compares the final rows of a schema of hitstream's with those that Spark has written up to its watermark.
///
/// # Errors
/// A row differs, is missing or stands twice; or there is nothing to compare.
pub(crate) fn compare(
    sql: &mut Client,
    hitstream: &str,
    spark: &str,
    watermark: &str,
) -> Result<Compared> {
    // Spark closes what its watermark has passed, which is one minute behind the newest hit of all partitions;
    // hitstream what the frontier has passed, the least watermark of any partition.
    let both = format!(
        "window_end <= (SELECT f FROM {hitstream}.frontier) AND window_end <= '{watermark}'::timestamptz"
    );
    let columns = "window_start, window_end, host, referrer, num_hits";
    let rows = |schema: &str| {
        format!("SELECT {columns} FROM {schema}.aggregated_web_traffic WHERE {both}")
    };
    let (ours, theirs) = (rows(hitstream), rows(spark));
    // ALL, so that a row that stands twice is a difference.
    for (who, one, other) in [("hitstream", &ours, &theirs), ("Spark", &theirs, &ours)] {
        let differ = sql.query(
            &format!("SELECT row_to_json(r)::text FROM ({one} EXCEPT ALL {other}) AS r LIMIT 3"),
            &[],
        )?;
        let differ: Vec<String> = differ.iter().map(|row| row.get(0)).collect();
        ensure!(differ.is_empty(), "rows differ; {who} alone has {} …", differ.join(" "));
    }
    let count = |sql: &mut Client, what: &str, from: &str| -> Result<i64> {
        Ok(sql.query_one(&format!("SELECT {what} FROM {from}"), &[])?.get(0))
    };
    let ends = "count(DISTINCT window_end)";
    let all = |schema: &str| format!("{schema}.aggregated_web_traffic");
    let windows = count(sql, ends, &format!("({ours}) AS r"))?;
    ensure!(windows > 0, "no window is final in both: let the topic span more event time");
    let closed = format!(
        "{hitstream}.live_web_traffic WHERE NOT is_final AND window_end > '{watermark}'::timestamptz"
    );
    Ok(Compared {
        windows,
        rows: count(sql, "count(*)", &format!("({ours}) AS r"))?,
        hits: count(sql, "sum(num_hits)::bigint", &format!("({ours}) AS r"))?,
        spark_alone: count(sql, ends, &all(spark))? - windows,
        hitstream_alone: count(sql, ends, &all(hitstream))? - windows,
        open: count(sql, ends, &closed)?,
    })
}

#[cfg(test)]
mod tests {
    use postgres::NoTls;

    use super::*;

    /// Two schemas with one closed window each; `None` without a PostgreSQL.
    fn schemas(name: &str) -> Option<(Client, String, String)> {
        let Ok(url) = std::env::var("POSTGRES_URL") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no services in CI");
            eprintln!("skipped: no services: run `make services && . ./.services.env` first");
            return None;
        };
        let mut sql = Client::connect(&url, NoTls).unwrap();
        let names = ["ours", "theirs"].map(|side| format!("bench_rows_{name}_{side}"));
        for schema in &names {
            sql.batch_execute(&format!(
                "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};
                 CREATE TABLE {schema}.frontier AS SELECT '2026-01-01T00:10:30Z'::timestamptz AS f;
                 CREATE TABLE {schema}.aggregated_web_traffic (window_start timestamptz, window_end timestamptz,
                     host text, referrer text, num_hits bigint);
                 CREATE VIEW {schema}.live_web_traffic AS SELECT *, true AS is_final FROM {schema}.aggregated_web_traffic;
                 INSERT INTO {schema}.aggregated_web_traffic VALUES
                     ('2026-01-01T00:00Z', '2026-01-01T00:05Z', 'a', NULL, 3), ('2026-01-01T00:00Z', '2026-01-01T00:05Z', NULL, '', 2)"
            ))
            .unwrap();
        }
        let [ours, theirs] = names;
        Some((sql, ours, theirs))
    }

    fn end((mut sql, ours, theirs): (Client, String, String)) {
        sql.batch_execute(&format!("DROP SCHEMA {ours} CASCADE; DROP SCHEMA {theirs} CASCADE"))
            .unwrap();
    }

    #[test]
    fn equal_rows_are_equal_and_windows_of_one_side_are_told() {
        let Some((mut sql, ours, theirs)) = schemas("equal") else { return };
        let add = format!(
            "INSERT INTO {theirs}.aggregated_web_traffic VALUES ('2026-01-01T00:10Z', '2026-01-01T00:15Z', 'a', 'b', 1)"
        );
        sql.batch_execute(&add).unwrap();
        let compared = compare(&mut sql, &ours, &theirs, "2026-01-01T00:15:00Z").unwrap();
        let expected =
            Compared { windows: 1, rows: 2, hits: 5, spark_alone: 1, hitstream_alone: 0, open: 0 };
        assert_eq!(compared, expected);
        end((sql, ours, theirs));
    }

    #[test]
    fn every_difference_is_a_failure() {
        let Some((mut sql, ours, theirs)) = schemas("differ") else { return };
        for (change, back) in [
            ("UPDATE {}.aggregated_web_traffic SET num_hits = 4 WHERE host = 'a'", "num_hits = 3"),
            (
                "UPDATE {}.aggregated_web_traffic SET referrer = '' WHERE host = 'a'",
                "referrer = NULL",
            ),
        ] {
            for schema in [&ours, &theirs] {
                sql.batch_execute(&change.replace("{}", schema)).unwrap();
                let differ = compare(&mut sql, &ours, &theirs, "2026-01-01T00:15:00Z").unwrap_err();
                assert!(differ.to_string().contains("rows differ"), "{differ}");
                let back =
                    format!("UPDATE {schema}.aggregated_web_traffic SET {back} WHERE host = 'a'");
                sql.batch_execute(&back).unwrap();
            }
        }
        let twice = format!(
            "INSERT INTO {theirs}.aggregated_web_traffic SELECT * FROM {ours}.aggregated_web_traffic"
        );
        sql.batch_execute(&twice).unwrap();
        let differ = compare(&mut sql, &ours, &theirs, "2026-01-01T00:15:00Z").unwrap_err();
        assert!(differ.to_string().contains("Spark alone"), "{differ}");
        let early = compare(&mut sql, &ours, &theirs, "2026-01-01T00:04:00Z").unwrap_err();
        assert!(early.to_string().contains("no window"), "{early}");
        end((sql, ours, theirs));
    }
}
