//! `migrate --close-open`: makes every open window final as it stands, and takes the new time settings.

use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::time::EventTime;
use tokio_postgres::{Client, Error, Transaction};

use super::PipelineSettings;
use super::commit::row_missing;
use super::locks::{frontier_lock, move_lock, running_lock};
use super::pipeline::rules_in_micros;
use super::session::{PostgresSettings, classify};
use super::tables::{RollupTables, move_window};
use super::types::Timestamp;
use crate::store::StoreError;

/// What `migrate --close-open` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReport {
    /// The frontier after it.
    pub frontier: EventTime,
    /// How many windows became final.
    pub windows: usize,
}

/// Closes all open windows in one transaction, with no instance running.
pub(super) async fn close(
    client: &mut Client,
    settings: &PostgresSettings,
    pipeline: &PipelineSettings,
) -> Result<CloseReport, StoreError> {
    let transaction = client.transaction().await.map_err(|error| classify(&error))?;
    let alone = "SELECT pg_try_advisory_xact_lock($1)";
    let row = transaction.query_one(alone, &[&running_lock(&settings.schema)]).await;
    if !row.map_err(|error| classify(&error))?.get::<_, bool>(0) {
        return Err(StoreError::Mismatch(
            "an instance of this pipeline is connected. Stop all instances, then run `hitstream migrate --close-open` \
             again"
                .to_owned(),
        ));
    }
    let closed = close_locked(&transaction, settings, pipeline).await;
    let report = closed.map_err(|error| match error {
        StoreError::Refused(reason) => StoreError::Mismatch(format!(
            "the final tables refuse rows of open windows: {reason}. Remove the index, constraint or trigger that \
             forbids them, then run `hitstream migrate --close-open` again"
        )),
        other => other,
    })?;
    transaction.commit().await.map_err(|error| classify(&error))?;
    Ok(report)
}

async fn close_locked(
    transaction: &Transaction<'_>,
    settings: &PostgresSettings,
    pipeline: &PipelineSettings,
) -> Result<CloseReport, StoreError> {
    let failed = |error: Error| classify(&error);
    let lock = "SELECT pg_advisory_xact_lock($1)";
    for key in [frontier_lock(&settings.schema), move_lock(&settings.schema)] {
        transaction.execute(lock, &[&key]).await.map_err(failed)?;
    }
    let mut windows = std::collections::BTreeSet::new();
    for rollup in ROLLUPS {
        let tables = RollupTables::new(rollup);
        let query = format!("SELECT DISTINCT window_start, window_end FROM {}", tables.open);
        for row in transaction.query(&query, &[]).await.map_err(failed)? {
            let (Timestamp(start), Timestamp(end)) = (row.get(0), row.get(1));
            move_window(transaction, &tables, start).await?;
            windows.insert((start, end));
        }
    }
    let last_end = windows.iter().map(|(_, end)| *end).max().unwrap_or(EventTime::NEG_INFINITY);
    let (size, slide, delay) = rules_in_micros(&pipeline.rules);
    let advance = "UPDATE frontier SET f = greatest(f, $1), updated_at = now(), \
         note = concat_ws(E'\\n', note, 'open windows closed by hand at ' || now()::text) RETURNING f";
    let advanced = transaction.query_opt(advance, &[&Timestamp(last_end)]).await.map_err(failed)?;
    let Timestamp(frontier) = advanced.ok_or_else(row_missing)?.get(0);
    let rules = "UPDATE pipeline SET window_size = $1, window_slide = $2, watermark_delay = $3";
    transaction.execute(rules, &[&size, &slide, &delay]).await.map_err(failed)?;
    Ok(CloseReport { frontier, windows: windows.len() })
}
