//! What holds the frontier, and releasing it from a partition by hand: `frontier` and `status`.

use std::time::Duration;

use hitstream_domain::frontier::PartitionClock;
use hitstream_domain::progress::PartitionId;
use hitstream_domain::time::EventTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Transaction};

use super::frontier::{SURVEY, advance_locked, read_survey};
use super::locks::frontier_lock;
use super::rights::{self, has_tables};
use super::session::{PostgresSettings, classify};
use crate::store::{Claims, StoreError, Survey};

/// The frontier, and each partition as it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontierReport {
    /// The frontier: after a release advanced as far as the partitions allow, else as committed.
    pub frontier: EventTime,
    /// `watermark.delay`, as the tables have it.
    pub delay: Duration,
    /// PostgreSQL's clock.
    pub now: EventTime,
    /// Every partition of the topic, by number.
    pub partitions: Vec<(PartitionId, PartitionClock)>,
}

/// Releases the frontier from these partitions until their next accepted record, records that, and advances. Without any it
/// only looks, and waits for nobody.
pub(super) async fn release(
    client: &mut Client,
    settings: &PostgresSettings,
    partitions: &[PartitionId],
) -> Result<FrontierReport, StoreError> {
    let failure = |error: &Error| match error.code() {
        Some(code) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(code) => {
            StoreError::Mismatch(format!(
                "schema {:?} has no tables of this version of hitstream that this role can see; `hitstream check` says more, \
                 `hitstream migrate` makes them",
                settings.schema
            ))
        }
        _ => rights::missing_rights(error, settings).unwrap_or_else(|| classify(error)),
    };
    let none_yet = || {
        StoreError::Mismatch(format!(
            "no pipeline has run in schema {:?} yet: there is no frontier; `hitstream run` starts one",
            settings.schema
        ))
    };
    if !has_tables(client, &settings.schema).await.map_err(|error| failure(&error))? {
        return Err(none_yet());
    }
    let transaction = client.transaction().await.map_err(|error| failure(&error))?;
    if partitions.is_empty() {
        let report = read(&transaction).await.map_err(|error| failure(&error))?;
        return report.ok_or_else(none_yet);
    }
    let lock = frontier_lock(&settings.schema);
    let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await;
    locked.map_err(|error| failure(&error))?;
    let delay = watermark_delay(&transaction).await.map_err(|error| failure(&error))?;
    let delay = delay.ok_or_else(none_yet)?;
    for partition in partitions {
        release_one(&transaction, *partition).await.map_err(|error| failure(&error))??;
    }
    let survey = advance_locked(&transaction, delay, Claims::Valid).await?;
    transaction.commit().await.map_err(|error| failure(&error))?;
    Ok(FrontierReport::new(&survey, delay))
}

impl FrontierReport {
    fn new(survey: &Survey, delay: Duration) -> Self {
        let clocks = survey.partitions.iter().map(|(partition, _, clock)| (*partition, *clock));
        Self { frontier: survey.frontier, delay, now: survey.now, partitions: clocks.collect() }
    }
}

/// What holds the frontier, as a snapshot has it, without a lock; `None` where no pipeline has run.
pub(super) async fn read(snapshot: &Transaction<'_>) -> Result<Option<FrontierReport>, Error> {
    let Some(delay) = watermark_delay(snapshot).await? else { return Ok(None) };
    let rows = snapshot.query(SURVEY, &[]).await?;
    Ok(read_survey(&rows).ok().map(|survey| FrontierReport::new(&survey, delay)))
}

/// `watermark.delay` of the windows in the tables.
async fn watermark_delay(transaction: &Transaction<'_>) -> Result<Option<Duration>, Error> {
    let row = transaction.query_opt("SELECT watermark_delay FROM pipeline", &[]).await?;
    Ok(row.map(|row| Duration::from_micros(row.get::<_, i64>(0).unsigned_abs())))
}

async fn release_one(
    transaction: &Transaction<'_>,
    partition: PartitionId,
) -> Result<Result<(), StoreError>, Error> {
    let select = "SELECT idle_until IS NOT DISTINCT FROM 'infinity' FROM partition_progress \
         WHERE partition = $1 AND incarnation = (SELECT max(incarnation) FROM partition_progress) FOR UPDATE";
    let Some(row) = transaction.query_opt(select, &[&partition.0]).await? else {
        return Ok(Err(StoreError::Mismatch(format!(
            "the topic has no partition {partition} in the tables; `hitstream frontier` lists those there are"
        ))));
    };
    if row.get(0) {
        return Ok(Ok(())); // released and noted before
    }
    let update = "UPDATE partition_progress SET idle_until = 'infinity' \
         WHERE partition = $1 AND incarnation = (SELECT max(incarnation) FROM partition_progress)";
    transaction.execute(update, &[&partition.0]).await?;
    let note = "UPDATE frontier SET note = concat_ws(E'\\n', note, format('partition %s released by hand at %s by %s', \
         $1::int, now(), session_user))";
    transaction.execute(note, &[&partition.0]).await?;
    Ok(Ok(()))
}
