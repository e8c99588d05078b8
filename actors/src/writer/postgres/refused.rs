//! Finds what in a refused epoch PostgreSQL refuses, by trying halves, in a transaction that is always rolled back.
//!
//! What is taken stays until then: a row may be refused only beside another, as by a unique index. An event that is taken
//! without its place is refused for that alone: its place is left out then, and no record is rejected.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use tokio_postgres::Transaction;

use super::commit::{read_frontier, write_rollup};
use super::copy::{copy_events, copy_rejects};
use super::session::classify;
use super::{PostgresStore, begin};
use crate::enricher::{is_located, split_place, without_place};
use crate::packed::{PackedRows, RowOrigin};
use crate::refuse::{Kept, RefuseList};
use crate::store::StoreError;
use crate::window::SortedRow;
use crate::writer::Epoch;

/// So many refused rows are looked for at once; what is left is found when the rest is committed.
const MOST_FOUND: usize = 1_000;

/// Characters of PostgreSQL's words that are kept.
const MOST_SAID: usize = 500;

/// Tries the epoch's rows until each refused one is known.
pub(super) async fn find(store: &PostgresStore, epoch: &Epoch) -> Result<RefuseList, StoreError> {
    // A refusal may also mean that a day was detached since; a fresh look attaches it again.
    store.forget_days();
    store.attach_days(epoch).await?;
    let mut connection = store.connection().await?;
    let transaction = begin(&mut connection).await?;
    let frontier = read_frontier(&transaction, &store.pipeline).await?;
    let mut search =
        Search { store, frontier, transaction: &transaction, epoch, found: RefuseList::default() };
    for rollup in 0..store.rollups.len() {
        let rows = epoch.rows(rollup);
        search.halve(&Candidates::Hits(rollup, &rows)).await?;
    }
    // A piece at a time: unpacked they take a multiple of what they are held in.
    for piece in &epoch.events {
        let tuples = piece.unpack()?;
        let events: Vec<Event<'_>> = piece.rows(&tuples).collect();
        search.halve(&Candidates::Events(&events)).await?;
    }
    let rejects = origins(epoch.partitions.iter().flat_map(|part| part.rejects.origins()));
    search.halve(&Candidates::Rejects(&rejects)).await?;
    let found = search.found;
    transaction.rollback().await.map_err(|error| classify(&error))?;
    Ok(found)
}

fn origins(rows: impl Iterator<Item = RowOrigin>) -> Vec<(PartitionId, Offset)> {
    rows.map(|row| (row.partition, row.offset)).collect()
}

/// A trigger may say as much as it likes, but it is said again in each record's row.
fn cut(said: &str) -> &str {
    said.char_indices().nth(MOST_SAID).map_or(said, |(at, _)| said.get(..at).unwrap_or(said))
}

/// A row of `processed_events`.
type Event<'a> = (RowOrigin, &'a [u8]);

/// Rows of one kind, some of which may be refused.
#[derive(Clone, Copy)]
enum Candidates<'a> {
    Hits(usize, &'a [SortedRow<'a>]),
    Events(&'a [Event<'a>]),
    Rejects(&'a [(PartitionId, Offset)]),
    /// Events without their places.
    Placeless(&'a [Event<'a>]),
}

impl<'a> Candidates<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Hits(_, rows) => rows.len(),
            Self::Events(rows) | Self::Placeless(rows) => rows.len(),
            Self::Rejects(rows) => rows.len(),
        }
    }

    fn halves(&self) -> [Candidates<'a>; 2] {
        let middle = self.len() / 2;
        match *self {
            Self::Hits(rollup, rows) => {
                let (a, b) = rows.split_at(middle);
                [Candidates::Hits(rollup, a), Candidates::Hits(rollup, b)]
            }
            Self::Events(rows) => {
                let (a, b) = rows.split_at(middle);
                [Candidates::Events(a), Candidates::Events(b)]
            }
            Self::Rejects(rows) => {
                let (a, b) = rows.split_at(middle);
                [Candidates::Rejects(a), Candidates::Rejects(b)]
            }
            Self::Placeless(rows) => {
                let (a, b) = rows.split_at(middle);
                [Candidates::Placeless(a), Candidates::Placeless(b)]
            }
        }
    }
}

struct Search<'a> {
    store: &'a PostgresStore,
    transaction: &'a Transaction<'a>,
    epoch: &'a Epoch,
    frontier: EventTime,
    found: RefuseList,
}

impl<'a> Search<'a> {
    /// Tries all candidates, and one half after the other if they are refused, down to single rows.
    fn halve<'s>(
        &'s mut self,
        candidates: &'s Candidates<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 's>> {
        Box::pin(async move {
            if candidates.len() == 0 || self.found.len() >= MOST_FOUND {
                return Ok(());
            }
            let Some(mut said) = self.refusal(candidates).await? else { return Ok(()) };
            if candidates.len() > 1 {
                let [a, b] = candidates.halves();
                self.halve(&a).await?;
                return self.halve(&b).await;
            }
            let mut at_fault = *candidates;
            if let Candidates::Events(one @ [(_, row)]) = candidates
                && is_located(split_place(row).1)
            {
                match self.refusal(&Candidates::Placeless(one)).await? {
                    None => at_fault = Candidates::Placeless(one),
                    Some(without_place) => said = without_place,
                }
            }
            self.note(&at_fault, &said);
            Ok(())
        })
    }

    /// Adds a refused row to what was found.
    fn note(&mut self, candidate: &Candidates<'_>, said: &str) {
        let found = &mut self.found;
        found.said = format!("PostgreSQL refused it: {}", cut(said));
        let said: Arc<str> = found.said.as_str().into();
        match candidate {
            Candidates::Hits(0, rows) => {
                let keys = rows.iter().map(|row| (row.window_start, row.row_key));
                found.keys.extend(keys.map(|key| (key, Arc::clone(&said))));
            }
            Candidates::Hits(rollup, rows) => {
                found.sums.extend(rows.iter().map(|row| (*rollup, row.window_start, row.row_key)));
            }
            Candidates::Events(rows) => {
                let record =
                    |(row, _): &Event<'_>| ((row.partition, row.offset), Arc::clone(&said));
                found.events.extend(rows.iter().map(record));
            }
            Candidates::Placeless(rows) => {
                found.places.extend(rows.iter().map(|(_, row)| split_place(row).1.into()));
            }
            Candidates::Rejects(rows) => {
                found.rejects.extend(rows.iter().map(|record| (*record, Kept::Payload)));
            }
        }
    }

    /// Copies events in, each made of two pieces.
    async fn try_events<'r>(
        &self,
        rows: impl Iterator<Item = (RowOrigin, [&'r [u8]; 2])>,
    ) -> Result<(), StoreError> {
        let mut packed = PackedRows::default();
        for (origin, [row, place]) in rows {
            packed.fields(row).fields(place);
            packed.end(origin.partition, origin.offset, origin.day);
        }
        let events = [packed.freeze()];
        copy_events(self.store, self.transaction, &events, |_| true).await.map(drop)
    }

    /// What PostgreSQL says against these rows, if anything; then nothing of them stays.
    async fn refusal(&self, candidates: &Candidates<'_>) -> Result<Option<String>, StoreError> {
        let transaction = self.transaction;
        transaction.batch_execute("SAVEPOINT attempt").await.map_err(|error| classify(&error))?;
        let tried = match self.attempt(candidates).await {
            // Deferred constraints would only speak at commit.
            Ok(()) => transaction
                .batch_execute("SET CONSTRAINTS ALL IMMEDIATE")
                .await
                .map_err(|error| classify(&error)),
            refused => refused,
        };
        let (end, said) = match tried {
            Ok(()) => ("RELEASE SAVEPOINT attempt", None),
            Err(StoreError::Refused(said)) => {
                ("ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt", Some(said))
            }
            Err(other) => return Err(other),
        };
        transaction.batch_execute(end).await.map_err(|error| classify(&error))?;
        Ok(said)
    }

    async fn attempt(&self, candidates: &Candidates<'_>) -> Result<(), StoreError> {
        let (store, transaction) = (self.store, self.transaction);
        match candidates {
            Candidates::Hits(rollup, rows) => {
                write_rollup(store, transaction, *rollup, rows, self.frontier).await.map(drop)
            }
            Candidates::Events(rows) => {
                // Where a place is known to be refused, its events come without it the next time.
                let places = &self.found.places;
                let is_open = |(_, row): &&Event<'_>| {
                    places.is_empty() || !places.contains(split_place(row).1)
                };
                let rows = rows.iter().filter(is_open).map(|(origin, row)| (*origin, [*row, &[]]));
                self.try_events(rows).await
            }
            Candidates::Placeless(rows) => {
                let nowhere = without_place();
                let rows =
                    rows.iter().map(|(origin, row)| (*origin, [split_place(row).0, &*nowhere]));
                self.try_events(rows).await
            }
            Candidates::Rejects(rows) => {
                let wanted: BTreeSet<_> = rows.iter().copied().collect();
                let is_wanted = |row: &RowOrigin| wanted.contains(&(row.partition, row.offset));
                copy_rejects(transaction, self.epoch, is_wanted).await.map(drop)
            }
        }
    }
}
