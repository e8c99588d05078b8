//! What an enricher needs of a row that a consumer has packed: whose hit it is and where the visitor came from.

/// How the rows on their way to an enricher are made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLayout {
    /// The columns of `processed_events` before the geographic ones.
    Event,
    /// Host and IP address alone, where hits are summed and not stored.
    HostAndIp,
}

impl RowLayout {
    /// The layout where events are stored, or not.
    pub const fn of(store_events: bool) -> Self {
        if store_events { Self::Event } else { Self::HostAndIp }
    }

    /// The places of host and IP address.
    const fn places(self) -> (usize, usize) {
        match self {
            Self::Event => (6, 10),
            Self::HostAndIp => (0, 1),
        }
    }

    /// Host and IP address of a packed row.
    pub(super) fn read(self, row: &[u8]) -> (Option<&str>, Option<&str>) {
        let (host, ip) = self.places();
        let mut fields = Fields::of(row);
        let host_text = fields.nth(host).flatten();
        (text(host_text), text(fields.nth(ip - host - 1).flatten()))
    }

    /// A packed row without its IP address: what stands before it and after it.
    pub(super) fn around_ip(self, row: &[u8]) -> (&[u8], &[u8]) {
        let (_, ip) = self.places();
        let mut fields = Fields::of(row);
        for _ in 0..ip {
            fields.next();
        }
        let before = row.len() - fields.0.len();
        fields.next();
        (row.get(..before).unwrap_or_default(), fields.0)
    }
}

/// Columns of `processed_events` before the geographic ones.
const BEFORE_PLACE: usize = 12;

/// A complete row of `processed_events`: what stands before its geographic columns, and those.
pub(crate) fn split_place(row: &[u8]) -> (&[u8], &[u8]) {
    let mut fields = Fields::of(row);
    for _ in 0..BEFORE_PLACE {
        fields.next();
    }
    row.split_at(row.len() - fields.0.len())
}

fn text(field: Option<&[u8]>) -> Option<&str> {
    field.and_then(|bytes| str::from_utf8(bytes).ok())
}

/// The fields of a packed row, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of(row: &'a [u8]) -> Self {
        // The number of columns comes first.
        Self(row.get(size_of::<i16>()..).unwrap_or_default())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Some(None); // NULL
        };
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(field))
    }
}

#[cfg(test)]
mod tests {
    use super::super::EVENT_FIELDS;
    use super::*;
    use crate::packed::{Day, PackedRows};
    use hitstream_domain::progress::{Offset, PartitionId};

    #[test]
    fn places_are_those_of_the_columns() {
        let (host, ip) = RowLayout::Event.places();
        assert_eq!((EVENT_FIELDS[host], EVENT_FIELDS[ip]), ("host", "ip"));
        assert_eq!(EVENT_FIELDS[BEFORE_PLACE], "geo_source");
    }

    #[test]
    fn host_and_ip_are_read_past_nulls() {
        let mut rows = PackedRows::default();
        rows.begin(2).null().text(Some("192.0.2.1")).end(PartitionId(0), Offset(0), Day(0));
        rows.begin(2).text(Some("a")).null().end(PartitionId(0), Offset(1), Day(0));
        let read: Vec<_> = rows.rows().map(|(_, row)| RowLayout::HostAndIp.read(row)).collect();
        assert_eq!(read, [(None, Some("192.0.2.1")), (Some("a"), None)]);
        for (_, row) in rows.rows() {
            let (before, after) = RowLayout::HostAndIp.around_ip(row);
            let (_, ip) = RowLayout::HostAndIp.read(row);
            assert_eq!(after, [0_u8; 0]);
            assert_eq!(before.len() + 4 + ip.map_or(0, str::len), row.len());
        }
    }
}
