//! The service's answers, read leniently: keyless, free and paid plans send different fields, and types that vary.

use std::collections::HashMap;
use std::sync::Arc;

use hitstream_domain::geo::Location;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the service says for a wrong key and for one without credit.
const KEY_OR_CREDIT: f64 = 10_000.0;
/// The same in its words, should the number become another one.
const KEY_OR_CREDIT_WORDS: [&str; 2] = ["api key", "credit"];

/// An answer that could be read.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The address has a country.
    Located(Box<Location>),
    /// No country, so nothing that could be counted by.
    Unknown,
    /// The key is wrong or out of credit.
    Refused,
    /// Any other error, of this address.
    Declined,
}

/// Each field is read by itself: one that nothing can be made of, such as `1e400`, costs no other.
struct Fields<'a>(HashMap<String, &'a RawValue>);

/// Reads an answer; `None` is no JSON object.
pub(super) fn decode(body: &[u8]) -> Option<Answer> {
    let fields = Fields(serde_json::from_slice(body).ok()?);
    if fields.has("error") {
        let refuses_key = fields.get("error").as_ref().is_some_and(refuses_key);
        return Some(if refuses_key { Answer::Refused } else { Answer::Declined });
    }
    let location = Location {
        country_code: fields.text("country_code"),
        country: fields.text("country_name"),
        region: fields.text("region_name"),
        city: fields.text("city_name"),
        latitude: fields.get("latitude").as_ref().and_then(number),
        longitude: fields.get("longitude").as_ref().and_then(number),
        time_zone: fields.text("time_zone"),
        asn: fields.get("asn").as_ref().and_then(asn),
        as_name: fields.text("as"),
    };
    let located = location.tidy().filter(|location| location.country_code.is_some());
    Some(located.map_or(Answer::Unknown, |location| Answer::Located(Box::new(location))))
}

impl Fields<'_> {
    /// Whether there is a field that is not null, whatever can be made of it.
    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|raw| raw.get() != "null")
    }

    fn get(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        self.get(name)?.as_str().map(Arc::from)
    }
}

/// Whether an error is of the key, and with it of every address.
fn refuses_key(error: &Value) -> bool {
    let says = error.get("error_message").and_then(Value::as_str).unwrap_or_default();
    let says = says.to_ascii_lowercase();
    error.get("error_code").and_then(number) == Some(KEY_OR_CREDIT)
        || KEY_OR_CREDIT_WORDS.iter().any(|words| says.contains(words))
}

/// A number, which may come as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number as such, as text, or as `AS15169`.
fn asn(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|asn| u32::try_from(asn).ok()),
        Value::String(text) => {
            let text = text.trim();
            text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text).parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(json: &str) -> Location {
        match decode(json.as_bytes()) {
            Some(Answer::Located(location)) => *location,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn keyless_free_and_paid_answers_are_read() {
        let keyless = r#"{"ip":"8.8.8.8","country_code":"US","country_name":"United States of America",
            "region_name":"California","city_name":"Mountain View","latitude":37.38605,"longitude":-122.08385,
            "zip_code":"94035","time_zone":"-07:00","asn":"15169","as":"Google LLC","is_proxy":false,
            "message":"Limit to 1,000 queries per day. Sign up for a Free plan."}"#;
        let paid = r#"{"country_code":"us","country_name":"United States of America","region_name":"California",
            "city_name":"Mountain View","latitude":"37.38605","longitude":"-122.08385","time_zone":"-07:00",
            "asn":15169,"as":"Google LLC","isp":"Google LLC","continent":{"name":"North America"},
            "proxy":{"last_seen":3},"currency":null}"#;
        let expected = Location {
            country_code: Some("US".into()),
            country: Some("United States".into()),
            region: Some("California".into()),
            city: Some("Mountain View".into()),
            latitude: Some(37.38605),
            longitude: Some(-122.08385),
            time_zone: Some("-07:00".into()),
            asn: Some(15169),
            as_name: Some("Google LLC".into()),
        };
        assert_eq!(located(keyless), expected);
        assert_eq!(located(paid), expected);
    }

    #[test]
    fn what_is_absent_or_of_another_form_is_none() {
        let bare = Location {
            country_code: Some("DE".into()),
            country: Some("Germany".into()),
            ..Location::default()
        };
        for json in [
            r#"{"country_code":"DE"}"#,
            r#"{"country_code":"DE","country_name":"-","city_name":" ","region_name":null,"as":"-","asn":"-"}"#,
            r#"{"country_code":"DE","latitude":"north","longitude":1e9,"asn":0,"time_zone":{"a":1}}"#,
            r#"{"country_code":"DE","latitude":"NaN","longitude":null,"asn":4294967296,"city_name":7}"#,
            r#"{"country_code":"DE","latitude":1e400,"longitude":-1E999,"asn":1e400,"city_name":"\ud800"}"#,
            r#"{"country_code":"DE","is_proxy":1e400,"error":null}"#,
        ] {
            assert_eq!(located(json), bare, "{json}");
        }
        assert_eq!(located(r#"{"country_code":"DE","asn":"AS3320"}"#).asn, Some(3320));
    }

    #[test]
    fn without_a_country_the_address_is_unknown() {
        for json in [
            "{}",
            r#"{"country_code":"-","city_name":"Atlantis"}"#,
            r#"{"country_code":null}"#,
            r#"{"country_code":"Germany"}"#,
        ] {
            assert_eq!(decode(json.as_bytes()), Some(Answer::Unknown), "{json}");
        }
    }

    #[test]
    fn errors_are_told_apart_by_their_code() {
        let error =
            |code: &str| decode(format!(r#"{{"error":{{"error_code":{code}}}}}"#).as_bytes());
        assert_eq!(error("10000"), Some(Answer::Refused));
        assert_eq!(error("\"10000\""), Some(Answer::Refused));
        assert_eq!(error("10001"), Some(Answer::Declined));
        assert_eq!(error("1e400"), Some(Answer::Declined));
        let worded = |says: &str| error(&format!(r#"10007,"error_message":"{says}""#));
        assert_eq!(worded("Invalid API Key."), Some(Answer::Refused));
        assert_eq!(worded("Insufficient credits."), Some(Answer::Refused));
        assert_eq!(worded("Invalid IP address."), Some(Answer::Declined));
        assert_eq!(decode(br#"{"error":"no"}"#), Some(Answer::Declined));
    }

    #[test]
    fn what_is_no_object_cannot_be_read() {
        for body in ["", "[]", "null", r#"{"country_code":"U"#, "<html>"] {
            assert_eq!(decode(body.as_bytes()), None, "{body}");
        }
    }
}
