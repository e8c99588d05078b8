//! Rows packed as length-prefixed fields. That is the tuple format of PostgreSQL's binary COPY, so that rows are
//! encoded once, where they arise and in parallel, and the writer only sends bytes.

mod lz4;
mod origins;

use std::ops::Range;

use bytes::Bytes;
use hitstream_domain::progress::{Offset, OffsetRange, PartitionId};
use hitstream_domain::time::EventTime;

pub use lz4::Damaged;
pub use origins::RowOrigin;

use origins::Origins;

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

/// Rows under construction.
#[derive(Clone, Debug, Default)]
pub struct PackedRows {
    bytes: Vec<u8>,
    /// How many of them rows end in.
    ended: usize,
    rows: Origins,
}

impl PackedRows {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for so many more rows and bytes of tuples.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.rows.reserve(rows);
        self.bytes.reserve(bytes);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.rows.bytes()
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
        let length = self.bytes.len() - std::mem::replace(&mut self.ended, self.bytes.len());
        self.rows.push(RowOrigin { partition, offset, day }, length);
    }

    /// Takes the rows out, to be kept until they are committed: compressed, where there is enough of them to gain by it.
    /// The room stays for the next ones.
    pub fn freeze(&mut self) -> FrozenRows {
        let size = self.bytes.len();
        let block = if size < LEAST_COMPRESSED { None } else { lz4::compress(&self.bytes) };
        let tuples = match block {
            Some(block) => Tuples::Lz4 { block, size },
            None => Tuples::Plain(Bytes::copy_from_slice(&self.bytes)),
        };
        self.bytes.clear();
        self.bytes.shrink_to(MOST_ROOM);
        self.ended = 0;
        FrozenRows { tuples, rows: self.rows.take() }
    }
}

/// Room beyond it is given back.
const MOST_ROOM: usize = 1 << 20;

/// Less is not worth compressing.
const LEAST_COMPRESSED: usize = 4 << 10;

/// Rows ready to be sent, as often as it takes.
#[derive(Clone, Debug, Default)]
pub struct FrozenRows {
    tuples: Tuples,
    rows: Origins,
}

/// Tuples one after another. Hits are much alike: compressed they take a fifth, so that an epoch holds more of them.
#[derive(Clone, Debug)]
enum Tuples {
    Plain(Bytes),
    Lz4 { block: Bytes, size: usize },
}

impl Default for Tuples {
    fn default() -> Self {
        Self::Plain(Bytes::new())
    }
}

impl FrozenRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The origins of all rows, in order.
    pub fn origins(&self) -> impl Iterator<Item = RowOrigin> {
        self.rows.iter().map(|(origin, _)| origin)
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let (Tuples::Plain(tuples) | Tuples::Lz4 { block: tuples, .. }) = &self.tuples;
        tuples.len() + self.rows.bytes()
    }

    /// Each row with its origin, in order, of [unpacked](Self::unpack) tuples.
    pub(crate) fn rows<'a>(
        &'a self,
        unpacked: &'a [u8],
    ) -> impl Iterator<Item = (RowOrigin, &'a [u8])> {
        each(unpacked, &self.rows)
    }

    /// The tuples of all rows, one after another.
    ///
    /// # Errors
    /// The rows were damaged.
    pub(crate) fn unpack(&self) -> Result<Bytes, Damaged> {
        match &self.tuples {
            Tuples::Plain(tuples) => Ok(tuples.clone()),
            Tuples::Lz4 { block, size } => lz4::decompress(block, *size),
        }
    }

    /// The tuples of all rows that `wanted` picks, as few slices of shared bytes.
    ///
    /// # Errors
    /// The rows were damaged.
    pub fn slices(
        &self,
        mut wanted: impl FnMut(&RowOrigin) -> bool,
    ) -> Result<Vec<Bytes>, Damaged> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        for (row, length) in self.rows.iter() {
            let end = at + length;
            match runs.last_mut().filter(|run| run.end == at) {
                _ if !wanted(&row) => {}
                Some(run) => run.end = end,
                None => runs.push(at..end),
            }
            at = end;
        }
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let tuples = self.unpack()?;
        Ok(runs.into_iter().map(|run| tuples.slice(run)).collect())
    }
}

/// Each row's tuple with its origin.
fn each<'a>(bytes: &'a [u8], rows: &'a Origins) -> impl Iterator<Item = (RowOrigin, &'a [u8])> {
    let mut rest = bytes;
    rows.iter().map(move |(origin, length)| {
        let (row, after) = rest.split_at_checked(length).unwrap_or_default();
        rest = after;
        (origin, row)
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
        let slices = rows.freeze().slices(|row| row.offset != Offset(2)).unwrap();
        assert_eq!(slices.iter().map(Bytes::len).collect::<Vec<_>>(), [2 * width, 2 * width]);
    }

    #[test]
    fn many_rows_take_less_memory_and_come_back_as_they_were() {
        let mut rows = PackedRows::default();
        for offset in 0..1_000 {
            let agent = format!("Mozilla/5.0 (X11; Linux x86_64; rv:{offset})");
            rows.begin(2).bigint(offset).text(Some(&agent));
            rows.end(PartitionId(0), Offset(offset), Day(0));
        }
        let (plain, tuples) = (rows.bytes(), rows.bytes.clone());
        let frozen = rows.freeze();
        assert!(frozen.bytes() < plain * 2 / 3, "{} of {plain}", frozen.bytes());
        assert_eq!(frozen.slices(|_| true).unwrap().concat(), tuples);
        let odd = frozen.slices(|row| row.offset.0 % 2 == 1).unwrap();
        assert_eq!(odd.len(), 500);
        assert!(tuples.ends_with(odd.last().unwrap()));
    }

    #[test]
    fn day_of_an_instant_before_the_epoch_is_the_day_before() {
        assert_eq!(Day::of(EventTime::from_micros(-1)), Day(-1));
        assert_eq!(Day(1).start().as_micros(), MICROS_PER_DAY);
    }
}
