//! Rows packed as length-prefixed fields. That is the tuple format of PostgreSQL's binary COPY, so that rows are
//! encoded once, where they arise and in parallel, and the writer only sends bytes.

use bytes::Bytes;
use hitstream_domain::progress::{Offset, OffsetRange, PartitionId};
use hitstream_domain::time::EventTime;

/// PostgreSQL counts microseconds from 2000-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A day of event time, in days since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The UTC day that holds `t`.
    pub fn of(t: EventTime) -> Self {
        Self(i32::try_from(t.as_micros().div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))
    }

    /// The day's first instant.
    pub fn start(self) -> EventTime {
        EventTime::from_micros(i64::from(self.0) * MICROS_PER_DAY)
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// An instant as PostgreSQL's binary `timestamptz`; infinities are its own.
pub(crate) fn timestamptz(t: EventTime) -> i64 {
    match t {
        EventTime::NEG_INFINITY => i64::MIN,
        EventTime::INFINITY => i64::MAX,
        t => t.as_micros().saturating_sub(POSTGRES_EPOCH_MICROS),
    }
}

/// The instant of a binary `timestamptz`.
pub(crate) fn from_timestamptz(raw: i64) -> EventTime {
    match raw {
        i64::MIN => EventTime::NEG_INFINITY,
        i64::MAX => EventTime::INFINITY,
        raw => EventTime::from_micros(raw.saturating_add(POSTGRES_EPOCH_MICROS)),
    }
}

/// Where a packed row comes from and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOrigin {
    /// The record's partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// The day of its event time; the day of rejection for rejects.
    pub day: Day,
    end: usize,
}

/// Rows under construction.
#[derive(Clone, Debug, Default)]
pub struct PackedRows {
    bytes: Vec<u8>,
    rows: Vec<RowOrigin>,
}

impl PackedRows {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// No rows yet, with room for so many rows and bytes of tuples.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), rows: Vec::with_capacity(rows) }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<RowOrigin>()
    }

    /// The records that the rows are of, where they are one partition's in order.
    pub fn range(&self) -> Option<OffsetRange> {
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        let (partition, from) = (first.partition, first.offset);
        Some(OffsetRange { partition, from, to: last.offset.next() })
    }

    /// Each row with its origin, in order.
    pub fn rows(&self) -> impl Iterator<Item = (RowOrigin, &[u8])> {
        each(&self.bytes, &self.rows)
    }

    /// Begins a row of `columns` fields.
    pub fn begin(&mut self, columns: i16) -> &mut Self {
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        self
    }

    /// Continues a row with fields packed elsewhere.
    pub fn fields(&mut self, packed: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(packed);
        self
    }

    /// Adds a NULL.
    pub fn null(&mut self) -> &mut Self {
        self.fields(&(-1_i32).to_be_bytes())
    }

    /// Adds a field of raw bytes (`bytea`).
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        // A Kafka record cannot exceed 2 GiB, so neither can a field taken from one.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.fields(value)
    }

    /// Adds a text or NULL.
    pub fn text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(text) => self.raw(text.as_bytes()),
            None => self.null(),
        }
    }

    /// Adds an `integer`.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Adds a `bigint`.
    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Adds a `timestamptz` or NULL.
    pub fn time(&mut self, value: Option<EventTime>) -> &mut Self {
        match value {
            Some(t) => self.bigint(timestamptz(t)),
            None => self.null(),
        }
    }

    /// Adds a `double precision` or NULL.
    pub fn double(&mut self, value: Option<f64>) -> &mut Self {
        match value {
            Some(number) => self.raw(&number.to_be_bytes()),
            None => self.null(),
        }
    }

    /// Fields alone, to be added to rows elsewhere.
    pub fn into_fields(self) -> Box<[u8]> {
        self.bytes.into()
    }

    /// Ends a row.
    pub fn end(&mut self, partition: PartitionId, offset: Offset, day: Day) {
        self.rows.push(RowOrigin { partition, offset, day, end: self.bytes.len() });
    }

    /// Fixes the rows, to be shared without copying.
    pub fn freeze(self) -> FrozenRows {
        FrozenRows { bytes: self.bytes.into(), rows: self.rows }
    }
}

/// Rows ready to be sent, as often as it takes.
#[derive(Clone, Debug, Default)]
pub struct FrozenRows {
    bytes: Bytes,
    rows: Vec<RowOrigin>,
}

impl FrozenRows {
    /// The origins of all rows, in order.
    pub fn origins(&self) -> &[RowOrigin] {
        &self.rows
    }

    /// Each row with its origin, in order.
    pub fn rows(&self) -> impl Iterator<Item = (RowOrigin, &[u8])> {
        each(&self.bytes, &self.rows)
    }

    /// The tuples of all rows that `wanted` picks, as few slices of shared bytes.
    pub fn slices(&self, mut wanted: impl FnMut(&RowOrigin) -> bool) -> Vec<Bytes> {
        let mut slices = Vec::new();
        let (mut run_start, mut at) = (0, 0);
        for row in &self.rows {
            if !wanted(row) {
                if run_start < at {
                    slices.push(self.bytes.slice(run_start..at));
                }
                run_start = row.end;
            }
            at = row.end;
        }
        if run_start < at {
            slices.push(self.bytes.slice(run_start..at));
        }
        slices
    }
}

/// Each row's tuple with its origin.
fn each<'a>(bytes: &'a [u8], rows: &'a [RowOrigin]) -> impl Iterator<Item = (RowOrigin, &'a [u8])> {
    let mut start = 0;
    rows.iter().map(move |row| {
        let fields = bytes.get(start..row.end).unwrap_or_default();
        start = row.end;
        (*row, fields)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_rows_come_as_runs() {
        let mut rows = PackedRows::default();
        for offset in 0..5 {
            rows.begin(1).bigint(offset).end(PartitionId(0), Offset(offset), Day(0));
        }
        let width = 2 + 4 + 8;
        let slices = rows.freeze().slices(|row| row.offset != Offset(2));
        assert_eq!(slices.iter().map(Bytes::len).collect::<Vec<_>>(), [2 * width, 2 * width]);
    }

    #[test]
    fn day_of_an_instant_before_the_epoch_is_the_day_before() {
        assert_eq!(Day::of(EventTime::from_micros(-1)), Day(-1));
        assert_eq!(Day(1).start().as_micros(), MICROS_PER_DAY);
    }
}
