//! The rollups beside `web_traffic`: that they hold the same hits, grouped otherwise.

use std::collections::BTreeMap;

use super::Bench;

pub(crate) const BY_COUNTRY: &str = "web_traffic_by_country";
pub(crate) const BY_CITY: &str = "web_traffic_by_city";

/// Hits by window and host: start and end of the window in microseconds since 1970.
type ByHost = BTreeMap<(i64, i64, Option<String>), i64>;

/// Asserts that each window of these rollups has the hits of each host that `web_traffic` has there, among the final
/// rows, among the open ones and among the late ones. Gives how many hits there are of each of the three.
pub(crate) fn assert_add_up(bench: &Bench, rollups: &[&str]) -> [i64; 3] {
    ["aggregated", "open", "late"].map(|kind| {
        let due = by_host(bench, &format!("{kind}_web_traffic"));
        for rollup in rollups {
            let found = by_host(bench, &format!("{kind}_{rollup}"));
            let mut keys = due.keys().chain(found.keys());
            let apart = keys.find(|key| due.get(key) != found.get(key));
            if let Some(key) = apart {
                panic!(
                    "{kind}_{rollup}, {key:?}: {:?} found, {:?} due",
                    found.get(key),
                    due.get(key)
                );
            }
        }
        due.values().sum()
    })
}

/// How many distinct values a column of a rollup has in all its tables, NULL left out.
pub(crate) fn distinct(bench: &Bench, rollup: &str, column: &str) -> i64 {
    let of = |kind: &str| format!("SELECT {column} AS value FROM {kind}_{rollup}");
    let all = ["aggregated", "open", "late"].map(of).join(" UNION ALL ");
    bench.count(&format!("SELECT count(DISTINCT value) FROM ({all}) all_rows"))
}

fn by_host(bench: &Bench, table: &str) -> ByHost {
    let query = format!(
        "SELECT (extract(epoch FROM window_start) * 1000000)::bigint, (extract(epoch FROM window_end) * 1000000)::bigint, \
         host, sum(num_hits)::bigint FROM {table} GROUP BY 1, 2, 3"
    );
    let rows = bench.sql().query(&query, &[]).unwrap();
    rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect()
}
