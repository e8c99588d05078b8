//! Sums into the tables that hold them, row by row of a key.

use std::pin::Pin;

use futures::future::{MaybeDone, maybe_done};
use futures::poll;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Statement, Transaction};

use super::PostgresStore;
use super::session::{all_taken, classify};
use super::types::{Timestamp, Uuid};
use crate::store::StoreError;
use crate::window::SortedRow;

/// Rows of one upsert; measured best between 5,000 and 10,000.
const ROWS_PER_UPSERT: usize = 8_192;
/// Text of one upsert, in bytes; a single row may have more.
const BYTES_PER_UPSERT: usize = 16 << 20;

/// Upserts what `hits` makes of each row, rows without hits left out.
///
/// While PostgreSQL is at one chunk, the next is put together and sent, in the order of keys.
pub(super) async fn write_hits(
    transaction: &Transaction<'_>,
    upsert: &str,
    store: &PostgresStore,
    rows: &[SortedRow<'_>],
    hits: impl Fn(&SortedRow<'_>) -> u64,
) -> Result<u64, StoreError> {
    let rows: Vec<(&SortedRow<'_>, u64)> =
        rows.iter().map(|row| (row, hits(row))).filter(|(_, hits)| *hits > 0).collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let statement = transaction.prepare(upsert).await.map_err(|error| classify(&error))?;
    let text_bytes = |row: &SortedRow<'_>| row.texts.clone().flatten().map(str::len).sum();
    let mut under_way = None;
    for chunk in chunks(&rows, |(row, _)| text_bytes(row)) {
        let mut next = Box::pin(maybe_done(write_chunk(transaction, &statement, store, chunk)));
        // Its first poll sends it, behind the one before.
        let _ = poll!(&mut next);
        if let Some(before) = under_way.replace(next) {
            answered(before).await?;
        }
    }
    if let Some(last) = under_way {
        answered(last).await?;
    }
    Ok(rows.len() as u64)
}

async fn answered(
    mut sent: Pin<Box<MaybeDone<impl Future<Output = Result<(), StoreError>>>>>,
) -> Result<(), StoreError> {
    sent.as_mut().await;
    // Taken once, here, so that it is there.
    sent.as_mut().take_output().unwrap_or(Ok(()))
}

async fn write_chunk(
    transaction: &Transaction<'_>,
    upsert: &Statement,
    store: &PostgresStore,
    chunk: &[(&SortedRow<'_>, u64)],
) -> Result<(), StoreError> {
    let window = |row: &SortedRow<'_>| store.pipeline.rules.window.starting(row.window_start);
    let starts: Vec<_> = chunk.iter().map(|(row, _)| Timestamp(row.window_start)).collect();
    let ends: Vec<_> = chunk.iter().map(|(row, _)| Timestamp(window(row).end)).collect();
    let hosts: Vec<i64> = chunk.iter().map(|(row, _)| row.host_hash).collect();
    let keys: Vec<_> = chunk.iter().map(|(row, _)| Uuid(row.row_key)).collect();
    let hits: Vec<i64> =
        chunk.iter().map(|(_, hits)| i64::try_from(*hits).unwrap_or(i64::MAX)).collect();
    let dimensions = upsert.params().len() - 5;
    let mut texts: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(chunk.len()); dimensions];
    for (row, _) in chunk {
        for (column, text) in texts.iter_mut().zip(row.texts.clone()) {
            column.push(text);
        }
    }
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&starts, &ends, &hosts, &keys, &hits];
    parameters.extend(texts.iter().map(|column| column as &(dyn ToSql + Sync)));
    let taken = transaction.execute(upsert, &parameters).await;
    all_taken(taken.map_err(|error| classify(&error))?, chunk.len())
}

/// Splits rows so that no upsert has too many, or too much text: a message of the protocol may not exceed 1 GiB.
fn chunks<T>(rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut held = (0, 0);
    rows.chunk_by(move |row, next| {
        held = (held.0 + 1, held.1 + bytes(row));
        let goes_on = held.0 < ROWS_PER_UPSERT && held.1 + bytes(next) <= BYTES_PER_UPSERT;
        if !goes_on {
            held = (0, 0);
        }
        goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upserts_are_bounded_by_rows_and_by_text() {
        let lengths =
            |rows: &[usize]| chunks(rows, |row| *row).map(<[usize]>::len).collect::<Vec<_>>();
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&vec![1; ROWS_PER_UPSERT + 1]), [ROWS_PER_UPSERT, 1]);
        let half = BYTES_PER_UPSERT / 2;
        assert_eq!(lengths(&[half, half, half]), [2, 1]);
        assert_eq!(lengths(&[1, BYTES_PER_UPSERT, 1, 3 * BYTES_PER_UPSERT, half]), [1, 1, 1, 1, 1]);
    }
}
