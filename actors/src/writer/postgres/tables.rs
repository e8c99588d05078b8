//! The SQL of a rollup's family of tables, written from its declaration.

use hitstream_domain::rollup::Rollup;

const OPEN_KEY: &str = "window_start, host_hash, row_key";
/// Late rows outlive a change of `window.size`: windows of both sizes may start together.
const LATE_KEY: &str = "window_start, window_end, host_hash, row_key";

/// The statements of one rollup.
#[derive(Clone, Debug)]
pub(super) struct RollupTables {
    pub(super) open: String,
    pub(super) upsert_open: String,
    pub(super) upsert_late: String,
    pub(super) move_window: String,
}

impl RollupTables {
    pub(super) fn new(rollup: &Rollup) -> Self {
        let open = format!("open_{}", rollup.name);
        let late = format!("late_{}", rollup.name);
        let columns: Vec<&str> = rollup.dimensions.iter().map(|d| d.column()).collect();
        let columns = columns.join(", ");
        let move_window = format!(
            "WITH gone AS (DELETE FROM {open} WHERE window_start = $1 RETURNING *) \
             INSERT INTO aggregated_{} (window_start, window_end, {columns}, num_hits) \
             SELECT window_start, window_end, {columns}, num_hits FROM gone",
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

/// Rows come sorted by key, and an unnest keeps their order, so that instances take row locks in the same order.
fn upsert(table: &str, key: &str, columns: &str, dimensions: usize) -> String {
    let texts: Vec<String> = (0..dimensions).map(|at| format!("${}::text[]", at + 6)).collect();
    let texts = texts.join(", ");
    format!(
        "INSERT INTO {table} AS t (window_start, window_end, host_hash, row_key, num_hits, {columns}) \
         SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[], $3::bigint[], $4::uuid[], $5::bigint[], {texts}) \
         ON CONFLICT ({key}) DO UPDATE SET num_hits = t.num_hits + excluded.num_hits"
    )
}
