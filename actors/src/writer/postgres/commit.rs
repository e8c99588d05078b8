//! *Commit*: one epoch in one transaction. Its numbered steps are DESIGN section 5's, each a statement of its own: a
//! snapshot older than its lock breaks the protocol.

use std::time::Duration;

use hitstream_domain::progress::Ledger;
use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::time::EventTime;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::copy::{copy_events, copy_rejects};
use super::locks::frontier_lock;
use super::session::{all_taken, classify};
use super::types::Timestamp;
use super::upsert::write_hits;
use super::{PipelineSettings, PostgresStore, begin};
use crate::clock;
use crate::faults::fault_point;
use crate::messages::PartitionPart;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::window::SortedRow;
use crate::writer::Epoch;

const LOCK_PROGRESS: &str = "SELECT partition FROM partition_progress WHERE incarnation = $1 \
     AND partition = ANY($2) ORDER BY partition FOR UPDATE";

const MOVE_PROGRESS: &str = "UPDATE partition_progress AS p SET \
     next_offset = n.next_offset, \
     max_event_time = greatest(p.max_event_time, n.max_event_time), \
     idle_until = CASE WHEN n.accepted > 0 THEN NULL \
                       WHEN n.idle_for IS NOT NULL THEN greatest(p.idle_until, now() + n.idle_for * interval '1 microsecond') \
                       ELSE p.idle_until END, \
     owner = $2, updated_at = now(), \
     records = p.records + n.records, accepted = p.accepted + n.accepted, rejected = p.rejected + n.rejected, \
     sanitised = p.sanitised + n.sanitised, stored = p.stored + n.stored, counted = p.counted + n.counted, late = p.late + n.late, \
     diverted = p.diverted + n.diverted, lost = p.lost + n.lost \
     FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[], $8::bigint[], \
                 $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[]) \
       AS n(partition, old_offset, next_offset, max_event_time, idle_for, records, accepted, rejected, sanitised, stored, \
            counted, late, diverted, lost) \
     WHERE p.incarnation = $1 AND p.partition = n.partition AND p.next_offset = n.old_offset \
       AND p.incarnation = (SELECT max(incarnation) FROM partition_progress)";

const BOOK_ROLLUPS: &str = "INSERT INTO rollup_ledger AS l (rollup, incarnation, partition, counted, late, refused) \
     SELECT n.rollup, $2, $3, n.counted, n.late, n.refused \
     FROM unnest($1::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS n(rollup, counted, late, refused) \
     ON CONFLICT (rollup, incarnation, partition) DO UPDATE SET \
     counted = l.counted + excluded.counted, late = l.late + excluded.late, refused = l.refused + excluded.refused";

/// Commits an epoch; on any error the transaction is rolled back.
pub(super) async fn commit(store: &PostgresStore, epoch: &Epoch) -> Result<Ledger, StoreError> {
    store.attach_days(epoch).await?;
    let mut connection = store.connection().await?;
    let transaction = begin(&mut connection).await?;
    // Claims age until the reply to BEGIN: no sooner was now() fixed.
    let begun_at = clock::monotonic();
    let mut steps = Steps::begin(&store.metrics);
    // 1
    let lock = frontier_lock(&store.settings.schema);
    let locked = transaction.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&lock]).await;
    locked.map_err(|error| classify(&error))?;
    fault_point!("commit::locked");
    // 2
    let frontier = read_frontier(&transaction, &store.pipeline).await?;
    let is_behind = |start: EventTime| store.pipeline.rules.window.starting(start).end <= frontier;
    steps.done("lock");
    // 3 and 4
    let ledger =
        move_progress(store, &transaction, epoch, epoch.behind(is_behind), begun_at).await?;
    steps.done("progress");
    fault_point!("commit::progress_moved");
    // 5
    let mut booked = Vec::with_capacity(store.rollups.len());
    for rollup in 0..store.rollups.len() {
        let rows = epoch.rows(rollup);
        booked.push(write_rollup(store, &transaction, rollup, &rows, frontier).await?);
    }
    book_rollups(&transaction, epoch, &booked).await?;
    steps.done("upsert");
    let events = copy_events(store, &transaction, &epoch.events, |_| true).await?;
    let rejects = copy_rejects(&transaction, epoch, |_| true).await?;
    steps.done("copy");
    fault_point!("commit::before_commit");
    transaction.commit().await.map_err(|error| classify(&error))?;
    steps.done("commit");
    steps.wrote(&booked, events, rejects);
    fault_point!("commit::after_commit");
    Ok(ledger)
}

/// How long each step of a commit takes, and what it writes.
struct Steps<'a> {
    metrics: &'a Metrics,
    began: Duration,
}

impl<'a> Steps<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        Self { metrics, began: clock::monotonic() }
    }

    /// A step is done; the next begins.
    fn done(&mut self, step: &str) {
        let now = clock::monotonic();
        let took = now.saturating_sub(std::mem::replace(&mut self.began, now));
        self.metrics.commit_step.with_label_values(&[step]).observe(took.as_secs_f64());
    }

    /// All is committed.
    fn wrote(&self, booked: &[Booked], events: u64, rejects: u64) {
        let rows = |of: fn(&Booked) -> u64| booked.iter().map(of).sum();
        for (table, rows) in [
            ("open", rows(|booked| booked.open_rows)),
            ("late", rows(|booked| booked.late_rows)),
            ("events", events),
            ("rejects", rejects),
        ] {
            self.metrics.rows_written.with_label_values(&[table]).inc_by(rows);
        }
    }
}

/// Reads f, and with it whether the pipeline's settings are still what this instance believes.
pub(super) async fn read_frontier(
    transaction: &Transaction<'_>,
    settings: &PipelineSettings,
) -> Result<EventTime, StoreError> {
    let query = "SELECT f, window_size, window_slide, watermark_delay FROM frontier, pipeline";
    let row = transaction.query_opt(query, &[]).await.map_err(|error| classify(&error))?;
    let row = row.ok_or_else(row_missing)?;
    super::pipeline::check_rules(settings, (row.get(1), row.get(2), row.get(3)))?;
    let Timestamp(frontier) = row.get(0);
    Ok(frontier)
}

/// What to say where `frontier` or `pipeline` is empty: each has one row, for good.
pub const ROW_MISSING: &str = "the row of table frontier or pipeline is gone: somebody deleted it. Restore it from a \
     backup; without it nobody knows which windows are final and whose tables these are";

pub(super) fn row_missing() -> StoreError {
    StoreError::Mismatch(ROW_MISSING.to_owned())
}

/// Steps 3 and 4: fences every other owner by comparing and setting offsets.
async fn move_progress(
    store: &PostgresStore,
    transaction: &Transaction<'_>,
    epoch: &Epoch,
    diverted: i64,
    begun_at: Duration,
) -> Result<Ledger, StoreError> {
    let moved: Vec<&PartitionPart> =
        epoch.partitions.iter().filter(|p| p.from != p.to || p.claim.is_some()).collect();
    let incarnation = moved.first().map_or(0, |part| part.incarnation);
    let partitions: Vec<i32> = moved.iter().map(|part| part.partition.0).collect();
    let locked = transaction.query(LOCK_PROGRESS, &[&incarnation, &partitions]).await;
    locked.map_err(|error| classify(&error))?;

    let mut ledgers: Vec<Ledger> = moved.iter().map(|part| part.ledger).collect();
    if let Some(lowest) = ledgers.first_mut() {
        lowest.counted -= diverted;
        lowest.diverted += diverted;
    }
    let column = |of: fn(&Ledger) -> i64| ledgers.iter().map(of).collect::<Vec<i64>>();
    let old: Vec<i64> = moved.iter().map(|part| part.from.0).collect();
    let new: Vec<i64> = moved.iter().map(|part| part.to.0).collect();
    let max: Vec<Option<Timestamp>> =
        moved.iter().map(|part| part.max_event_time.map(Timestamp)).collect();
    let idle: Vec<Option<i64>> =
        moved.iter().map(|part| idle_micros(store, part, begun_at)).collect();
    let parameters: &[&(dyn ToSql + Sync)] = &[
        &incarnation,
        &store.settings.instance,
        &partitions,
        &old,
        &new,
        &max,
        &idle,
        &column(|l| l.records),
        &column(|l| l.accepted),
        &column(|l| l.rejected),
        &column(|l| l.sanitised),
        &column(|l| l.stored),
        &column(|l| l.counted),
        &column(|l| l.late),
        &column(|l| l.diverted),
        &column(|l| l.lost),
    ];
    let rows =
        transaction.execute(MOVE_PROGRESS, parameters).await.map_err(|error| classify(&error))?;
    if rows != moved.len() as u64 {
        return Err(StoreError::Fenced(format!(
            "{rows} of {} partitions still stood where epoch {} began; the others were moved on by another owner",
            moved.len(),
            epoch.number
        )));
    }
    let mut sum = Ledger::default();
    for ledger in ledgers {
        sum += ledger;
    }
    Ok(sum)
}

/// How long a partition's claim still held when PostgreSQL's `now()` was fixed.
fn idle_micros(store: &PostgresStore, part: &PartitionPart, begun_at: Duration) -> Option<i64> {
    let left = part.claim?.remaining(begun_at, store.pipeline.idle_timeout)?;
    i64::try_from(left.as_micros()).ok()
}

/// Upserts the sums of one rollup: what is on time and ahead of the frontier into its open table, all else into its late
/// table. Returns the hits of each.
pub(super) async fn write_rollup(
    store: &PostgresStore,
    transaction: &Transaction<'_>,
    rollup: usize,
    rows: &[SortedRow<'_>],
    frontier: EventTime,
) -> Result<Booked, StoreError> {
    let Some(tables) = store.rollups.get(rollup) else { return Ok(Booked::default()) };
    let is_open =
        |row: &SortedRow<'_>| store.pipeline.rules.window.starting(row.window_start).end > frontier;
    let open = |row: &SortedRow<'_>| if is_open(row) { row.tally.on_time } else { 0 };
    let late = |row: &SortedRow<'_>| row.tally.on_time + row.tally.late - open(row);
    let open_rows = write_hits(transaction, &tables.upsert_open, store, rows, open).await?;
    let late_rows = write_hits(transaction, &tables.upsert_late, store, rows, late).await?;
    let sum = |of: &dyn Fn(&SortedRow<'_>) -> u64| {
        i64::try_from(rows.iter().map(of).sum::<u64>()).unwrap_or(i64::MAX)
    };
    Ok(Booked { counted: sum(&open), late: sum(&late), open_rows, late_rows })
}

/// What was summed into a rollup: (record, window) pairs in open windows, and late ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Booked {
    counted: i64,
    late: i64,
    /// Rows sent.
    open_rows: u64,
    late_rows: u64,
}

/// Books what was summed into the rollups beside the first, which the partitions' own ledgers stand for. The lowest
/// partition's progress row is locked, and with it its rows here.
async fn book_rollups(
    transaction: &Transaction<'_>,
    epoch: &Epoch,
    booked: &[Booked],
) -> Result<(), StoreError> {
    let Some(lowest) = epoch.partitions.iter().find(|part| part.from != part.to) else {
        return Ok(());
    };
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, (rollup, booked)) in ROLLUPS.iter().zip(booked).enumerate().skip(1) {
        let refused = epoch.refused_hits(at);
        if booked.counted != 0 || booked.late != 0 || refused != 0 {
            columns.0.push(rollup.name);
            columns.1.push(booked.counted);
            columns.2.push(booked.late);
            columns.3.push(refused);
        }
    }
    if columns.0.is_empty() {
        return Ok(());
    }
    let (incarnation, partition) = (lowest.incarnation, lowest.partition.0);
    let parameters: &[&(dyn ToSql + Sync)] =
        &[&columns.0, &incarnation, &partition, &columns.1, &columns.2, &columns.3];
    let taken = transaction.execute(BOOK_ROLLUPS, parameters).await;
    all_taken(taken.map_err(|error| classify(&error))?, columns.0.len())
}
