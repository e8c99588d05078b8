//! Why a record is no hit.

use std::borrow::Cow;
use std::fmt;

/// The closed set of reasons for which a record goes to `rejected_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The record has no value at all (a Kafka tombstone).
    Tombstone,
    /// The value is not JSON by RFC 8259.
    InvalidJson,
    /// The value is JSON but not an object.
    NotAnObject,
    /// The value nests deeper than 1,000 levels.
    TooDeep,
    /// A number of more than 1,000 digits, or a key of more than 50,000 characters.
    TooLong,
    /// A used text holds a lone surrogate escape, which no text can hold.
    InvalidText,
    /// `event_time` is absent or null.
    MissingTime,
    /// `event_time` is none of the accepted forms.
    MalformedTime,
    /// `event_time` lies outside 1970–2200.
    TimeOutOfRange,
    /// `event_time` lies more than `input.max_future_skew` ahead of its reference.
    FutureTime,
    /// PostgreSQL refused a row made from this record.
    Refused,
    /// The decoder panicked: a defect of hitstream, kept away from the pipeline.
    DecoderPanic,
}

impl RejectReason {
    /// All reasons, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Tombstone,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::TooLong,
        Self::InvalidText,
        Self::MissingTime,
        Self::MalformedTime,
        Self::TimeOutOfRange,
        Self::FutureTime,
        Self::Refused,
        Self::DecoderPanic,
    ];

    /// The name stored in `rejected_events.reason` and used as metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::TooLong => "too_long",
            Self::InvalidText => "invalid_text",
            Self::MissingTime => "missing_time",
            Self::MalformedTime => "malformed_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::FutureTime => "future_time",
            Self::Refused => "refused",
            Self::DecoderPanic => "decoder_panic",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rejected record: its reason, and what a person needs to see why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Reject {
    /// The class of the fault.
    pub reason: RejectReason,
    /// The fault itself, with position or offending value (cut to a sane length).
    pub detail: Cow<'static, str>,
}

impl Reject {
    /// A reject with a fixed or formatted detail.
    pub fn new(reason: RejectReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// The beginning of a value from outside, for a detail: at most 120 characters, control characters escaped.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 120;
    let mut out: String = text.chars().take(MAX_CHARS).flat_map(escape_control).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// Control characters, NUL among them, would break a line or a PostgreSQL text.
fn escape_control(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    plain.into_iter().chain(escaped.into_iter().flatten())
}
