//! The server as clients meet it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use hitstream_actors::readiness::Part;
use hitstream_domain::progress::{Offset, PartitionId};

use super::serve::{LIMITS, Limits};
use super::*;
use crate::config::Secret;

/// Longest that any client here waits.
const PATIENCE: Duration = Duration::from_secs(20);

fn vitals() -> Vitals {
    let vitals = Vitals::default();
    vitals.readiness.works(Part::Kafka);
    vitals.readiness.works(Part::Postgres);
    vitals
}

fn serve(limits: Limits, vitals: &Vitals, token: &str) -> Server {
    let router = router(vitals.clone(), Token::new(&Secret::new(token)));
    Server::start_within(limits, (Ipv4Addr::LOCALHOST, 0).into(), router).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request of these lines and reads until the server closes the connection.
fn told(server: &Server, lines: &[&str]) -> String {
    let mut stream = connect(server);
    let request = [lines, &["Host: x", "Connection: close", "", ""]].concat().join("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Status, head in lower case, and body.
fn got(server: &Server, lines: &[&str]) -> (u16, String, String) {
    let answer = told(server, lines);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

#[test]
fn every_page_answers_get_and_head_and_tells_what_it_is() {
    let server = serve(LIMITS, &vitals(), "");
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4"),
        ("/healthz", "application/json"),
        ("/readyz", "application/json"),
    ] {
        let (status, head, body) = got(&server, &[&format!("GET {path} HTTP/1.1")]);
        assert_eq!(status, 200, "{path}");
        assert!(head.contains(&format!("content-type: {kind}\r\n")), "{head}");
        assert!(head.contains("no-store") && head.contains("nosniff"), "{head}");
        assert!(!body.is_empty());
        let (status, head, body) = got(&server, &[&format!("HEAD {path} HTTP/1.1")]);
        assert_eq!((status, body.as_str()), (200, ""), "{path}");
        assert!(head.contains(&format!("content-type: {kind}\r\n")), "{head}");
    }
    assert_eq!(json(&got(&server, &["GET /healthz HTTP/1.1"]).2)["alive"], true);
}

#[test]
fn front_page_leads_to_every_other_page() {
    let server = serve(LIMITS, &vitals(), "");
    let page = got(&server, &["GET / HTTP/1.1"]).2;
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["/readyz", "/healthz", "/metrics"]);
    for path in links {
        assert_eq!(got(&server, &[&format!("GET {path} HTTP/1.1")]).0, 200, "{path}");
    }
    // Whoever loses the way is told of the same pages.
    let lost = got(&server, &["GET /nothing HTTP/1.1"]).2;
    assert!(["/readyz", "/healthz", "/metrics"].iter().all(|path| lost.contains(path)), "{lost}");
}

#[test]
fn readiness_is_told_with_its_reasons() {
    let vitals = vitals();
    let server = serve(LIMITS, &vitals, "");
    let (status, _, body) = got(&server, &["GET /readyz HTTP/1.1"]);
    let expected = serde_json::json!(
        {"ready": true, "reasons": {}, "lag_records": null, "last_commit_seconds": null}
    );
    assert_eq!((status, json(&body)), (200, expected));
    vitals.readiness.fails(Part::Postgres, "it is \"away\"");
    vitals.readiness.fails(Part::Commits, "none");
    let (status, _, body) = got(&server, &["GET /readyz HTTP/1.1"]);
    let reasons = serde_json::json!({"postgres": "it is \"away\"", "commits": "none"});
    assert_eq!(
        (status, &json(&body)["ready"], &json(&body)["reasons"]),
        (503, &false.into(), &reasons)
    );
    assert_eq!(got(&server, &["GET /healthz HTTP/1.1"]).0, 200, "the process lives all the same");
}

#[test]
fn lag_that_nobody_knows_is_not_told_as_none() {
    let vitals = vitals();
    let server = serve(LIMITS, &vitals, "");
    let lag = || json(&got(&server, &["GET /readyz HTTP/1.1"]).2)["lag_records"].clone();
    let partitions = &vitals.metrics.partitions;
    partitions.begin(PartitionId(0), Offset(3), None);
    partitions.begin(PartitionId(1), Offset(0), None);
    partitions.ends(PartitionId(0), Offset(7));
    assert!(lag().is_null(), "the end of one was not told yet");
    partitions.ends(PartitionId(1), Offset(2));
    assert_eq!(lag(), 6);
    vitals.readiness.fails(Part::Kafka, "the brokers have not answered for 12 s");
    assert!(lag().is_null(), "more may have come since");
}

#[test]
fn what_is_not_there_is_told_as_json() {
    let server = serve(LIMITS, &vitals(), "");
    let (status, head, body) = got(&server, &["GET /nothing HTTP/1.1"]);
    assert_eq!(status, 404);
    assert!(head.contains("application/json"), "{head}");
    assert!(json(&body)["error"].as_str().unwrap().contains("/readyz"), "{body}");
    let (status, head, body) = got(&server, &["POST /metrics HTTP/1.1", "Content-Length: 0"]);
    assert_eq!(status, 405);
    assert!(head.contains("allow: get,head"), "{head}");
    assert!(json(&body)["error"].as_str().unwrap().contains("GET"), "{body}");
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(got(&server, &[&format!("{method} / HTTP/1.1")]).0, 405, "{method}");
    }
    let (status, head, body) = got(&server, &["HEAD /nothing HTTP/1.1"]);
    assert_eq!((status, body.as_str()), (404, ""));
    assert!(head.contains("application/json"), "{head}");
}

#[test]
fn token_is_wanted_for_all_but_whether_the_process_lives() {
    let server = serve(LIMITS, &vitals(), "0123456789abcdef");
    let right = "Authorization: Bearer 0123456789abcdef";
    for path in ["/", "/metrics", "/readyz"] {
        let get = format!("GET {path} HTTP/1.1");
        let (status, head, body) = got(&server, &[&get]);
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("www-authenticate: bearer"), "{head}");
        assert!(body.contains("http.token") && !body.contains("0123"), "{body}");
        assert_eq!(got(&server, &[&get, "Authorization: Bearer 0123456789abcdeX"]).0, 401);
        assert_eq!(got(&server, &[&get, right]).0, 200, "{path}");
    }
    assert_eq!(got(&server, &["GET /nothing HTTP/1.1"]).0, 401, "nor is it told what there is");
    assert_eq!(got(&server, &["GET /nothing HTTP/1.1", right]).0, 404);
    assert_eq!(got(&server, &["GET /healthz HTTP/1.1"]).0, 200);
}

#[test]
fn head_that_does_not_come_ends_the_connection() {
    let limits = Limits { head: Duration::from_millis(200), ..LIMITS };
    let server = serve(limits, &vitals(), "");
    let mut slow = connect(&server);
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let begin = Instant::now();
    let mut left = Vec::new();
    // Whether it is reset or closed is the system's choice.
    drop(slow.read_to_end(&mut left));
    assert!(begin.elapsed() < PATIENCE, "it was not closed");
    let mut idle = connect(&server);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "answered, and closed when it was idle: {answer}");
}

#[test]
fn connection_beyond_the_limit_takes_the_place_of_the_most_silent() {
    // So long that nothing but the newcomers can end a connection here.
    let never = Duration::from_secs(3_600);
    let limits = Limits { connections: 8, head: never, lifetime: never };
    let server = serve(limits, &vitals(), "");
    let mut asking = connect(&server);
    let mut slow = connect(&server);
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&server));
        // A client that asks again and again on one connection keeps it.
        asking.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        asking.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = [0; 1024];
        let taken = asking.read(&mut rest).unwrap();
        assert!(rest[..taken].ends_with(b"}\n"), "the whole answer came at once");
    }
    assert_eq!(got(&server, &["GET /healthz HTTP/1.1"]).0, 200);
    let has_ended = |stream: &mut TcpStream| {
        stream.read(&mut [0]).map_or_else(|e| e.kind() != io::ErrorKind::WouldBlock, |_| true)
    };
    for gone in silent[..150].iter_mut().chain([&mut slow]) {
        assert!(has_ended(gone), "a silent connection was kept longer than those that came later");
    }
    let newest = silent.last_mut().unwrap();
    newest.set_nonblocking(true).unwrap();
    assert!(!has_ended(newest), "the newest of them is still there");
}

#[test]
fn client_that_takes_nothing_is_let_go() {
    let limits = Limits { connections: 1, lifetime: Duration::from_millis(500), ..LIMITS };
    let server = serve(limits, &vitals(), "");
    let mut greedy = connect(&server);
    greedy.set_nonblocking(true).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_000);
    // As much as the system takes.
    drop(greedy.write(&request));
    assert_eq!(got(&server, &["GET /healthz HTTP/1.1"]).0, 200);
}

#[test]
fn server_that_is_dropped_leaves_its_port() {
    let server = serve(LIMITS, &vitals(), "");
    let (address, _held) = (server.address(), connect(&server));
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn instance_is_asked_with_its_token() {
    let server = serve(LIMITS, &vitals(), "0123456789abcdef");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = server.address().to_string();
    let asked = |token: &str| runtime.block_on(ask(&address, READYZ, &Secret::new(token)));
    let (status, body) = asked("0123456789abcdef").unwrap();
    assert_eq!(
        (status.as_u16(), &json(std::str::from_utf8(&body).unwrap())["ready"]),
        (200, &true.into())
    );
    assert_eq!(asked("").unwrap().0, 401);
    drop(server);
    assert!(asked("").unwrap_err().contains("refused"));
}
