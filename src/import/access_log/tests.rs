use super::*;

const TAIL: &str = r#"[17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1"#;

fn parse(line: &str) -> LogLine<'_> {
    LogLine::parse(line, true).unwrap()
}

fn request(request: &str) -> (Option<String>, Option<String>, Option<String>) {
    let line = format!(r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "{request}" 200 1"#);
    let line = parse(&line);
    let own = |text: Option<&str>| text.map(str::to_owned);
    (own(line.method), own(line.target), own(line.protocol))
}

fn three(a: &str, b: &str, c: &str) -> (Option<String>, Option<String>, Option<String>) {
    let own = |text: &str| (text != "-").then(|| text.to_owned());
    (own(a), own(b), own(c))
}

#[test]
fn combined_line_gives_every_field() {
    let line = r#"83.149.9.216 - frank [17/May/2015:10:05:03 +0200] "GET /a?b=c HTTP/1.1" 200 203023 "http://r/" "Mozilla/5.0 (X)" 0.003"#;
    assert_eq!(
        parse(line),
        LogLine {
            virtual_host: None,
            ip: Some("83.149.9.216"),
            time: LogTime { year: 2015, month: 5, day: 17, second: 8 * 3600 + 5 * 60 + 3 },
            method: Some("GET"),
            target: Some("/a?b=c"),
            protocol: Some("HTTP/1.1"),
            status: Some(200),
            bytes: Some(203_023),
            referrer: Some("http://r/"),
            user_agent: Some("Mozilla/5.0 (X)"),
        }
    );
}

#[test]
fn missing_fields_are_none() {
    let line = parse(r#"- - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-""#);
    assert_eq!(
        (line.ip, line.target, line.bytes, line.referrer, line.user_agent),
        (None, None, None, None, None)
    );
    assert_eq!(line.status, Some(408));
    let line = parse(r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1""#);
    assert_eq!((line.status, line.bytes, line.referrer), (None, None, None));
    let line = parse(
        r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "http://r/" "Mozilla/5.0 (cut o"#,
    );
    assert_eq!((line.referrer, line.user_agent), (Some("http://r/"), None));
    let line = parse(r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "" """#);
    assert_eq!((line.referrer, line.user_agent), (Some(""), Some("")));
}

#[test]
fn common_format_ignores_what_follows() {
    let line = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "http://r/" "agent""#;
    assert_eq!(LogLine::parse(line, false).unwrap().referrer, None);
}

#[test]
fn leading_virtual_host_is_told_from_a_client() {
    let who = |who: &str| {
        let line = format!("{who} {TAIL}");
        let line = parse(&line);
        (line.virtual_host.unwrap_or("-").to_owned(), line.ip.unwrap_or("-").to_owned())
    };
    let is = |host: &str, ip: &str| (host.to_owned(), ip.to_owned());
    assert_eq!(who("www.a.example:443 1.2.3.4 - -"), is("www.a.example", "1.2.3.4"));
    assert_eq!(
        who("www.a.example:80 client.example - frank smith"),
        is("www.a.example", "client.example")
    );
    assert_eq!(who("www.a.example 1.2.3.4 - -"), is("www.a.example", "1.2.3.4"));
    assert_eq!(who("[::1]:80 2001:db8::1 - -"), is("[::1]", "2001:db8::1"));
    assert_eq!(who("2001:db8::80 - -"), is("-", "2001:db8::80"));
    assert_eq!(who("2001:db8::80 - frank smith"), is("-", "2001:db8::80"));
    assert_eq!(who("client.example - frank smith"), is("-", "client.example"));
    assert_eq!(who("1.2.3.4"), is("-", "1.2.3.4"));
}

#[test]
fn requests_of_every_shape_are_split() {
    assert_eq!(request("GET /a HTTP/1.0"), three("GET", "/a", "HTTP/1.0"));
    assert_eq!(request("GET /a b.html HTTP/1.0"), three("GET", "/a b.html", "HTTP/1.0"));
    assert_eq!(request("GET /a"), three("GET", "/a", "-"));
    assert_eq!(request("GET"), three("-", "GET", "-"));
    assert_eq!(request("M-SEARCH * HTTP/1.1"), three("M-SEARCH", "*", "HTTP/1.1"));
    assert_eq!(request(r"\x16\x03\x01 \x02"), three("-", r"\x16\x03\x01 \x02", "-"));
    assert_eq!(request("-"), three("-", "-", "-"));
    assert_eq!(request(""), three("-", "-", "-"));
    assert_eq!(
        request(r#"GET /"><IMG SRC="x.gif HTTP/1.0"#),
        three("GET", r#"/"><IMG SRC="x.gif"#, "HTTP/1.0")
    );
    assert_eq!(request(r"GET /x\"), three("GET", r"/x\", "-"));
}

#[test]
fn escapes_stay_as_they_were_logged() {
    let line = parse(
        r#"h - - [17/May/2015:10:05:03 +0000] "GET /\"x\" HTTP/1.1" 200 1 "http://\xe4\xe5/" "a \"quoted\" agent \\""#,
    );
    assert_eq!(line.target, Some(r#"/\"x\""#));
    assert_eq!(line.referrer, Some(r"http://\xe4\xe5/"));
    assert_eq!(line.user_agent, Some(r#"a \"quoted\" agent \\"#));
}

#[test]
fn host_of_an_absolute_url_comes_before_the_virtual_host() {
    let host = |target: &str| {
        let line = format!(
            r#"v.example:80 1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET {target} HTTP/1.1" 200 1"#
        );
        parse(&line).host().unwrap().to_owned()
    };
    assert_eq!(host("/"), "v.example");
    assert_eq!(host("http://u:p@a.example:8080/x?y"), "a.example");
    assert_eq!(host("https://[2001:db8::1]:443/"), "[2001:db8::1]");
    assert_eq!(host("https://[2001:db8::1]"), "[2001:db8::1]");
    assert_eq!(host("HTTP://A.example?u=http://b"), "A.example");
    assert_eq!(host("/go?u=http://b.example/"), "v.example");
    assert_eq!(host("b.example:443"), "v.example");
}

#[test]
fn times_are_brought_to_utc() {
    let time = |text: &str| LogTime::parse(text).map(|t| (t.year, t.month, t.day, t.second));
    assert_eq!(time("01/Jul/1995:00:00:01 -0400"), Some((1995, 7, 1, 4 * 3600 + 1)));
    assert_eq!(time("31/Dec/1999:23:30:00 -0100"), Some((2000, 1, 1, 1800)));
    assert_eq!(time("01/Mar/2000:00:00:00 +0530"), Some((2000, 2, 29, 18 * 3600 + 1800)));
    assert_eq!(time("01/Jan/2000:00:00:00 +0100"), Some((1999, 12, 31, 23 * 3600)));
    for bad in [
        "17/May/2015:10:05:03",
        "29/Feb/2015:10:05:03 +0000",
        "17/Mai/2015:10:05:03 +0000",
        "17/May/2015:24:00:00 +0000",
        "17/May/2015:10:05:60 +0000",
        "17/May/2015:10:05:03.5 +0000",
        "17/May/2015:10:05:03 0000",
        "17/May/2015:10:05:03 +1900",
        "7/May/2015:10:05:03 +0000",
        "1\u{e9}/May/2015:10:05:03 +0000",
    ] {
        assert_eq!(time(bad), None, "{bad}");
    }
}

#[test]
fn unreadable_lines_say_why() {
    let fault = |line: &str| LogLine::parse(line, true).unwrap_err();
    assert_eq!(fault("hello"), Fault::NoTime);
    assert_eq!(fault("h - - [yesterday] \"GET / HTTP/1.1\" 200 1"), Fault::BadTime);
    assert_eq!(fault(&format!(" {TAIL}")), Fault::NoClient);
    assert_eq!(fault("h - - [17/May/2015:10:05:03 +0000] GET / 200 1"), Fault::NoRequest);
    assert_eq!(fault("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP"), Fault::NoRequest);
    assert_eq!(fault("h - - [17/May/2015:10:05:03 +0000] \"GET /\" OK 1"), Fault::BadStatus);
    assert_eq!(fault("h - - [17/May/2015:10:05:03 +0000] \"GET /\" 200 -1"), Fault::BadBytes);
}
