use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rule(header: &str) -> ClientRule {
    ClientRule::new(header, &["10.0.0.0/8", "2001:db8:1::/48", "203.0.113.7"]).unwrap()
}

/// What a trusted peer makes of these headers.
fn client(headers: &str) -> Option<String> {
    rule("X-Forwarded-For").client("10.0.0.1", headers).map(|address| address.to_string())
}

#[test]
fn first_stranger_from_the_right_is_the_client() {
    for (list, expected) in [
        ("198.51.100.9", Some("198.51.100.9")),
        ("6.6.6.6, 198.51.100.9", Some("198.51.100.9")),
        ("6.6.6.6,198.51.100.9 ,\t203.0.113.7, 10.2.3.4", Some("198.51.100.9")),
        ("6.6.6.6, [2001:db8::9]:4711, 2001:db8:1::5", Some("2001:db8::9")),
        ("6.6.6.6, ::ffff:198.51.100.9, ::ffff:10.1.1.1", Some("198.51.100.9")),
        // A private address is a client like any other where it is not trusted.
        ("6.6.6.6, 192.168.7.7", Some("192.168.7.7")),
        // Nobody but proxies: the first of them has asked.
        ("10.9.9.9, 10.2.3.4", Some("10.9.9.9")),
        ("198.51.100.9, , ,", Some("198.51.100.9")),
        ("", None),
        (" , ", None),
    ] {
        assert_eq!(
            client(&json!({"X-Forwarded-For": list}).to_string()).as_deref(),
            expected,
            "{list}"
        );
    }
}

#[test]
fn garbage_ends_the_walk_at_the_last_good_address() {
    for (list, expected) in [
        ("6.6.6.6, unknown", None),
        ("6.6.6.6, unknown, 10.2.3.4", Some("10.2.3.4")),
        ("6.6.6.6, 198.51.100.9x, 10.5.5.5, 10.2.3.4", Some("10.5.5.5")),
        ("6.6.6.6, 1.2.3.4 5.6.7.8", None),
    ] {
        assert_eq!(
            client(&json!({"X-Forwarded-For": list}).to_string()).as_deref(),
            expected,
            "{list}"
        );
    }
}

#[test]
fn lines_are_one_list_in_their_order() {
    for headers in [
        r#"{"x-forwarded-for": ["6.6.6.6, 7.7.7.7", "198.51.100.9, 10.2.3.4"]}"#,
        r#"{"X-FORWARDED-FOR": "6.6.6.6", "Accept": "*/*", "x-forwarded-for": ["198.51.100.9"]}"#,
        r#"{"X-Forwarded-For": "6.6.6.6", "X-Forwarded-For": "198.51.100.9"}"#,
        r#"{"X-Forwarded-For": ["198.51.100.9", null, ""], "x-forwarded-for": null}"#,
        r#"{"X\u002dForwarded-For": "198.51.100.9"}"#,
        r#""{\"X-Forwarded-For\": \"198.51.100.9\"}""#,
        // Header bytes that were no UTF-8, as Python escapes them.
        r#"{"X-Forwarded-For": "\udcff, 198.51.100.9", "\udcff": "\udcff"}"#,
    ] {
        assert_eq!(client(headers).as_deref(), Some("198.51.100.9"), "{headers}");
    }
    assert_eq!(
        client(r#"{"X-Forwarded-For": ["6.6.6.6", 7, "10.2.3.4"]}"#).as_deref(),
        Some("10.2.3.4")
    );
}

#[test]
fn peer_stands_where_nothing_can_be_read() {
    for headers in [
        "",
        "null",
        "{}",
        "X-Forwarded-For: 6.6.6.6",
        r#"[["X-Forwarded-For", "6.6.6.6"]]"#,
        r#"{"X-Forwarded-For": "6.6.6.6""#,
        r#"{"X-Forwarded-For": {"a": "6.6.6.6"}}"#,
        r#"{"X-Forwarded-For": 6}"#,
        r#"{"X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X_Forwarded_For": "6.6.6.6"}"#,
    ] {
        assert_eq!(client(headers), None, "{headers}");
    }
}

#[test]
fn other_headers_are_read_when_named() {
    let headers = r#"{"cf-connecting-ip": "198.51.100.9", "Forwarded": ["for=6.6.6.6", "for=192.0.2.1;proto=https"]}"#;
    let of = |header| rule(header).client("::ffff:203.0.113.7", headers).unwrap().to_string();
    assert_eq!(of("CF-Connecting-IP"), "198.51.100.9");
    assert_eq!(of("forwarded"), "192.0.2.1");
}

#[test]
fn impossible_rules_are_refused() {
    for name in ["", "X Forwarded", "X-Forwarded-For:", "é"] {
        let error = ClientRule::new(name, &["10.0.0.1"]).unwrap_err();
        assert_eq!(error, ClientRuleError::HeaderName(name.to_owned()));
    }
    let nobody: &[&str] = &[];
    let error = ClientRule::new("Forwarded", nobody).unwrap_err();
    assert_eq!(error, ClientRuleError::NobodyTrusted("Forwarded".to_owned()));
}

/// An address that none of the rule's networks holds.
fn stranger() -> impl Strategy<Value = IpAddr> {
    let any = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()))
    ];
    any.prop_map(|address| address.to_canonical())
        .prop_filter("trusted", |address| !rule("forwarded").trusts(*address))
}

/// Whatever a visitor may send as the header's value.
fn forgery() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"[0-9a-f.:,;=" \\\[\]for_-]{0,60}"#,
        r#"(for="?(10\.0\.0\.1|6\.6\.6\.6|\[::1\])"?[,;"\\]? ?){0,4}"#,
        r#"((10\.0\.0\.1|6\.6\.6\.6|unknown)[,"\\]? ?){0,6}"#,
    ]
}

/// How the header looks after proxies have appended to what a visitor sent: to the text, or as lines of their own.
fn headers(name: &str, forged: &str, appended: &[String], form: u8) -> String {
    let own = appended.join(", ");
    match form {
        0 => json!({ name: format!("{forged}, {own}") }).to_string(),
        1 => json!({ name: [forged, &own] }).to_string(),
        2 => format!(
            "{{{}: {}, {}: {}}}",
            json!(name),
            json!(forged),
            json!(name.to_lowercase()),
            json!(appended)
        ),
        _ => json!(json!({ name: [forged, &own] }).to_string()).to_string(),
    }
}

proptest! {
    #[test]
    fn visitor_cannot_forge_a_list(
        forged in forgery(), real in stranger(), with_port: bool,
        behind in prop::collection::vec("10\\.[0-9]\\.[0-9]\\.[0-9]", 0..3), form in 0u8..4,
    ) {
        let written = match real {
            IpAddr::V6(v6) if with_port => format!("[{v6}]:4711"),
            IpAddr::V4(v4) if with_port => format!("{v4}:80"),
            plain => plain.to_string(),
        };
        let appended: Vec<_> = std::iter::once(written).chain(behind).collect();
        let headers = headers("X-Forwarded-For", &forged, &appended, form);
        prop_assert_eq!(rule("x-forwarded-for").client("10.0.0.1", &headers), Some(real));
    }

    #[test]
    fn visitor_cannot_forge_an_rfc_7239_header(
        forged in forgery(), real in stranger(), forged_host in "[a-z\",;=\\\\]{0,8}",
        behind in prop::collection::vec("for=10\\.[0-9]\\.[0-9]\\.[0-9]", 0..3), form in 0u8..4,
    ) {
        let node = match real {
            IpAddr::V6(v6) => format!("\"[{v6}]:_a\""),
            IpAddr::V4(v4) => v4.to_string(),
        };
        let host = forged_host.replace('\\', r"\\").replace('"', "\\\"");
        let element = format!("host=\"{host}\";For={node};proto=https");
        let appended: Vec<_> = std::iter::once(element).chain(behind).collect();
        let headers = headers("Forwarded", &forged, &appended, form);
        prop_assert_eq!(rule("forwarded").client("10.0.0.1", &headers), Some(real));
    }

    #[test]
    fn peer_that_is_no_proxy_is_never_overruled(peer in stranger(), forged in forgery(), form in 0u8..4) {
        let headers = headers("X-Forwarded-For", &forged, &["10.0.0.1".to_owned()], form);
        prop_assert_eq!(rule("X-Forwarded-For").client(&peer.to_string(), &headers), None);
    }

    #[test]
    fn no_headers_whatever_make_it_panic(headers: String, forged in forgery()) {
        for name in ["X-Forwarded-For", "Forwarded"] {
            rule(name).client("10.0.0.1", &headers);
            rule(name).client("10.0.0.1", &json!({ name: forged }).to_string());
        }
    }
}
