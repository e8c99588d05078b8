//! The `headers` of a record, where they are a JSON object of names and values.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::text::Text;

/// One member of the object, still as its JSON text: a lone surrogate in one does not hide the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Header<'a> {
    /// The name, as it is written.
    pub(crate) fn name(self) -> Cow<'a, str> {
        Text::new(self.name).to_str()
    }

    /// Calls back with the JSON of each item of an array, or else of the value itself.
    pub(crate) fn for_each_item(self, mut each: impl FnMut(&'a str)) {
        if self.value.starts_with('[') {
            // It was valid JSON before, so that this cannot fail half-way.
            let mut reader = serde_json::Deserializer::from_str(self.value);
            let _ = reader.deserialize_seq(Items(each));
        } else {
            each(self.value);
        }
    }

    /// Appends the member as it stands.
    pub(crate) fn write_to(self, out: &mut String) {
        out.push_str(self.name);
        out.push(':');
        out.push_str(self.value);
    }
}

/// What a JSON string means; none for any other JSON. Lone surrogates and NUL become U+FFFD.
pub(crate) fn string(json: &str) -> Option<Cow<'_, str>> {
    json.starts_with('"').then(|| Text::new(json).to_str())
}

/// The JSON of the object: the text itself or, where producers escape twice, what it means as a JSON string.
pub(crate) fn object(headers: &str) -> Option<Cow<'_, str>> {
    let headers = headers.trim_ascii();
    if headers.starts_with('"') {
        return string(serde_json::from_str::<&RawValue>(headers).ok()?.get());
    }
    Some(Cow::Borrowed(headers))
}

/// Calls back with each member in order, duplicates too. None, perhaps after some calls, if it is no JSON object.
pub(crate) fn for_each<'a>(object: &'a str, each: impl FnMut(Header<'a>)) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(Members(each)).ok()?;
    reader.end().ok()
}

struct Members<F>(F);

impl<'a, F: FnMut(Header<'a>)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(Header { name: name.get(), value: value.get() });
        }
        Ok(())
    }
}

struct Items<F>(F);

impl<'a, F: FnMut(&'a str)> Visitor<'a> for Items<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            (self.0)(item.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(headers: &str) -> Option<Vec<(String, String)>> {
        let object = object(headers)?;
        let mut found = Vec::new();
        for_each(&object, |header| {
            header.for_each_item(|item| found.push((header.name().into_owned(), item.to_owned())));
        })?;
        Some(found)
    }

    #[test]
    fn members_come_in_order_as_they_stand() {
        let expected =
            [("a", r#""1""#), ("b", "[3]"), ("b", "null"), ("a", "1.50"), ("é", r#""\ud800""#)];
        let expected: Vec<_> = expected.map(|(name, item)| (name.into(), item.into())).into();
        let json = r#" { "a" : "1", "b": [ [3], null ], "a": 1.50, "c": [], "\u00e9": "\ud800" } "#;
        assert_eq!(items(json), Some(expected.clone()));
        assert_eq!(
            items(&format!("\"{}\"", json.replace('\\', r"\\").replace('"', r#"\""#))),
            Some(expected)
        );
        assert_eq!(items("{}"), Some(vec![]));
    }

    #[test]
    fn anything_else_is_no_object() {
        for text in [
            "",
            "null",
            "[]",
            r#"[["a","b"]]"#,
            "a: b",
            r#"{"a":"b""#,
            "{} {}",
            r#""a""#,
            r#""{}"#,
            "{'a':1}",
        ] {
            assert_eq!(items(text), None, "{text}");
        }
    }
}
