//! The input contract, record by record, and against serde_json's own `Value`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests and their helpers may")]

use std::time::Instant;

use hitstream_domain::decode::Decoder;
use hitstream_domain::event::Event;
use hitstream_domain::reject::{Reject, RejectReason};
use proptest::prelude::*;

const TIME: &str = r#""event_time":"2024-12-29T12:00:00Z""#;

/// Decodes one value and looks at the outcome.
fn with<T>(value: impl AsRef<[u8]>, look: impl FnOnce(Result<Event<'_>, Reject>) -> T) -> T {
    look(Decoder::default().decode(Some(value.as_ref())))
}

fn reject(value: impl AsRef<[u8]>) -> Reject {
    with(value, |outcome| outcome.expect_err("should be rejected"))
}

fn host(value: impl AsRef<[u8]>) -> Option<String> {
    with(value, |outcome| outcome.unwrap().host.map(str::to_owned))
}

/// A hit with more members.
fn hit(members: &str) -> String {
    format!("{{{TIME},{members}}}")
}

#[test]
fn record_without_value_is_a_tombstone_and_an_empty_one_no_json() {
    let tombstone = Decoder::default().decode(None).unwrap_err();
    assert_eq!(tombstone.reason, RejectReason::Tombstone);
    for empty in ["", "   ", "\n"] {
        assert_eq!(reject(empty).reason, RejectReason::InvalidJson);
    }
}

#[test]
fn value_must_be_one_json_object() {
    let whole = hit(r#""host":"h""#);
    for (value, reason) in [
        ("[1]", RejectReason::NotAnObject),
        ("42 ", RejectReason::NotAnObject),
        (" null", RejectReason::NotAnObject),
        (r#""\ud800""#, RejectReason::NotAnObject),
        ("[1", RejectReason::InvalidJson),
        ("nul", RejectReason::InvalidJson),
        ("42 43", RejectReason::InvalidJson),
        ("{", RejectReason::InvalidJson),
        ("{}", RejectReason::MissingTime),
        (r#"{"event_time":null}"#, RejectReason::MissingTime),
        (r#"{"event_time":""}"#, RejectReason::MalformedTime),
        (r#"{"event_time":true}"#, RejectReason::MalformedTime),
        (r#"{"event_time":["2024-12-29"]}"#, RejectReason::MalformedTime),
        (r#"{"event_time":"2300-01-01"}"#, RejectReason::TimeOutOfRange),
        (&format!("{whole}x"), RejectReason::InvalidJson),
        (&format!("{whole}{whole}"), RejectReason::InvalidJson),
        (&format!("\u{feff}{whole}"), RejectReason::InvalidJson),
        (&whole.replace(',', ""), RejectReason::InvalidJson),
        (&whole.replace('}', ",}"), RejectReason::InvalidJson),
        (&whole.replace('"', "'"), RejectReason::InvalidJson),
        (&whole.replace("h\"", "\t\""), RejectReason::InvalidJson),
        (&whole.replace("h\"", "\\q\""), RejectReason::InvalidJson),
    ] {
        assert_eq!(reject(value).reason, reason, "{value}");
    }
    for number in ["007", "+5", ".5", "5.", "0x1F", "NaN", "-", "1e", "Infinity"] {
        let members = format!(r#""other":[{number}]"#);
        assert_eq!(reject(hit(&members)).reason, RejectReason::InvalidJson, "{number}");
    }
}

#[test]
fn null_never_overwrites_and_the_last_of_others_wins() {
    assert_eq!(host(hit(r#""host":"a","host":"b""#)).as_deref(), Some("b"));
    assert_eq!(host(hit(r#""host":"a","host": null"#)).as_deref(), Some("a"));
    assert_eq!(host(hit(r#""host":null,"host":"a""#)).as_deref(), Some("a"));
    assert_eq!(host(hit(r#""host":"a","ho\u0073t":"b""#)).as_deref(), Some("b"));
    assert_eq!(host(hit(r#""Host":"a","x":{"host":"b"}"#)), None);
    assert_eq!(host(hit(r#""host":"\ud800","host":"a""#)).as_deref(), Some("a"));
}

#[test]
fn other_values_are_taken_as_their_json_text() {
    for text in ["123", "1.10", "1e3", "-0", "1E400", "true", "false", "{}", r#"["x",null]"#] {
        assert_eq!(host(hit(&format!(r#""host": {text} "#))).as_deref(), Some(text));
    }
    let nested = r#""host":{ "b" : 1.50, "a":"\u00e9 \" ", "b":[ ] }"#;
    assert_eq!(host(hit(nested)).as_deref(), Some(r#"{"b":1.50,"a":"\u00e9 \" ","b":[]}"#));
}

#[test]
fn every_field_reaches_the_event() {
    let value = hit(
        r#""host":"h\/","referrer":"","url":"\/x","user_agent":"U\"A","ip":1,"headers":"{\"a\":1}","other":1"#,
    );
    with(value, |event| {
        let event = event.unwrap();
        assert_eq!(event.event_time.as_micros(), 1_735_473_600_000_000);
        assert_eq!((event.host, event.referrer), (Some("h/"), Some("")));
        assert_eq!(event.url.unwrap(), "/x");
        assert_eq!(event.user_agent.unwrap(), "U\"A");
        assert_eq!(event.ip.unwrap(), "1");
        assert_eq!(event.headers.unwrap(), r#"{"a":1}"#);
        assert!(!event.sanitised);
    });
}

#[test]
fn lone_surrogate_rejects_in_a_used_field_only() {
    for field in ["host", "referrer", "url", "user_agent", "ip", "headers"] {
        for value in [r#""a\ud800b""#, r#"["\udc00"]"#] {
            let rejected = reject(hit(&format!(r#""{field}":{value}"#)));
            assert_eq!(rejected.reason, RejectReason::InvalidText);
            assert!(rejected.detail.starts_with(field), "{rejected}");
        }
    }
    let time = reject(r#"{"event_time":"2024-12-29\ud800"}"#);
    assert_eq!(time.reason, RejectReason::InvalidText);
    for unused in [r#""other":"\ud800""#, r#""\ud800":"other""#, r#""hos\ud800t":1"#] {
        assert_eq!(host(hit(unused)), None);
    }
}

#[test]
fn nul_and_invalid_utf8_become_replacement_characters() {
    let sanitised = |value: &[u8]| with(value, |event| event.unwrap().sanitised);
    let with_nul = hit(r#""host":"a\u0000b""#);
    assert_eq!(host(&with_nul).as_deref(), Some("a\u{fffd}b"));
    assert!(sanitised(with_nul.as_bytes()));
    assert!(sanitised(hit(r#""headers":"\u0000""#).as_bytes()));
    assert!(!sanitised(hit(r#""host":"\u0001","other":"\u0000","headers":"\\u0000""#).as_bytes()));

    for (bytes, text) in [
        (&b"a\xff\xfeb"[..], "a\u{fffd}\u{fffd}b"),
        (b"a\xc0\xafb", "a\u{fffd}\u{fffd}b"),
        (b"a\xe2\x82", "a\u{fffd}"),
        (b"a\xed\xa0\x80b\xed\xa0", "a\u{fffd}b\u{fffd}\u{fffd}"),
        (b"\xf0\x9f\x8eb", "\u{fffd}b"),
        (b"\xf5\x80", "\u{fffd}\u{fffd}"),
    ] {
        let value = [br#"{"event_time":"2024-12-29","host":""#, bytes, br#""}"#].concat();
        assert_eq!(host(&value).as_deref(), Some(text));
        assert!(sanitised(&value));
    }
}

#[test]
fn nesting_past_a_thousand_levels_is_rejected_without_recursion() {
    let nested =
        |open: &str, close: &str, levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
    for name in ["headers", "other"] {
        for (open, close, step) in
            [("[", "]", 1), (r#"{"a":"#, "}", 1), (r#"["[{",{"]":"#, "}]", 2)]
        {
            // The record's own object is the first level.
            let levels = 999 / step;
            let value = hit(&format!(r#""{name}":{}"#, nested(open, close, levels)));
            assert!(with(&value, |event| event.is_ok()), "{open} {levels}");
            let value = hit(&format!(r#""{name}":{}"#, nested(open, close, levels + 1)));
            assert_eq!(reject(&value).reason, RejectReason::TooDeep, "{open} {levels}");
        }
    }
    let started = Instant::now();
    for levels in [10_000, 1_000_000] {
        let deep = nested("[", "]", levels);
        assert_eq!(reject(hit(&format!(r#""other":{deep}"#))).reason, RejectReason::TooDeep);
        assert_eq!(reject(hit(&format!(r#""host":{deep}"#))).reason, RejectReason::TooDeep);
        assert_eq!(reject(&deep).reason, RejectReason::NotAnObject);
        assert_eq!(reject(&deep[..levels]).reason, RejectReason::InvalidJson);
        assert_eq!(reject(r#"{"a":"#.repeat(levels)).reason, RejectReason::InvalidJson);
    }
    // A second and more would be quadratic; debug builds on a busy machine take 0.2.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn numbers_and_keys_have_sparks_limits() {
    let digits = |count: usize| "1".repeat(count);
    for (members, fits) in [
        (format!(r#""host":{}"#, digits(1_000)), true),
        (format!(r#""host":{}"#, digits(1_001)), false),
        (format!(r#""other":-{}.{}e-{}"#, digits(500), digits(499), digits(1)), true),
        (format!(r#""other":[2,{}.{}e-{}]"#, digits(500), digits(499), digits(2)), false),
        (format!(r#""other":[{0},{0},"{0}{0}"]"#, digits(1_000)), true),
        (format!(r#""other":"{}""#, digits(100_000)), true),
        (format!(r#""{}":1"#, "k".repeat(50_000)), true),
        (format!(r#""{}":1"#, "k".repeat(50_001)), false),
        (format!(r#""{}":1"#, "é".repeat(50_000)), true),
        (format!(r#""other":[{{"{}" : 1}}]"#, "k".repeat(50_001)), false),
        (format!(r#""other":["{}"]"#, "k".repeat(50_001)), true),
    ] {
        let fate = with(hit(&members), |outcome| outcome.map(|_| ()).map_err(|r| r.reason));
        assert_eq!(fate, if fits { Ok(()) } else { Err(RejectReason::TooLong) }, "{:.80}", members);
    }
}

#[test]
fn large_texts_are_counted_and_buffers_do_not_stay_large() {
    let mut decoder = Decoder::default();
    let large = hit(&format!(r#""url":"/{0}","referrer":"\/{0}""#, "a".repeat(1_000_000)));
    assert_eq!(
        decoder.decode(Some(large.as_bytes())).unwrap().referrer.map(str::len),
        Some(1_000_001)
    );
    decoder.decode(Some(hit("\"x\":1").as_bytes())).unwrap();
    assert!(format!("{decoder:?}").len() < 2_000);
}

#[test]
fn details_say_what_is_wrong_and_stay_short() {
    let detail = |value: &str| reject(value).detail.into_owned();
    assert_eq!(detail("{\"host\":\"h\"}xyz"), "trailing characters at line 1 column 13, at xyz");
    assert_eq!(detail("{\n\"host\":'h'}"), "expected value at line 2 column 8, at 'h'}");
    assert_eq!(detail(r#"{"event_time":"2024-02-30"}"#), r#"event_time "2024-02-30": no such day"#);
    assert_eq!(
        detail(r#"{"event_time":"2024-12-29","host":"a\ud800b"}"#),
        r#"host holds the lone surrogate \ud800 at its byte 2: "a\ud800b""#
    );
    assert_eq!(detail("{\u{1}"), "key must be a string at line 1 column 2, at \\u{1}");
    let long = "é".repeat(10_000);
    for value in [
        format!("[\"{long}\"]"),
        format!("{{\"{long}\" 1}}"),
        format!("{{{long}"),
        format!(r#"{{"event_time":"{long}"}}"#),
        format!(r#"{{"event_time":1,"host":"{long}\ud800"}}"#),
        format!(r#"{{"{}":1}}"#, "é".repeat(60_000)),
    ] {
        let detail = detail(&value);
        assert!(detail.chars().count() < 250 && !detail.contains('\0'), "{detail}");
    }
}

/// Whether serde_json's tree agrees that this is an object; `None` where it is known to judge differently.
fn is_object(value: &[u8]) -> Option<bool> {
    match serde_json::from_str::<serde_json::Value>(&String::from_utf8_lossy(value)) {
        Ok(value) => Some(value.is_object()),
        Err(error) => {
            let error = error.to_string();
            // A tree needs the value of every number and escape, which skipping does not.
            let stricter = ["out of range", "surrogate", "unexpected end of hex escape"];
            (!stricter.iter().any(|known| error.contains(known))).then_some(false)
        }
    }
}

fn check_against_tree(value: &[u8]) -> Result<(), TestCaseError> {
    let reason = with(value, |outcome| outcome.err().map(|reject| reject.reason));
    let object = !matches!(reason, Some(RejectReason::InvalidJson | RejectReason::NotAnObject));
    if let Some(expected) = is_object(value) {
        prop_assert_eq!(object, expected, "{}: {:?}", String::from_utf8_lossy(value), reason);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn arbitrary_bytes_are_answered(value in prop::collection::vec(any::<u8>(), 0..200)) {
        check_against_tree(&value)?;
    }

    #[test]
    fn json_like_text_is_judged_as_serde_json_does(
        value in r#"[ \n]?\{?([ \n,]?"(host|event_time|\\u00e9|a)?"?:? ?(null|tru?e|-?0?[0-9.eE+]{1,4}|"[a-z\\/u"]{0,4}"|[\[\]\{\},]{1,3})){0,4}\}? ?"#
    ) {
        check_against_tree(value.as_bytes())?;
    }

    #[test]
    fn mutated_hits_are_judged_as_serde_json_does(
        changes in prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                prop_oneof![any::<u8>(), prop::sample::select(br#"{}[],:"\/ut0e-. "#.to_vec())],
                0..3_u8,
            ),
            1..4,
        )
    ) {
        let members = r#""host":"h\u00e9\ud83c\udf89","headers":{"a":[1.5e3,-0,true]},"x":"\"\\""#;
        let mut value = hit(members).into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(value.len());
            match kind {
                0 => value[at] = byte,
                1 => value.insert(at, byte),
                _ => drop(value.remove(at)),
            }
        }
        check_against_tree(&value)?;
    }

    #[test]
    fn texts_survive_any_escaping(text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", ascii_only: bool) {
        let mut json = serde_json::to_string(&text).unwrap();
        if ascii_only {
            let escape = |c: char| match c.is_ascii() {
                true => c.to_string(),
                false => c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect(),
            };
            json = json.chars().map(escape).collect();
        }
        let value = hit(&format!(r#""host":{json},"referrer":{json},"url":{json}"#));
        let expected = text.replace('\0', "\u{fffd}");
        with(value, |event| {
            let event = event.unwrap();
            prop_assert_eq!(event.host, Some(&*expected));
            prop_assert_eq!(event.referrer, event.host);
            prop_assert_eq!(&*event.url.unwrap().to_str(), &*expected);
            prop_assert_eq!(event.sanitised, text.contains('\0'));
            Ok(())
        })?;
    }
}
