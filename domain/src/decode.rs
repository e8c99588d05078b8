//! From a record's value to an [`Event`], or to the reason why it is none.
//!
//! One pass of serde_json, or a quicker one over what is plain, finds the end of every top-level value and proves the whole
//! to be RFC 8259; nothing is built. Then the fields that are used are looked at: all for escapes that no text can hold, `event_time`, `host` and
//! `referrer` for what they mean. The faults are judged in the order of [`RejectReason`].

mod fields;
mod limits;
mod plain;

use std::borrow::Cow;

use crate::event::Event;
use crate::reject::{Reject, RejectReason, excerpt};
use crate::text::{Escapes, REPLACEMENT, Text, UnicodeEscapes};
use crate::time::{EventTime, TimeError};
use fields::Fields;

/// The size past which a buffer is not kept for the next record.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Decodes record values.
///
/// A value is borrowed from, and nothing is allocated for a well-formed one: the buffers here take what has to be
/// rewritten (invalid UTF-8, escapes in the hot fields) and are used again. Only a field that nests two levels or more,
/// an escaped key or a value past 64 KiB that has to be rewritten costs an allocation.
///
/// ```
/// use hitstream_domain::{decode::Decoder, time::EventTime};
///
/// let mut decoder = Decoder::default();
/// let value = br#"{"event_time":"2024-12-29T12:01:00Z","host":"www.example.com","headers":"{\"a\":1}"}"#;
/// let event = decoder.decode(Some(value)).unwrap();
/// assert_eq!(event.event_time, EventTime::from_micros(1_735_473_660_000_000));
/// assert_eq!(event.host, Some("www.example.com"));
/// assert_eq!(event.headers.unwrap().to_str(), r#"{"a":1}"#);
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    unicode_escapes: UnicodeEscapes,
    repaired: String,
    event_time: String,
    host: String,
    referrer: String,
}

impl Decoder {
    /// Decodes one record value; `None` is a tombstone.
    ///
    /// # Errors
    /// The reason why the record is no hit (DESIGN section 2, `docs/SEMANTICS.md`).
    pub fn decode<'a>(&'a mut self, value: Option<&'a [u8]>) -> Result<Event<'a>, Reject> {
        let Some(value) = value else {
            return Err(Reject::new(RejectReason::Tombstone, "the record has no value"));
        };
        let Self { unicode_escapes, repaired, event_time, host, referrer } = self;
        for buffer in [&mut *repaired, event_time, host, referrer] {
            if buffer.capacity() > MAX_KEPT_BYTES {
                *buffer = String::new();
            }
        }
        let (json, is_repaired) = match str::from_utf8(value) {
            Ok(json) => (json, false),
            Err(_) => (repair(value, repaired), true),
        };
        let (fields, has_nul) = match plain::read(json) {
            Some(fields) => (fields, false),
            None => {
                let fields = Fields::read(json, is_repaired)?;
                (fields, unicode_escapes.may_be_in(json) && check_escapes(&fields)?)
            }
        };
        Ok(Event {
            event_time: read_time(fields.event_time, event_time)?,
            host: fields.host.map(|json| Text::new(json).to_str_in(host)),
            referrer: fields.referrer.map(|json| Text::new(json).to_str_in(referrer)),
            url: fields.url.map(Text::new),
            user_agent: fields.user_agent.map(Text::new),
            ip: fields.ip.map(Text::new),
            headers: fields.headers.map(Text::new),
            sanitised: has_nul || is_repaired,
        })
    }
}

/// Replaces invalid UTF-8 by U+FFFD as Java does, and so Spark: one for each maximal part of a sequence, as the WHATWG
/// has it too, but only one for the three bytes of an encoded surrogate.
fn repair<'a>(value: &[u8], repaired: &'a mut String) -> &'a str {
    repaired.clear();
    let mut rest = value;
    while let Some(chunk) = rest.utf8_chunks().next() {
        repaired.push_str(chunk.valid());
        rest = rest.get(chunk.valid().len()..).unwrap_or_default();
        rest = match (rest, chunk.invalid().len()) {
            (_, 0) => break,
            ([0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..], _) => after,
            (_, length) => rest.get(length..).unwrap_or_default(),
        };
        repaired.push(REPLACEMENT);
    }
    repaired
}

fn read_time(json: Option<&str>, buffer: &mut String) -> Result<EventTime, Reject> {
    let Some(json) = json else {
        return Err(Reject::new(RejectReason::MissingTime, "event_time is absent or null"));
    };
    let time = match json.as_bytes().first() {
        Some(b'"') => EventTime::parse(Text::new(json).to_str_in(buffer)),
        Some(b'-' | b'0'..=b'9') => EventTime::parse_number(json),
        _ => Err(TimeError::Malformed("neither a text nor a number")),
    };
    time.map_err(|error| {
        let reason = match error {
            TimeError::Malformed(_) => RejectReason::MalformedTime,
            TimeError::OutOfRange => RejectReason::TimeOutOfRange,
        };
        Reject::new(reason, format!("event_time {}: {error}", excerpt(json)))
    })
}

/// Refuses lone surrogates in the used fields, and tells whether one holds a NUL.
fn check_escapes(fields: &Fields<'_>) -> Result<bool, Reject> {
    let mut has_nul = false;
    for (name, json) in fields.named() {
        let escapes = json.map(Escapes::of).unwrap_or_default();
        if let Some(at) = escapes.lone_surrogate {
            return Err(lone_surrogate(name, json.unwrap_or_default(), at));
        }
        has_nul |= escapes.nul;
    }
    Ok(has_nul)
}

#[cold]
fn lone_surrogate(name: &str, json: &str, at: usize) -> Reject {
    let escape = json.get(at..at + 6).unwrap_or_default();
    let detail: Cow<'static, str> =
        format!("{name} holds the lone surrogate {escape} at its byte {at}: {}", excerpt(json))
            .into();
    Reject::new(RejectReason::InvalidText, detail)
}
