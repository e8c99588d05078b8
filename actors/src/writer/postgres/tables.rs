//! The SQL of a rollup's family of tables, written from its declaration.

use hitstream_domain::rollup::Rollup;
use hitstream_domain::time::EventTime;
use tokio_postgres::Transaction;

use super::session::{all_taken, classify};
use super::types::Timestamp;
use crate::store::StoreError;

const OPEN_KEY: &str = "window_start, host_hash, row_key";
/// Late rows outlive a change of `window.size`: windows of both sizes may start together.
const LATE_KEY: &str = "window_start, window_end, host_hash, row_key";

/// The statements of one rollup.
#[derive(Clone, Debug)]
pub(super) struct RollupTables {
    pub(super) open: String,
    pub(super) upsert_open: String,
    pub(super) upsert_late: String,
    move_window: String,
}

impl RollupTables {
    pub(super) fn new(rollup: &Rollup) -> Self {
        let open = format!("open_{}", rollup.name);
        let late = format!("late_{}", rollup.name);
        let columns: Vec<&str> = rollup.dimensions.iter().map(|d| d.column()).collect();
        let columns = columns.join(", ");
        let move_window = format!(
            "WITH gone AS (DELETE FROM {open} WHERE window_start = $1 RETURNING *), \
             kept AS (INSERT INTO aggregated_{} (window_start, window_end, {columns}, num_hits) \
             SELECT window_start, window_end, {columns}, num_hits FROM gone RETURNING 1) \
             SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM gone)",
            rollup.name
        );
        Self {
            upsert_open: upsert(&open, OPEN_KEY, &columns, rollup.dimensions.len()),
            upsert_late: upsert(&late, LATE_KEY, &columns, rollup.dimensions.len()),
            move_window,
            open,
        }
    }
}

/// Moves one window of one rollup.
pub(super) async fn move_window(
    transaction: &Transaction<'_>,
    tables: &RollupTables,
    start: EventTime,
) -> Result<(), StoreError> {
    let moved = transaction.query_one(&tables.move_window, &[&Timestamp(start)]).await;
    let moved = moved.map_err(|error| classify(&error))?;
    let (kept, gone): (i64, i64) = (moved.get(0), moved.get(1));
    all_taken(kept.unsigned_abs(), usize::try_from(gone).unwrap_or(0))
}

/// Rows come sorted by key, and unnests keep their order, so that instances take row locks in the same order. As columns,
/// which advance together, they give rows one by one; as a table they would be collected first.
fn upsert(table: &str, key: &str, columns: &str, dimensions: usize) -> String {
    let texts: Vec<String> =
        (0..dimensions).map(|at| format!("unnest(${}::text[])", at + 6)).collect();
    let texts = texts.join(", ");
    format!(
        "INSERT INTO {table} AS t (window_start, window_end, host_hash, row_key, num_hits, {columns}) \
         SELECT unnest($1::timestamptz[]), unnest($2::timestamptz[]), unnest($3::bigint[]), unnest($4::uuid[]), \
                unnest($5::bigint[]), {texts} \
         ON CONFLICT ({key}) DO UPDATE SET num_hits = t.num_hits + excluded.num_hits"
    )
}
