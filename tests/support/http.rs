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
    wait_until("an address", LIMIT, || {
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
