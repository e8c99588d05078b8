//! Which field of a hit becomes the record's key.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Field that becomes the record's key. Records of one key stay in one partition, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum KeyBy {
    /// The host: what is counted together lies together.
    Host,
    /// The address: one visitor's hits stay in order.
    Ip,
    /// No key: spread evenly, a batch at a time.
    #[default]
    None,
}

/// Takes the key out of a JSON record; a record that has no such text has no key.
pub fn key_of(by: KeyBy, record: &[u8]) -> Option<Cow<'_, str>> {
    let fields: Fields<'_> = match by {
        KeyBy::None => return None,
        KeyBy::Host | KeyBy::Ip => serde_json::from_slice(record).ok()?,
    };
    let raw = if by == KeyBy::Host { fields.host } else { fields.ip }?.get();
    // As the decoder does: other values than texts stand for their JSON text.
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0),
        b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    host: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ip: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_the_text_of_its_field() {
        let record = br#"{"host":"a.example","ip":null,"url":{"x":[1]}}"#;
        assert_eq!(key_of(KeyBy::Host, record).as_deref(), Some("a.example"));
        assert_eq!(key_of(KeyBy::Ip, record), None);
        assert_eq!(key_of(KeyBy::None, record), None);
        assert_eq!(key_of(KeyBy::Host, br#"{"host":"\u00e9"}"#).as_deref(), Some("é"));
        assert_eq!(key_of(KeyBy::Host, br#"{"host":12}"#).as_deref(), Some("12"));
        assert_eq!(key_of(KeyBy::Host, b"not json"), None);
    }
}
