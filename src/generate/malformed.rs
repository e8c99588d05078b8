//! The ways in which a record can be no hit. Each is rejected by the input contract (DESIGN section 2).

/// One way of being malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The hit is whole but for its `event_time`, which is this JSON; `None` leaves the field out.
    Time(Option<&'static str>),
    /// The hit is whole but for its `host`, which is this JSON.
    Host(&'static str),
    /// The value is this and nothing else.
    Value(&'static [u8]),
    /// The hit is between these two.
    Between(&'static [u8], &'static [u8]),
    /// The hit is cut in the middle.
    Truncated,
    /// The hit's `headers` nest 1,200 levels deep.
    TooDeep,
    /// The record has no value at all.
    Tombstone,
}

impl Malformed {
    /// Every kind, drawn evenly.
    pub(crate) const ALL: [Self; 34] = [
        Self::Time(None),
        Self::Time(Some("null")),
        Self::Time(Some("\"\"")),
        Self::Time(Some("\"yesterday\"")),
        Self::Time(Some("\"2024-02-30T12:00:00Z\"")),
        Self::Time(Some("\"2024-05-17T24:00:00Z\"")),
        Self::Time(Some("\"17/May/2015:10:05:03 +0000\"")),
        Self::Time(Some("\"2024-05-17 12:00:00 Europe/Berlin\"")),
        Self::Time(Some("\"1969-12-31T23:59:59.999999Z\"")),
        Self::Time(Some("\"9999-12-31T23:59:59Z\"")),
        Self::Time(Some("\"2199-12-31T23:59:59Z\"")),
        Self::Time(Some("2024")),
        Self::Time(Some("-1")),
        Self::Time(Some("1e300")),
        Self::Time(Some("true")),
        Self::Time(Some("{\"seconds\":1431857103}")),
        Self::Host("NaN"),
        Self::Host("007"),
        Self::Host("\"\\ud800\""),
        Self::Host("\"a\nb\""),
        Self::Value(b""),
        Self::Value(b" \n"),
        Self::Value(b"{}"),
        Self::Value(b"null"),
        Self::Value(b"\"hit\""),
        Self::Value(b"203.0.113.9 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 512"),
        Self::Value(b"\x00\x01\xfe\xffhit\x80"),
        Self::Value(b"{'event_time':'2024-05-17T12:00:00Z','host':'www.example'}"),
        Self::Between(b"[", b"]"),
        Self::Between(b"\xef\xbb\xbf", b""),
        Self::Between(b"", b"{}"),
        Self::Truncated,
        Self::TooDeep,
        Self::Tombstone,
    ];
}
