//! What an instance says over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::process::{Running, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Waits until an instance says where it serves HTTP.
pub(crate) fn address(running: &mut Running) -> String {
    let mut address = None;
    wait_until("an address", || {
        assert!(running.is_running(), "{}", running.stderr());
        let said = running.stderr();
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        address = lines
            .find(|line| line["message"] == "serving HTTP")
            .map(|line| line["address"].as_str().unwrap().to_owned());
        address.is_some()
    });
    address.unwrap()
}

/// Sends a request of one line, with these headers, and reads the answer to its end.
pub(crate) fn request(address: &str, line: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let host = format!("Host: {address}");
    let line = format!("{line} HTTP/1.1");
    let lines = [&[&line, &host, "Connection: close"], headers, &["", ""]].concat();
    stream.write_all(lines.join("\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    request(address, &format!("GET {path}"), &[])
}

/// The samples that an instance serves at `/metrics` now, as [`samples`] reads them.
pub(crate) fn scrape(at: &str) -> Vec<(String, f64)> {
    samples(&get(at, "/metrics").body)
}

/// One of them.
pub(crate) fn value(at: &str, series: &str) -> Option<f64> {
    scrape(at).into_iter().find(|(name, _)| name == series).map(|(_, value)| value)
}

/// The samples of a scrape, by series; fails at any line that is none, and at any series without type and help.
pub(crate) fn samples(text: &str) -> Vec<(String, f64)> {
    let is_name = |name: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        !name.is_empty()
            && name.chars().all(legal)
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let (mut samples, mut typed, mut helped) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] if is_name(name) && !help.is_empty() => helped.push(name),
            ["#", "TYPE", name, "counter" | "gauge" | "histogram"] if is_name(name) => {
                typed.push(name);
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                let value =
                    value.replace("+Inf", "inf").parse().unwrap_or_else(|_| panic!("{line}"));
                let (name, labels) = match series.split_once('{') {
                    Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                    None => (series, ""),
                };
                let kind = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
                let family = kind.filter(|name| typed.contains(name)).unwrap_or(name);
                assert!(
                    is_name(name) && typed.contains(&family) && helped.contains(&family),
                    "{line}"
                );
                for label in labels.split("\",").filter(|label| !label.is_empty()) {
                    let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                    assert!(is_name(name) && !value.contains('\n'), "{line}");
                }
                samples.push((series.to_owned(), value));
            }
        }
    }
    samples
}
