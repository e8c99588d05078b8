//! *Advance* and *move*: the frontier, and the windows behind it.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use hitstream_domain::frontier::{PartitionClock, frontier};
use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use tokio_postgres::{Client, Error, Row, Transaction};
use tracing::warn;

use super::commit::row_missing;
use super::locks::{frontier_lock, move_lock};
use super::session::classify;
use super::tables::move_window as move_window_of;
use super::types::Timestamp;
use super::{PostgresStore, begin};
use crate::clock;
use crate::store::{Claims, Move, Open, StoreError, Survey};

/// `clock_timestamp()`, never `now()`: claims are compared with a time after K is held.
pub(super) const SURVEY: &str = "SELECT f.f, clock_timestamp(), p.partition, p.next_offset, p.max_event_time, p.idle_until \
     FROM frontier f LEFT JOIN partition_progress p \
       ON p.incarnation = (SELECT max(incarnation) FROM partition_progress) ORDER BY p.partition";

/// How long reading that may take: a few rows, which nobody locks for long.
const SURVEY_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to find a window that is final.
const FIND_LIMIT: Duration = Duration::from_secs(10);
/// How long counting open rows may take.
const COUNT_LIMIT: Duration = Duration::from_secs(60);

/// Reads the frontier and all progress without a lock: good enough to decide whether an advance is due.
pub(super) async fn survey(store: &PostgresStore) -> Result<Survey, StoreError> {
    let ask = async |client: &Client| client.query(SURVEY, &[]).await;
    let rows = store.within(SURVEY_LIMIT, "the frontier", ask).await?;
    read_survey(&rows)
}

/// Counts windows that are not final, and the rows of each rollup in them.
pub(super) async fn open(store: &PostgresStore) -> Result<Open, StoreError> {
    let Some((first, others)) = store.rollups.split_first() else { return Ok(Open::default()) };
    let others: String =
        others.iter().map(|tables| format!(", (SELECT count(*) FROM {})", tables.open)).collect();
    let query = format!(
        "SELECT count(*), coalesce(sum(rows), 0)::bigint{others} \
         FROM (SELECT count(*) AS rows FROM {} GROUP BY window_start) AS windows",
        first.open
    );
    let ask = async |client: &Client| client.query_one(&query, &[]).await;
    let row = store.within(COUNT_LIMIT, "open windows", ask).await?;
    Ok(Open { windows: row.get(0), rows: (1..row.len()).map(|column| row.get(column)).collect() })
}

/// Sets f to the frontier computed from all progress, if that is greater, and returns it.
pub(super) async fn advance(
    store: &PostgresStore,
    claims: Claims,
) -> Result<EventTime, StoreError> {
    let mut connection = store.connection().await?;
    let transaction = begin(&mut connection).await?;
    let lock = frontier_lock(&store.settings.schema);
    let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await;
    locked.map_err(|error| classify(&error))?;
    let survey = advance_locked(&transaction, store.pipeline.rules.delay, claims).await?;
    transaction.commit().await.map_err(|error| classify(&error))?;
    Ok(survey.frontier)
}

/// The same where K is held already, with what it was computed from.
pub(super) async fn advance_locked(
    transaction: &Transaction<'_>,
    delay: Duration,
    claims: Claims,
) -> Result<Survey, StoreError> {
    let rows = transaction.query(SURVEY, &[]).await.map_err(|error| classify(&error))?;
    let mut survey = read_survey(&rows)?;
    let computed = survey.computed(delay, claims);
    if computed > survey.frontier {
        let update = "UPDATE frontier SET f = $1, updated_at = clock_timestamp()";
        let moved = transaction.execute(update, &[&Timestamp(computed)]).await;
        moved.map_err(|error| classify(&error))?;
        survey.frontier = computed;
    }
    Ok(survey)
}

/// How long a window that the final tables refuse is left alone before it is tried again.
const LEAVE_ALONE: Duration = Duration::from_secs(60);

/// Windows that could not be moved, by their starts: since when, and why not.
#[derive(Debug, Default)]
pub(super) struct StuckWindows(BTreeMap<EventTime, (Duration, String)>);

impl StuckWindows {
    /// The windows to leave alone at `now`.
    fn at(&mut self, now: Duration) -> Vec<Timestamp> {
        self.0.retain(|_, (since, _)| now.saturating_sub(*since) < LEAVE_ALONE);
        self.0.keys().map(|start| Timestamp(*start)).collect()
    }

    /// What is left to say when nothing else can be moved.
    fn outcome(&self) -> Move {
        match self.0.first_key_value() {
            Some((window, (_, reason))) => Move::Stuck { window: *window, reason: reason.clone() },
            None => Move::Nothing,
        }
    }
}

/// Moves the earliest window behind the frontier, in all rollups at once. One that the final tables refuse, for somebody
/// put an index or a constraint on them, stays among the open ones: the live view shows it as final all the same.
pub(super) async fn move_window(store: &PostgresStore) -> Result<Move, StoreError> {
    loop {
        let now = clock::monotonic();
        let stuck = store.stuck.lock().unwrap_or_else(PoisonError::into_inner).at(now);
        let (window, reason) = match try_move(store, &stuck).await? {
            Ok(Move::Nothing) => {
                let stuck = store.stuck.lock().unwrap_or_else(PoisonError::into_inner);
                let refused = i64::try_from(stuck.0.len()).unwrap_or(i64::MAX);
                store.metrics.refused_windows.set(refused);
                return Ok(stuck.outcome());
            }
            Ok(moved) => return Ok(moved),
            Err(refused) => refused,
        };
        warn!(%window, reason, "the final tables refuse a window; it stays among the open ones, and others are moved");
        let mut stuck = store.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.0.insert(window, (now, reason));
    }
}

/// Asks for the start of the earliest window behind the frontier that is none of `$1`.
fn earliest_final(store: &PostgresStore) -> String {
    let earliest: Vec<String> = store
        .rollups
        .iter()
        .map(|tables| format!("(SELECT window_start, window_end FROM {} WHERE window_start <> ALL($1) ORDER BY window_start LIMIT 1)", tables.open))
        .collect();
    format!(
        "SELECT o.window_start FROM ({}) o, frontier f WHERE o.window_end <= f.f ORDER BY 1 LIMIT 1",
        earliest.join(" UNION ALL ")
    )
}

/// Moves the earliest window that is not stuck, or tells which one is refused and why.
async fn try_move(
    store: &PostgresStore,
    stuck: &[Timestamp],
) -> Result<Result<Move, (EventTime, String)>, StoreError> {
    let earliest = earliest_final(store);
    // Mostly there is none, and a look is enough. It has a limit, which a move may not: nobody knows how large a window is.
    let look = async |client: &Client| client.query_opt(&earliest, &[&stuck]).await;
    if store.within(FIND_LIMIT, "final windows", look).await?.is_none() {
        return Ok(Ok(Move::Nothing));
    }
    let mut connection = store.connection().await?;
    let transaction = begin(&mut connection).await?;
    let lock = move_lock(&store.settings.schema);
    let mut earliest_window = None;
    let moved: Result<Move, StoreError> = async {
        let failed = |error: Error| classify(&error);
        let try_lock = "SELECT pg_try_advisory_xact_lock($1)";
        let locked = transaction.query_one(try_lock, &[&lock]).await.map_err(failed)?;
        if !locked.get::<_, bool>(0) {
            return Ok(Move::Busy);
        }
        let found = transaction.query_opt(&earliest, &[&stuck]).await.map_err(failed)?;
        let Some(row) = found else { return Ok(Move::Nothing) };
        let Timestamp(window) = row.get(0);
        earliest_window = Some(window);
        for tables in &store.rollups {
            move_window_of(&transaction, tables, window).await?;
        }
        Ok(Move::Moved(window))
    }
    .await;
    let outcome = match moved {
        Ok(outcome) => {
            transaction.commit().await.map(|()| outcome).map_err(|error| classify(&error))
        }
        Err(error) => Err(error),
    };
    match (outcome, earliest_window) {
        (Ok(outcome), _) => Ok(Ok(outcome)),
        (Err(StoreError::Refused(reason)), Some(window)) => Ok(Err((window, reason))),
        (Err(error), _) => Err(error),
    }
}

impl Survey {
    /// The frontier that the partitions allow, which may lie behind the committed one.
    pub fn computed(&self, delay: Duration, claims: Claims) -> EventTime {
        let clocks: Vec<PartitionClock> =
            self.partitions.iter().map(|(_, _, clock)| *clock).collect();
        frontier(&clocks, delay, (claims == Claims::Valid).then_some(self.now))
    }
}

pub(super) fn read_survey(rows: &[Row]) -> Result<Survey, StoreError> {
    if rows.is_empty() {
        return Err(row_missing());
    }
    let mut survey = Survey {
        frontier: EventTime::NEG_INFINITY,
        now: EventTime::NEG_INFINITY,
        partitions: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        Timestamp(survey.frontier) = row.get(0);
        Timestamp(survey.now) = row.get(1);
        let Some(partition) = row.get::<_, Option<i32>>(2) else { continue };
        let clock = PartitionClock {
            max_event_time: row.get::<_, Option<Timestamp>>(4).map(|t| t.0),
            idle_until: row.get::<_, Option<Timestamp>>(5).map(|t| t.0),
        };
        survey.partitions.push((PartitionId(partition), Offset(row.get(3)), clock));
    }
    Ok(survey)
}
