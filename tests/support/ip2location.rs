//! A server that plays IP2Location.io as a script has it, and remembers what it was asked. It needs nothing but `std`, so
//! that tests with and without a runtime can use it.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When it was read.
    pub(crate) at: Instant,
    /// The parameter `ip`.
    pub(crate) ip: String,
    /// The parameter `key`.
    pub(crate) key: Option<String>,
    /// Requests under way then, this one included.
    pub(crate) at_once: usize,
    /// How often this address had been asked for before.
    pub(crate) before: usize,
}

/// What the server does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with this status, these header lines and this body.
    Answer(u16, Vec<String>, String),
    /// Does so after a while.
    Slow(Duration, Box<Reply>),
    /// Promises more than it sends, and hangs up.
    CutOff(String),
    /// Resets the connection.
    Reset,
    /// Reads the request, and that is all.
    Never,
}

impl Reply {
    /// A body with status 200.
    pub(crate) fn json(body: &str) -> Self {
        Self::Answer(200, Vec::new(), body.to_owned())
    }

    /// A keyless answer: somewhere in this country.
    pub(crate) fn located(country_code: &str) -> Self {
        Self::json(&format!(
            r#"{{"country_code":"{country_code}","country_name":"Country {country_code}","city_name":"City",
                "region_name":"-","latitude":1.5,"longitude":-2.5,"time_zone":"+01:00","asn":"64500","as":"Net"}}"#
        ))
    }

    /// What a wrong key gets, and one without credit. Nothing keeps the service from repeating the key.
    pub(crate) fn refused(status: u16, key: Option<&str>) -> Self {
        let key = key.unwrap_or_default();
        let text = format!(
            r#"{{"error":{{"error_code":10000,"error_message":"Invalid API key or insufficient credit. {key}"}}}}"#
        );
        Self::Answer(status, Vec::new(), text)
    }

    /// A bare status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    /// Too many requests, with a `Retry-After`.
    pub(crate) fn limited(retry_after: &str) -> Self {
        Self::Answer(429, vec![format!("Retry-After: {retry_after}")], String::new())
    }

    /// The same, later.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self::Slow(wait, Box::new(self))
    }
}

/// What TLS or nothing makes of a connection.
pub(crate) trait Connection: Read + Write {}
impl<S: Read + Write> Connection for S {}
type Wrap = dyn Fn(TcpStream) -> Box<dyn Connection> + Send + Sync;
type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; it ends when this is dropped.
pub(crate) struct Ip2LocationServer {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
}

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    at_once: Mutex<usize>,
    ended: AtomicBool,
}

impl Ip2LocationServer {
    /// Serves HTTP as the script has it.
    pub(crate) fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::over("http", Arc::new(|plain| Box::new(plain)), script)
    }

    /// Serves over what `wrap` makes of each connection.
    pub(crate) fn over(
        scheme: &'static str,
        wrap: Arc<Wrap>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            at_once: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (state, wrap) = (shared.clone(), wrap.clone());
                // A client that hangs up ends its thread and nothing else.
                let serve = move |connection| {
                    let _ = state.serve(&mut *wrap(connection));
                };
                if let Ok(connection) = connection {
                    thread::spawn(move || serve(connection));
                }
            }
        });
        Self { address, scheme, state }
    }

    /// What `base_url` is to be.
    pub(crate) fn base_url(&self) -> String {
        format!("{}://localhost:{}/", self.scheme, self.address.port())
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen().clone()
    }

    /// How often each address was asked for.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for seen in self.state.seen().iter() {
            *counts.entry(seen.ip.clone()).or_default() += 1;
        }
        counts
    }
}

impl Drop for Ip2LocationServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, for it to see that.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    /// Serves a connection until its client hangs up.
    fn serve(&self, connection: &mut dyn Connection) -> std::io::Result<()> {
        loop {
            let head = read_head(connection)?;
            let seen = self.note(&head);
            let more = (self.script)(&seen).send(connection);
            *self.at_once.lock().unwrap() -= 1;
            if !more? {
                return Ok(());
            }
        }
    }

    fn note(&self, head: &str) -> Seen {
        let parameters: HashMap<&str, &str> = head
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|target| target.split_once('?'))
            .map(|(_, query)| query.split('&').filter_map(|pair| pair.split_once('=')).collect())
            .unwrap_or_default();
        let ip = parameters.get("ip").copied().unwrap_or_default().replace("%3A", ":");
        let at_once = {
            let mut at_once = self.at_once.lock().unwrap();
            *at_once += 1;
            *at_once
        };
        let mut all = self.seen();
        let before = all.iter().filter(|earlier| earlier.ip == ip).count();
        let key = parameters.get("key").map(|key| (*key).to_owned());
        let seen = Seen { at: Instant::now(), ip, key, at_once, before };
        all.push(seen.clone());
        seen
    }
}

impl Reply {
    /// Tells whether the connection can go on.
    fn send(self, connection: &mut dyn Connection) -> std::io::Result<bool> {
        match self {
            // Hanging up before all is read resets the connection: the last byte of the head is still there.
            Self::Reset => return Ok(false),
            Self::Slow(wait, reply) => {
                thread::sleep(wait);
                return reply.send(connection);
            }
            _ => {}
        }
        connection.read_exact(&mut [0])?;
        match self {
            Self::Answer(status, headers, body) => {
                let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
                let answer = format!(
                    "HTTP/1.1 {status} Some reason\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\
                     \r\n{body}",
                    body.len()
                );
                // At once: in pieces, each answer would wait 40 ms for the client's acknowledgement.
                connection.write_all(answer.as_bytes())?;
                connection.flush()?;
                Ok(true)
            }
            Self::CutOff(body) => {
                let promised = body.len() + 100;
                write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n{body}")?;
                connection.flush()?;
                Ok(false)
            }
            Self::Never => {
                // Until the client has had enough.
                let _ = connection.read(&mut [0])?;
                Ok(false)
            }
            Self::Reset | Self::Slow(..) => Ok(false),
        }
    }
}

/// The head of a request without its very last byte.
fn read_head(connection: &mut dyn Connection) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r") {
        if connection.read(&mut byte)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
