//! Hits and rejected records into their tables, by COPY.

use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use tokio_postgres::{CopyInSink, Transaction};

use super::PostgresStore;
use super::session::{all_taken, classify};
use crate::enricher::EVENT_FIELDS;
use crate::faults::fault_point;
use crate::packed::{FrozenRows, RowOrigin};
use crate::store::StoreError;
use crate::writer::Epoch;

const REJECT_COLUMNS: &str =
    "topic, incarnation, partition, \"offset\", reason, detail, payload, kafka_time";

const COPY_MESSAGE_BYTES: usize = 256 << 10;

/// Copies the wanted events in: those of attached days to the partitioned table, the others beside it.
pub(super) async fn copy_events(
    store: &PostgresStore,
    transaction: &Transaction<'_>,
    events: &[FrozenRows],
    wanted: impl Fn(&RowOrigin) -> bool,
) -> Result<u64, StoreError> {
    let columns = EVENT_FIELDS.join(", ");
    let events: Vec<&FrozenRows> = events.iter().collect();
    let mut rows = 0;
    for (table, attached) in [("processed_events", true), ("processed_events_overflow", false)] {
        let here = |row: &RowOrigin| wanted(row) && store.is_attached(row.day) == attached;
        rows += copy(transaction, table, &columns, &events, here).await?;
    }
    Ok(rows)
}

/// Copies the wanted rejected records in.
pub(super) async fn copy_rejects(
    transaction: &Transaction<'_>,
    epoch: &Epoch,
    wanted: impl Fn(&RowOrigin) -> bool,
) -> Result<u64, StoreError> {
    let rejects: Vec<_> = epoch.partitions.iter().map(|part| &part.rejects).collect();
    copy(transaction, "rejected_events", REJECT_COLUMNS, &rejects, wanted).await
}

/// Sends the wanted ones of packed tuples as a binary COPY.
async fn copy(
    transaction: &Transaction<'_>,
    table: &str,
    columns: &str,
    rows: &[&FrozenRows],
    wanted: impl Fn(&RowOrigin) -> bool,
) -> Result<u64, StoreError> {
    let origins = rows.iter().flat_map(|rows| rows.origins());
    let sent = origins.filter(&wanted).count();
    if sent == 0 {
        return Ok(0);
    }
    let command = format!("COPY {table} ({columns}) FROM STDIN BINARY");
    let sink: CopyInSink<Bytes> =
        transaction.copy_in(&command).await.map_err(|error| classify(&error))?;
    futures::pin_mut!(sink);
    let mut header = BytesMut::from(&b"PGCOPY\n\xff\r\n\0"[..]);
    header.put_u32(0); // flags
    header.put_u32(0); // length of the header's extension
    sink.feed(header.freeze()).await.map_err(|error| classify(&error))?;
    // They are unpacked one piece at a time: an epoch as a whole may take a multiple of what it is held in.
    for piece in rows {
        for slice in piece.slices(&wanted)? {
            // A message of the protocol may not exceed 1 GiB; smaller ones keep the socket's buffer small.
            for at in (0..slice.len()).step_by(COPY_MESSAGE_BYTES) {
                let part = slice.slice(at..slice.len().min(at + COPY_MESSAGE_BYTES));
                sink.send(part).await.map_err(|error| classify(&error))?;
            }
        }
    }
    fault_point!("commit::amid_copy");
    sink.feed(Bytes::from_static(&[0xff, 0xff])).await.map_err(|error| classify(&error))?;
    let taken = sink.finish().await.map_err(|error| classify(&error))?;
    all_taken(taken, sent)?;
    Ok(taken)
}
