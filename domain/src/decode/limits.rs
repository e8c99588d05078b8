//! The limits that Spark's JSON parser (Jackson) has, and so hitstream: where it drops a record, we reject it.

use crate::reject::{Reject, RejectReason, excerpt};

/// Levels of nesting, the record's own object included.
const MAX_DEPTH: usize = 1_000;
/// Digits of a number, those of its exponent included.
const MAX_DIGITS: usize = 1_000;
/// Characters of a key, as written.
const MAX_KEY_CHARS: usize = 50_000;

/// A limit that a value goes past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Depth,
    Digits,
    KeyLength,
}

impl Exceeded {
    /// The reject of a record whose member `key` goes past the limit.
    #[cold]
    pub(super) fn reject(self, key: &str) -> Reject {
        let key = excerpt(key);
        match self {
            Self::Depth => Reject::new(
                RejectReason::TooDeep,
                format!("{key} nests deeper than {MAX_DEPTH} levels"),
            ),
            Self::Digits => Reject::new(
                RejectReason::TooLong,
                format!("{key} has a number of more than {MAX_DIGITS} digits"),
            ),
            Self::KeyLength => Reject::new(
                RejectReason::TooLong,
                format!("{key} has a key of more than {MAX_KEY_CHARS} characters"),
            ),
        }
    }
}

/// Checks a key of the record's object, in its quotes.
pub(super) fn check_key(key: &str) -> Result<(), Exceeded> {
    if key.len() > MAX_KEY_CHARS && key.chars().count() - 2 > MAX_KEY_CHARS {
        return Err(Exceeded::KeyLength);
    }
    Ok(())
}

/// Checks a member's value, given as valid JSON. Only one long enough to go past a limit is looked at.
pub(super) fn check_value(json: &str) -> Result<(), Exceeded> {
    if json.len() <= MAX_DIGITS || json.starts_with('"') { Ok(()) } else { check_long(json) }
}

#[cold]
fn check_long(json: &str) -> Result<(), Exceeded> {
    let (mut depth, mut digits) = (1, 0);
    let mut key = "";
    let mut rest = json;
    while let Some(&byte) = rest.as_bytes().first() {
        if byte == b'"' {
            (key, rest) = split_string(rest);
            continue;
        }
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b':' => check_key(key)?,
            b'0'..=b'9' => digits += 1,
            _ => {}
        }
        if !matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E') {
            digits = 0;
        }
        if depth > MAX_DEPTH {
            return Err(Exceeded::Depth);
        }
        if digits > MAX_DIGITS {
            return Err(Exceeded::Digits);
        }
        // Outside of strings valid JSON is ASCII.
        rest = rest.get(1..).unwrap_or_default();
    }
    Ok(())
}

/// Splits the string that `json` starts with, in its quotes, from what follows.
fn split_string(json: &str) -> (&str, &str) {
    let bytes = json.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => break at += 1,
            Some(_) => at += 1,
            None => break,
        }
    }
    json.split_at_checked(at).unwrap_or((json, ""))
}
