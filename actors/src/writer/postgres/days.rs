//! Days of `processed_events`: attached ahead of the epoch that needs them, in a transaction of their own.
//!
//! Creating them inside a commit deadlocks two instances, and a DEFAULT partition would be scanned under lock at every
//! attach. What exceeds `events.max_partitions` goes to a table beside.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Transaction;
use tracing::warn;

use super::locks::days_lock;
use super::session::{classify, describe};
use super::{PostgresStore, begin};
use crate::packed::Day;
use crate::store::StoreError;
use crate::writer::Epoch;

/// Whose the days are to be as well: where another role migrates, it could not alter days of this one's with their parent.
const OWNER: &str = "SELECT quote_ident(pg_get_userbyid(relowner)::text) FROM pg_class WHERE oid = 'processed_events'::regclass";

/// Which days are known to be attached, and which to overflow.
#[derive(Debug, Default)]
pub(super) struct KnownDays(BTreeMap<Day, bool>);

impl PostgresStore {
    /// Makes sure that each day of the epoch's events is attached, or known to overflow.
    pub(super) async fn attach_days(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let mut unknown: BTreeSet<Day> =
            epoch.events.iter().flat_map(|rows| rows.origins()).map(|row| row.day).collect();
        self.with_days(|days| unknown.retain(|day| !days.contains_key(day)));
        if unknown.is_empty() {
            return Ok(());
        }
        let attached = self.attach(&unknown).await?;
        self.with_days(|days| {
            days.extend(unknown.into_iter().map(|day| (day, attached.contains(&day))));
        });
        Ok(())
    }

    /// Whether events of this day go to the partitioned table.
    pub(super) fn is_attached(&self, day: Day) -> bool {
        self.with_days(|days| days.get(&day).copied().unwrap_or(true))
    }

    /// Forgets what is known of days: somebody may have detached one.
    pub(super) fn forget_days(&self) {
        self.with_days(BTreeMap::clear);
    }

    fn with_days<T>(&self, f: impl FnOnce(&mut BTreeMap<Day, bool>) -> T) -> T {
        let mut days = self.days.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut days.0)
    }

    /// Attaches those of `wanted` that are missing, as long as there is room; returns which are attached now.
    async fn attach(&self, wanted: &BTreeSet<Day>) -> Result<BTreeSet<Day>, StoreError> {
        let mut connection = self.connection().await?;
        let transaction = begin(&mut connection).await?;
        let lock = days_lock(&self.settings.schema);
        let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await;
        locked.map_err(|error| classify(&error))?;
        let owner = transaction.query_one(OWNER, &[]).await.map_err(|error| classify(&error))?;
        let owner: String = owner.get(0);
        let query = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                     WHERE i.inhparent = 'processed_events'::regclass";
        let rows = transaction.query(query, &[]).await.map_err(|error| classify(&error))?;
        let mut names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut attached = BTreeSet::new();
        for &day in wanted {
            let name = format!("processed_events_{}", date(day).replace('-', ""));
            if names.contains(&name) {
                attached.insert(day);
                continue;
            }
            if names.len() >= self.pipeline.max_days {
                continue;
            }
            if attach_day(&transaction, &name, day, &owner).await? {
                names.insert(name);
                attached.insert(day);
            }
        }
        transaction.commit().await.map_err(|error| classify(&error))?;
        Ok(attached)
    }
}

/// Attaches one day: a new table, or the one that somebody detached. Tells whether that could be; where something else
/// is in its place, the day's events go to the table beside.
async fn attach_day(
    transaction: &Transaction<'_>,
    name: &str,
    day: Day,
    owner: &str,
) -> Result<bool, StoreError> {
    let ddl = format!(
        "SAVEPOINT attaching; \
         CREATE TABLE IF NOT EXISTS {name} (LIKE processed_events INCLUDING ALL); \
         ALTER TABLE {name} OWNER TO {owner}; \
         ALTER TABLE processed_events ATTACH PARTITION {name} FOR VALUES FROM ('{}') TO ('{}'); \
         RELEASE SAVEPOINT attaching",
        day.start(),
        day.next().start(),
    );
    let Err(error) = transaction.batch_execute(&ddl).await else { return Ok(true) };
    let is_in_the_way = error
        .code()
        .is_some_and(|code| ["22", "23", "42"].iter().any(|c| code.code().starts_with(c)));
    if !is_in_the_way {
        return Err(classify(&error));
    }
    warn!(
        day = name,
        error = describe(&error),
        "a day cannot be attached; its events go to processed_events_overflow"
    );
    let back = "ROLLBACK TO SAVEPOINT attaching; RELEASE SAVEPOINT attaching";
    transaction.batch_execute(back).await.map_err(|error| classify(&error))?;
    Ok(false)
}

/// A day as `YYYY-MM-DD`.
fn date(day: Day) -> String {
    let start = day.start().to_string();
    start.split('T').next().unwrap_or_default().to_owned()
}
