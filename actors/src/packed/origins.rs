//! Where each packed row comes from, in eight bytes: with millions of hits waiting for their commit, most of what there is to
//! say is the same for all of a batch.

use hitstream_domain::progress::{Offset, PartitionId};

use super::Day;

/// Where a packed row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOrigin {
    /// The record's partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// The day of its event time; the day of rejection for rejects.
    pub day: Day,
}

/// The origins of packed rows, in order, and how long their tuples are.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    runs: Vec<Run>,
    rows: Vec<Row>,
}

/// Rows one after another that are of one partition and day, at offsets not far apart.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: RowOrigin,
    rows: usize,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Offset less that of the run's first row.
    after: u32,
    /// Bytes of its tuple; a Kafka record cannot exceed 2 GiB, so neither can what is taken from it.
    length: u32,
}

impl Origins {
    /// Adds a row whose tuple has so many bytes.
    pub(super) fn push(&mut self, origin: RowOrigin, length: usize) {
        let RowOrigin { partition, offset, day } = origin;
        let after = |run: &Run| {
            let goes_on = run.first.partition == partition && run.first.day == day;
            u32::try_from(offset.0 - run.first.offset.0).ok().filter(|_| goes_on)
        };
        let after = match self.runs.last_mut().and_then(|run| Some((after(run)?, run))) {
            Some((after, run)) => {
                run.rows += 1;
                after
            }
            None => {
                self.runs.push(Run { first: origin, rows: 1 });
                0
            }
        };
        self.rows.push(Row { after, length: u32::try_from(length).unwrap_or(u32::MAX) });
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    /// A copy without room to spare; the room stays here, for the next rows.
    pub(super) fn take(&mut self) -> Self {
        let taken = self.clone();
        self.runs.clear();
        self.rows.clear();
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn first(&self) -> Option<RowOrigin> {
        self.runs.first().map(|run| run.first)
    }

    pub(super) fn last(&self) -> Option<RowOrigin> {
        Some(self.runs.last()?.at(self.rows.last()?))
    }

    /// Bytes of memory in use.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.runs) + size_of_val(&*self.rows)
    }

    /// Each row's origin and the bytes of its tuple, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RowOrigin, usize)> {
        let runs = self.runs.iter().flat_map(|run| std::iter::repeat_n(run, run.rows));
        runs.zip(&self.rows).map(|(run, row)| (run.at(row), row.length as usize))
    }
}

impl Run {
    fn at(&self, row: &Row) -> RowOrigin {
        let offset = Offset(self.first.offset.0 + i64::from(row.after));
        RowOrigin { offset, ..self.first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mostly near one another.
    fn offset() -> impl Strategy<Value = i64> {
        prop_oneof![3 => 0_i64..9, 1 => 0..i64::MAX]
    }

    proptest! {
        #[test]
        fn origins_come_back_as_they_went_in(
            rows in prop::collection::vec((0..3, offset(), 0..3, 0_usize..9), 0..20)
        ) {
            let origin = |(partition, offset, day, length)| {
                let (partition, offset) = (PartitionId(partition), Offset(offset));
                (RowOrigin { partition, offset, day: Day(day) }, length)
            };
            let rows: Vec<_> = rows.into_iter().map(origin).collect();
            let mut origins = Origins::default();
            rows.iter().for_each(|(origin, length)| origins.push(*origin, *length));
            prop_assert_eq!(origins.first(), rows.first().map(|row| row.0));
            prop_assert_eq!(origins.last(), rows.last().map(|row| row.0));
            prop_assert_eq!(origins.len(), rows.len());
            prop_assert_eq!(origins.take().iter().collect::<Vec<_>>(), rows);
            prop_assert_eq!(origins.len(), 0);
        }
    }

    #[test]
    fn rows_of_a_batch_take_eight_bytes_each() {
        let mut origins = Origins::default();
        for offset in 0..1_000 {
            let origin =
                RowOrigin { partition: PartitionId(0), offset: Offset(offset), day: Day(0) };
            origins.push(origin, 100);
        }
        assert_eq!(origins.bytes(), 8 * 1_000 + size_of::<Run>());
    }
}
