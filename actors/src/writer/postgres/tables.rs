//! The SQL of a rollup's family of tables, written from its declaration.

use hitstream_domain::rollup::Rollup;
use hitstream_domain::time::EventTime;
use tokio_postgres::Transaction;

use super::commit::all_taken;
use super::session::classify;
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
    /// The same for whoever is alone with the table, who needs neither look for rows that others are inserting nor lock a
    /// row before it is updated.
    pub(super) merge_open: String,
    pub(super) upsert_late: String,
    move_window: String,
}

impl RollupTables {
    pub(super) fn new(rollup: &Rollup) -> Self {
        let open = format!("open_{}", rollup.name);
        let late = format!("late_{}", rollup.name);
        let dimensions: Vec<&str> = rollup.dimensions.iter().map(|d| d.column()).collect();
        let columns = dimensions.join(", ");
        let move_window = format!(
            "WITH gone AS (DELETE FROM {open} WHERE window_start = $1 RETURNING *), \
             kept AS (INSERT INTO aggregated_{} (window_start, window_end, {columns}, num_hits) \
             SELECT window_start, window_end, {columns}, num_hits FROM gone RETURNING 1) \
             SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM gone)",
            rollup.name
        );
        Self {
            upsert_open: upsert(&open, OPEN_KEY, &dimensions),
            merge_open: merge(&open, &dimensions),
            upsert_late: upsert(&late, LATE_KEY, &dimensions),
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

/// Rows come sorted by key, and unnests keep their order, so that instances take row locks in the same order.
fn upsert(table: &str, key: &str, dimensions: &[&str]) -> String {
    let (rows, columns) = (rows(dimensions), dimensions.join(", "));
    format!(
        "INSERT INTO {table} AS t (window_start, window_end, host_hash, row_key, num_hits, {columns}) {rows} \
         ON CONFLICT ({key}) DO UPDATE SET num_hits = t.num_hits + excluded.num_hits"
    )
}

/// Fails where somebody else inserts the same key meanwhile.
fn merge(table: &str, dimensions: &[&str]) -> String {
    let (rows, columns) = (rows(dimensions), dimensions.join(", "));
    format!(
        "MERGE INTO {table} AS t USING ({rows}) AS n \
         ON t.window_start = n.window_start AND t.host_hash = n.host_hash AND t.row_key = n.row_key \
         WHEN MATCHED THEN UPDATE SET num_hits = t.num_hits + n.num_hits \
         WHEN NOT MATCHED THEN INSERT (window_start, window_end, host_hash, row_key, num_hits, {columns}) \
         VALUES (window_start, window_end, host_hash, row_key, num_hits, {columns})"
    )
}

/// The rows of arrays. As columns, which advance together, unnests give rows one by one; as a table they would be collected
/// first.
fn rows(dimensions: &[&str]) -> String {
    let texts = dimensions.iter().zip(6..);
    let texts: Vec<String> =
        texts.map(|(column, at)| format!("unnest(${at}::text[]) AS {column}")).collect();
    let texts = texts.join(", ");
    format!(
        "SELECT unnest($1::timestamptz[]) AS window_start, unnest($2::timestamptz[]) AS window_end, \
                unnest($3::bigint[]) AS host_hash, unnest($4::uuid[]) AS row_key, unnest($5::bigint[]) AS num_hits, {texts}"
    )
}
