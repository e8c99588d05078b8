//! The used fields of a value, each still as its JSON text.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::{Exceeded, check_key, check_value};
use crate::reject::{Reject, RejectReason, excerpt};
use crate::text::unescape;

/// The JSON texts of the used fields; absent and null are both `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) event_time: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) referrer: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    pub(super) user_agent: Option<&'a str>,
    pub(super) ip: Option<&'a str>,
    pub(super) headers: Option<&'a str>,
    exceeded: Option<(Exceeded, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Reads a whole value, and proves it to be one JSON object within the limits.
    pub(super) fn read(json: &'a str, is_repaired: bool) -> Result<Self, Reject> {
        let first = json.bytes().find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        let mut reader = serde_json::Deserializer::from_str(json);
        let mut fields = Self::default();
        let is_object = first == Some(b'{');
        let read = if is_object {
            reader.deserialize_map(FieldsVisitor(&mut fields))
        } else {
            reader.deserialize_ignored_any(IgnoredAny).map(|_| ())
        };
        if let Err(error) = read.and_then(|()| reader.end()) {
            return Err(invalid_json(json, &error, is_repaired));
        }
        if !is_object {
            return Err(not_an_object(json));
        }
        match fields.exceeded {
            Some((exceeded, key)) => Err(exceeded.reject(key)),
            None => Ok(fields),
        }
    }

    /// The used fields by name.
    pub(super) fn named(&self) -> [(&'static str, Option<&'a str>); 7] {
        [
            ("event_time", self.event_time),
            ("host", self.host),
            ("referrer", self.referrer),
            ("url", self.url),
            ("user_agent", self.user_agent),
            ("ip", self.ip),
            ("headers", self.headers),
        ]
    }

    /// Whether a member goes past a limit.
    pub(super) fn exceeds(&self) -> bool {
        self.exceeded.is_some()
    }

    /// Takes one member of the object. The last of duplicates wins, but null never does.
    pub(super) fn insert(&mut self, key: &'a str, value: &'a str) {
        if self.exceeded.is_none() {
            let limits = check_key(key).and_then(|()| check_value(value));
            self.exceeded = limits.err().map(|exceeded| (exceeded, key));
        }
        if value == "null" {
            return;
        }
        if let Some(field) = self.field(key) {
            *field = Some(value);
        } else if key.contains('\\') {
            let mut unescaped = String::new();
            unescape(key, &mut unescaped);
            if let Some(field) = self.field(&unescaped) {
                *field = Some(value);
            }
        }
    }

    /// The field of a key, which is still in its quotes.
    fn field(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            r#""event_time""# => &mut self.event_time,
            r#""host""# => &mut self.host,
            r#""referrer""# => &mut self.referrer,
            r#""url""# => &mut self.url,
            r#""user_agent""# => &mut self.user_agent,
            r#""ip""# => &mut self.ip,
            r#""headers""# => &mut self.headers,
            _ => return None,
        })
    }
}

struct FieldsVisitor<'f, 'a>(&'f mut Fields<'a>);

impl<'a> Visitor<'a> for FieldsVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // Keys are read raw as well: one with a lone surrogate is no used field, but no fault either.
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            self.0.insert(key.get(), value.get());
        }
        Ok(())
    }
}

#[cold]
fn not_an_object(json: &str) -> Reject {
    let detail = format!("the value is JSON but no object: {}", excerpt(json));
    Reject::new(RejectReason::NotAnObject, detail)
}

#[cold]
fn invalid_json(json: &str, error: &serde_json::Error, is_repaired: bool) -> Reject {
    if json.trim_ascii().is_empty() {
        return Reject::new(RejectReason::InvalidJson, "the value is empty");
    }
    if json.starts_with('\u{feff}') {
        return Reject::new(RejectReason::InvalidJson, "the value starts with a byte-order mark");
    }
    let note = if is_repaired { " (counted after invalid UTF-8 became U+FFFD)" } else { "" };
    let near = excerpt(json.get(byte_of(json, error)..).unwrap_or_default());
    Reject::new(RejectReason::InvalidJson, format!("{error}{note}, at {near}"))
}

/// The byte at which serde_json met the fault, on a character's boundary.
fn byte_of(json: &str, error: &serde_json::Error) -> usize {
    let line: usize =
        json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (line + error.column().saturating_sub(1)).min(json.len());
    while !json.is_char_boundary(at) {
        at -= 1;
    }
    at
}
