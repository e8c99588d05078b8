//! Headers without what is not to be kept.

use std::borrow::Cow;

use super::addresses::holds_address;
use super::{IpPrivacy, Privacy, has_credentials};
use crate::geo::parse;
use crate::headers::{self, Header};

/// Where proxies write addresses, perhaps with more around them. A value that is plainly an address needs no name here.
const ADDRESSES: &[&str] = &[
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "fastly-client-ip",
    "x-original-forwarded-for",
    "x-cluster-client-ip",
    "remote-addr",
];

/// Where a query may stand again. A value with a question mark needs no name here.
const URLS: &[&str] = &[
    "referer",
    "referrer",
    ":path",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
    "request-uri",
    "query-string",
];

/// The object without the members that must go; none if it is no JSON object.
pub(super) fn scrub<'a>(given: &'a str, privacy: &Privacy) -> Option<Cow<'a, str>> {
    let object = headers::object(given)?;
    let mut all_stay = true;
    headers::for_each(&object, |header| all_stay = all_stay && !must_go(header, privacy))?;
    if all_stay {
        return Some(Cow::Borrowed(given));
    }
    let mut kept = String::with_capacity(object.len());
    headers::for_each(&object, |header| {
        if !must_go(header, privacy) {
            kept.push(if kept.is_empty() { '{' } else { ',' });
            header.write_to(&mut kept);
        }
    })?;
    kept.push_str(if kept.is_empty() { "{}" } else { "}" });
    // What was escaped twice stays so.
    let is_escaped = matches!(object, Cow::Owned(_));
    Some(Cow::Owned(if is_escaped { serde_json::to_string(&kept).ok()? } else { kept }))
}

fn must_go(header: Header<'_>, privacy: &Privacy) -> bool {
    let name = header.name();
    let plain = without_cgi_prefix(&name);
    let is_one_of = |names: &[&str]| names.iter().any(|listed| is_same(plain, listed));
    let hides_address = privacy.ip != IpPrivacy::Full;
    if hides_address {
        let is_client = |listed: &str| is_same(&name, listed) || is_same(plain, listed);
        if is_one_of(ADDRESSES)
            || privacy.client_header.as_deref().is_some_and(is_client)
            || holds_address(&name)
        {
            return true;
        }
    }
    if privacy.strip_query && is_one_of(URLS) {
        return true;
    }
    let tells = |text: &str| {
        privacy.strip_query && (text.contains('?') || has_credentials(text))
            || hides_address && carries_address(plain, text)
    };
    let mut goes = false;
    header.for_each_item(|item| {
        goes = goes
            || item.starts_with(['{', '['])
            || headers::string(item).is_some_and(|text| tells(&text));
    });
    goes
}

/// `X_REAL_IP` of `HTTP_X_REAL_IP`.
fn without_cgi_prefix(name: &str) -> &str {
    match name.split_at_checked(5) {
        Some((prefix, rest)) if is_same(prefix, "http-") => rest,
        _ => name,
    }
}

/// Whether names are the same, in the spelling of HTTP or of CGI.
fn is_same(given: &str, name: &str) -> bool {
    let fold = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    given.len() == name.len() && given.bytes().map(fold).eq(name.bytes().map(fold))
}

/// Whether a member's value holds an address. The versions of browsers look like addresses and are none.
fn carries_address(name: &str, text: &str) -> bool {
    let has_versions = is_same(name, "user-agent")
        || name.get(..9).is_some_and(|start| is_same(start, "sec-ch-ua"));
    if has_versions { parse(text.trim()).is_some() } else { holds_address(text) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn privacy() -> Privacy {
        Privacy { ip: IpPrivacy::Drop, strip_query: false, client_header: Some("X-Visitor".into()) }
    }

    fn scrubbed(headers: &str) -> Option<String> {
        scrub(headers, &privacy()).map(Cow::into_owned)
    }

    #[test]
    fn members_that_carry_addresses_go() {
        for name in [
            "X-Forwarded-For",
            "forwarded",
            "X-REAL-IP",
            "cf-connecting-ip",
            "True-Client-IP",
            "x-client-ip",
            "Fastly-Client-IP",
            "x-visitor",
            "HTTP_X_FORWARDED_FOR",
            "REMOTE_ADDR",
            "x_visitor",
            "X\\u002dReal-IP",
        ] {
            let headers = format!(r#"{{ "Accept": "*/*", "{name}": "unknown", "DNT": 1 }}"#);
            assert_eq!(
                scrubbed(&headers).as_deref(),
                Some(r#"{"Accept":"*/*","DNT":1}"#),
                "{name}"
            );
        }
    }

    #[test]
    fn members_that_repeat_a_query_go_with_it() {
        let headers =
            r#"{"Referer":"https://a.example/?q=me",":path":"/?q=me","X-Real-IP":"203.0.113.7"}"#;
        let stripping = Privacy { strip_query: true, ..Privacy::default() };
        assert_eq!(stripping.headers(headers).as_deref(), Some(r#"{"X-Real-IP":"203.0.113.7"}"#));
        assert_eq!(Privacy::default().headers(headers).as_deref(), Some(headers));
        for value in ["/a?b", r"/a\u003fb", "https://user:Q@h/", r"https:\/\/Q@h"] {
            let headers = format!(r#"{{"X-From":"{value}","DNT":1}}"#);
            assert_eq!(stripping.headers(&headers).as_deref(), Some(r#"{"DNT":1}"#), "{value}");
        }
        let both = Privacy { strip_query: true, ..privacy() };
        assert_eq!(both.headers(headers).as_deref(), Some("{}"));
    }

    #[test]
    fn addresses_go_under_any_name() {
        for value in [
            json!("203.0.113.7"),
            json!("2001:db8::17"),
            json!("[2001:db8::17]:4711"),
            json!("unknown, 203.0.113.7:80"),
            json!(["a", "::ffff:203.0.113.7"]),
            json!("1.1 203.0.113.7 (squid)"),
            json!("for=203.0.113.7"),
            json!("2001:db8:1:2:3:4:5:6:443"),
            json!("\"203.0.113.7\";q=1"),
            json!("203.0.113.7/32"),
            json!("tcp://203.0.113.7:80"),
            json!("edge:203.0.113.7:443"),
            json!("node:203.0.113.7"),
            json!("ip%3D203.0.113.7"),
            json!("203.0.113.7f"),
            json!("1.203.0.113.7"),
            json!("ec2-203-0-113-7.x"),
            json!(["a", "a.203%2E0.113.7.nip.io"]),
            json!({"a": "b"}),
            json!([["b"]]),
        ] {
            assert_eq!(
                scrubbed(&json!({ "X-Edge": value }).to_string()).as_deref(),
                Some("{}"),
                "{value}"
            );
        }
    }

    #[test]
    fn addresses_in_names_go_with_their_members() {
        for name in
            ["203.0.113.7", "X-Seen-By-203-0-113-7", "Sec-CH-UA-2001:db8::17", r"203\u002e0.113.7"]
        {
            let headers = format!(r#"{{"{name}":"v","DNT":1}}"#);
            assert_eq!(scrubbed(&headers).as_deref(), Some(r#"{"DNT":1}"#), "{name}");
        }
    }

    #[test]
    fn versions_are_addresses_but_where_browsers_write_theirs() {
        for (name, value, stays) in [
            ("HTTP_USER_AGENT", "Mozilla/5.0 Chrome/120.0.0.0", true),
            ("sec_ch_ua_full_version_list", r#""Chromium";v="120.0.6099.71""#, true),
            ("User-Agent", "120.0.0.0", false),
            ("X-App-Version", "app/1.2.3.4", false),
        ] {
            let headers = json!({ name: value }).to_string();
            let due = if stays { &headers } else { "{}" };
            assert_eq!(scrubbed(&headers).as_deref(), Some(due), "{name}");
        }
    }

    #[test]
    fn what_carries_none_stays_as_it_stands() {
        for headers in [
            "{}",
            r#"{ "Accept" : "*/*", "a": null, "n": 1.50, "t": [true, "x"], "a": "", "\ud800": "\u00e9" }"#,
            r#"{"User-Agent":"Mozilla/5.0 Chrome/120.0.0.0","Sec-CH-UA-Full-Version":"\"120.0.0.0\""}"#,
            r#""{\"Accept\": \"*/*\"}""#,
        ] {
            assert!(
                matches!(scrub(headers, &privacy()), Some(Cow::Borrowed(kept)) if kept == headers),
                "{headers}"
            );
        }
    }

    #[test]
    fn headers_escaped_twice_stay_so() {
        assert_eq!(
            scrubbed(r#""{\"Accept\": \"*/*\", \"X-Real-IP\": \"203.0.113.7\"}""#).as_deref(),
            Some(r#""{\"Accept\":\"*/*\"}""#)
        );
    }

    #[test]
    fn headers_that_cannot_be_read_are_not_kept() {
        for headers in
            ["", "null", "X-Real-IP: 203.0.113.7", r#"[["a","b"]]"#, r#"{"a":"b""#, r#""a""#]
        {
            assert_eq!(scrubbed(headers), None, "{headers}");
        }
    }

    /// A member's value, and whether it must go under any name.
    fn value() -> impl Strategy<Value = (serde_json::Value, bool)> {
        prop_oneof![
            "[g-z ,;]{0,8}".prop_map(|text| (json!(text), false)),
            any::<Option<bool>>().prop_map(|value| (json!(value), false)),
            any::<std::net::IpAddr>().prop_map(|address| (json!(address), true)),
            any::<std::net::IpAddr>()
                .prop_map(|address| (json!(["a", format!("b, {address}")]), true)),
            any::<u8>().prop_map(|number| (json!({ "a": number }), true)),
        ]
    }

    proptest! {
        #[test]
        fn kept_headers_are_the_same_object_with_less(
            given in prop::collection::btree_map("X-Real-IP|[a-z]{1,8}", value(), 0..8)
        ) {
            let members: BTreeMap<_, _> = given.iter().map(|(name, (value, _))| (name, value)).collect();
            let kept = scrubbed(&serde_json::to_string(&members).unwrap()).unwrap();
            let read: BTreeMap<String, serde_json::Value> = serde_json::from_str(&kept).unwrap();
            for (name, (value, must_go)) in &given {
                let stays = !must_go && name != "X-Real-IP";
                prop_assert_eq!(read.get(name), stays.then_some(value), "{}", name);
            }
            prop_assert!(matches!(scrub(&kept, &privacy()), Some(Cow::Borrowed(_))));
        }
    }
}
