//! The `Forwarded` header of RFC 7239, read from its end.
//!
//! From its end, because there stands what the nearest proxy wrote. Read from its beginning, a quote that a visitor opens
//! and never closes would swallow it.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::geo::parse;

/// The addresses of the `for` parameters from right to left; `None`, at the end, for an element that has no such thing.
pub(super) fn hops(line: &str) -> impl Iterator<Item = Option<IpAddr>> {
    pieces(line, b',').filter(|element| element.is_none_or(|text| !text.is_empty())).map(
        |element| {
            let node = node(element?)?;
            // A port may be hidden behind a name (`_ab1`) of the proxy's own.
            let address = match node.rsplit_once(':') {
                Some((address, port)) if port.starts_with('_') => address,
                _ => &*node,
            };
            parse(address)
        },
    )
}

/// What `for` of an element says; none if that is not said exactly once.
fn node(element: &str) -> Option<Cow<'_, str>> {
    let mut node = None;
    for pair in pieces(element, b';') {
        let Some((name, value)) = pair?.split_once('=') else { continue };
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
    }
    unquote(node?)
}

fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(quoted) = value.strip_prefix('"') else { return Some(Cow::Borrowed(value)) };
    let content = quoted.strip_suffix('"')?;
    if !content.contains('\\') {
        return Some(Cow::Borrowed(content));
    }
    let mut is_escape = false;
    let is_kept = |c: &char| {
        is_escape = *c == '\\' && !is_escape;
        !is_escape
    };
    Some(Cow::Owned(content.chars().filter(is_kept).collect()))
}

/// The pieces between separators outside quotes, from right to left, without the blanks around them; `None`, at the end,
/// where a quote is not opened.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = Option<&str>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(at) = start_of_last(text, separator) else { return Some(None) };
        rest = at.checked_sub(1).and_then(|end| text.get(..end));
        Some(text.get(at..).map(|piece| piece.trim_matches([' ', '\t'])))
    })
}

/// Where the last piece begins: behind the last separator outside quotes, or at 0.
fn start_of_last(text: &str, separator: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut in_quotes = false;
    for (at, &byte) in bytes.iter().enumerate().rev() {
        if byte == b'"' {
            in_quotes = !in_quotes || is_escaped(bytes, at);
        } else if byte == separator && !in_quotes {
            return Some(at + 1);
        }
    }
    (!in_quotes).then_some(0)
}

/// Whether an odd number of backslashes stands before.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Option<String>> {
        hops(line).map(|hop| hop.map(|address| address.to_string())).collect()
    }

    fn some(addresses: &[&str]) -> Vec<Option<String>> {
        addresses.iter().map(|address| Some((*address).to_owned())).collect()
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        assert_eq!(read(r#"For="[2001:db8:cafe::17]:4711""#), some(&["2001:db8:cafe::17"]));
        assert_eq!(read("for=192.0.2.60;proto=http;by=203.0.113.43"), some(&["192.0.2.60"]));
        assert_eq!(
            read("for=192.0.2.43, for=198.51.100.17"),
            some(&["198.51.100.17", "192.0.2.43"])
        );
        assert_eq!(
            read(r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#)[..2],
            [None, Some("2001:db8:cafe::17".to_owned())]
        );
        assert_eq!(read(r#"for=_hidden, for=_SEVKISEK"#), [None, None]);
        assert_eq!(read(r#"for="192.0.2.43:_p1"; by="[2001:db8::1]:_p2""#), some(&["192.0.2.43"]));
    }

    #[test]
    fn separators_within_quotes_separate_nothing() {
        assert_eq!(read(r#"host="a,b;for=\"6.6.6.6";for=192.0.2.1"#), some(&["192.0.2.1"]));
        assert_eq!(read(r#"for=192.0.2.1;host="\\";proto=http"#), some(&["192.0.2.1"]));
        assert_eq!(read(r#"for="\192.0.2.1""#), some(&["192.0.2.1"]));
    }

    #[test]
    fn quote_that_is_never_closed_hides_nothing_behind_it() {
        assert_eq!(read(r#"for="6.6.6.6, for=192.0.2.1"#)[0], Some("192.0.2.1".to_owned()));
        assert_eq!(read(r#"for=6.6.6.6", for=192.0.2.1"#), [Some("192.0.2.1".to_owned()), None]);
    }

    #[test]
    fn element_without_one_address_is_none() {
        for line in [
            "proto=http",
            "for=1.1.1.1;for=2.2.2.2",
            "for",
            "for=",
            r#"for=""#,
            "for=a.b",
            "1.1.1.1",
            "=",
            ";",
        ] {
            assert_eq!(read(line), [None], "{line}");
        }
        assert_eq!(read(" , for=1.1.1.1,,"), some(&["1.1.1.1"]));
        assert_eq!(read(""), []);
    }
}
