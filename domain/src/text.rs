//! The text of a field, as it stands in the record's JSON and as it is meant.

use std::borrow::Cow;
use std::fmt;

/// The character that takes the place of a NUL (which PostgreSQL refuses) and of invalid UTF-8.
pub(crate) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The text of one field, not yet unescaped: a hit that is only counted never pays for its `headers`.
///
/// A JSON string means its content, with U+FFFD for NUL. Any other value means its JSON text as it stands, objects and
/// arrays without the blanks between their tokens. What it holds was checked when it was decoded: no lone surrogate.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    json: &'a str,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(json: &'a str) -> Self {
        Self { json }
    }

    /// The text; borrowed from the record where nothing had to be unescaped or made compact.
    pub fn to_str(self) -> Cow<'a, str> {
        let mut buffer = String::new();
        match self.borrow() {
            Some(text) => Cow::Borrowed(text),
            None => {
                self.write_to(&mut buffer);
                Cow::Owned(buffer)
            }
        }
    }

    /// The text; `buffer` is only written where it cannot be borrowed from the record.
    pub(crate) fn to_str_in(self, buffer: &'a mut String) -> &'a str {
        match self.borrow() {
            Some(text) => text,
            None => {
                buffer.clear();
                self.write_to(buffer);
                buffer
            }
        }
    }

    fn borrow(self) -> Option<&'a str> {
        match self.content() {
            Some(content) => (!content.contains('\\')).then_some(content),
            None if self.is_nested() => {
                self.json.chars().all(is_kept_when_compact()).then_some(self.json)
            }
            None => Some(self.json),
        }
    }

    fn write_to(self, out: &mut String) {
        match self.content() {
            Some(content) => unescape(content, out),
            None => out.extend(self.json.chars().filter({
                let mut is_kept = is_kept_when_compact();
                move |&c| is_kept(c)
            })),
        }
    }

    /// What stands between the quotes of a string.
    fn content(self) -> Option<&'a str> {
        self.json.strip_prefix('"')?.strip_suffix('"')
    }

    fn is_nested(self) -> bool {
        self.json.starts_with(['{', '['])
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_str().fmt(f)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_str() == other.to_str()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.to_str() == *other
    }
}

/// What the escapes of a JSON value hold that a text cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Escapes {
    /// A NUL, which becomes U+FFFD. Inside an object or array it stays an escape, and does not count.
    pub(crate) nul: bool,
    /// The byte at which the first lone surrogate stands.
    pub(crate) lone_surrogate: Option<usize>,
}

impl Escapes {
    /// Looks through a valid JSON value. Without a backslash in it this is one search.
    pub(crate) fn of(json: &str) -> Self {
        let bytes = json.as_bytes();
        let is_string = bytes.first() == Some(&b'"');
        let mut found = Self::default();
        let mut at = 0;
        while let Some(step) = find_backslash(bytes.get(at..).unwrap_or_default()) {
            at += step;
            if bytes.get(at + 1) != Some(&b'u') {
                at += 2;
                continue;
            }
            match unicode_escape(bytes.get(at..).unwrap_or_default()) {
                Some((c, length)) => {
                    found.nul |= is_string && c == '\0';
                    at += length;
                }
                None => {
                    found.lone_surrogate = Some(at);
                    break;
                }
            }
        }
        found
    }
}

fn find_backslash(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\\', bytes)
}

/// Appends what the content of a valid JSON string means. Lone surrogates, refused before, would become U+FFFD.
pub(crate) fn unescape(content: &str, out: &mut String) {
    let mut rest = content;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let (c, length) = match escape.as_bytes().first() {
            Some(b'u') => {
                // From the backslash on, since a pair of surrogates is two escapes.
                let from = rest.get(plain.len()..).unwrap_or_default();
                let (c, length) = unicode_escape(from.as_bytes()).unwrap_or((REPLACEMENT, 6));
                (if c == '\0' { REPLACEMENT } else { c }, length - 1)
            }
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            // `"`, `\` and `/` stand for themselves.
            Some(&b) => (char::from(b), 1),
            None => break,
        };
        out.push(c);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The character that a `\uXXXX` or a pair of them means, and the length; none for a lone surrogate.
fn unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let first = hex4(bytes.get(2..6)?)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, 6));
    }
    if bytes.get(6..8)? != br"\u" {
        return None;
    }
    let second = hex4(bytes.get(8..12)?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, 12))
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |sum, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(sum << 4 | u16::try_from(value).ok()?)
    })
}

/// Tells, character by character of a JSON text, which stay when the blanks between tokens go.
fn is_kept_when_compact() -> impl FnMut(char) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    move |c| {
        if !in_string {
            in_string = c == '"';
            return !matches!(c, ' ' | '\t' | '\n' | '\r');
        }
        if escaped {
            escaped = false;
        } else {
            escaped = c == '\\';
            in_string = c != '"';
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> Cow<'_, str> {
        Text::new(json).to_str()
    }

    #[test]
    fn string_means_its_content() {
        assert_eq!(text(r#""""#), "");
        assert_eq!(text(r#""a\"b\/c\\d\n\u65e5\ud83c\udf89e""#), "a\"b/c\\d\n日🎉e");
        assert_eq!(text(r#""a\u0000b""#), "a\u{fffd}b");
        assert!(matches!(text(r#""plain""#), Cow::Borrowed("plain")));
    }

    #[test]
    fn other_values_mean_their_json_text() {
        for literal in ["1.10", "1e3", "-0", "true", "[]", r#"{"a":"b c"}"#] {
            assert!(matches!(text(literal), Cow::Borrowed(t) if t == literal));
        }
        assert_eq!(
            text("{ \"b\" : 1.50,\n\"a \\\" \": \" \\u00e9\" }"),
            r#"{"b":1.50,"a \" ":" \u00e9"}"#
        );
    }

    #[test]
    fn lone_surrogates_are_found_in_any_position() {
        for lone in [r#""\ud800""#, r#""a\udc00b""#, r#""\ud800\u0041""#, r#""\ud800\ud800\udc00""#]
        {
            assert!(Escapes::of(lone).lone_surrogate.is_some(), "{lone}");
        }
        for whole in [r#""\\ud800""#, r#""\ud83c\udf89""#, r#""\\\\ud800""#, r#""\"""#] {
            assert_eq!(Escapes::of(whole), Escapes::default(), "{whole}");
        }
        assert!(Escapes::of(r#"{"a":["\ud800"]}"#).lone_surrogate.is_some());
    }

    #[test]
    fn nul_counts_in_a_string_only() {
        assert!(Escapes::of(r#""a\u0000""#).nul);
        assert!(!Escapes::of(r#"["a\u0000"]"#).nul);
        assert_eq!(text(r#"["a\u0000"]"#), r#"["a\u0000"]"#);
    }

    proptest! {
        #[test]
        fn unescaping_agrees_with_serde_json(
            parts in prop::collection::vec(prop_oneof![
                "[^\"\\\\\\x00-\\x1f]{0,4}",
                "\\\\[\"\\\\/bfnrt]",
                "\\\\u[0-9a-fA-F]{4}",
                Just(r"\ud83c\udf89".to_owned()),
                "\\\\u[dD][89a-fA-F][0-9a-f]{2}",
            ], 0..12)
        ) {
            let json = format!("\"{}\"", parts.concat());
            match serde_json::from_str::<String>(&json) {
                Ok(expected) => {
                    let escapes = Escapes::of(&json);
                    prop_assert_eq!(escapes.lone_surrogate, None);
                    prop_assert_eq!(escapes.nul, expected.contains('\0'));
                    prop_assert_eq!(text(&json), expected.replace('\0', "\u{fffd}"));
                }
                Err(_) => prop_assert!(Escapes::of(&json).lone_surrogate.is_some()),
            }
        }

        #[test]
        fn compact_text_is_the_same_json(value in "[\\[\\{ \"a-c:,\\}\\]]{0,12}", blanks in " {0,2}") {
            let json = serde_json::to_string_pretty(&serde_json::json!({ "k": [value, blanks] })).unwrap();
            let compact = serde_json::from_str::<serde_json::Value>(&json).unwrap().to_string();
            prop_assert_eq!(text(&json), compact);
        }
    }
}
