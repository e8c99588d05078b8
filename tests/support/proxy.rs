//! A proxy before PostgreSQL that knows when the COMMIT of an epoch passes, and can lose it, or its answer, or hold
//! either back while the client is killed.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Longest that a COMMIT is held.
const HOLD: Duration = Duration::from_secs(10);

/// What becomes of an epoch's COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Pass,
    /// Cut the connection instead: the server rolls back.
    LoseRequest,
    /// Let the server commit, then cut the connection: the client never hears of it.
    LoseAnswer,
    /// Hold the COMMIT until released.
    HoldRequest,
    /// Let the server commit and hold its answer until released.
    HoldAnswer,
}

#[derive(Debug, Default)]
struct Plan {
    fates: VecDeque<Fate>,
    /// COMMITs of epochs seen, by what became of them.
    seen: Vec<Fate>,
    /// A COMMIT or its answer is being held.
    held: bool,
    /// What to do with it: deliver or cut.
    released: Option<bool>,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// A proxy that listens on a free port until the test's process ends.
pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens, and connects each client to `upstream`.
    pub(crate) fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let of_sessions = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let session = Session { client, server, shared: Arc::clone(&of_sessions) };
                thread::spawn(move || session.serve());
            }
        });
        Self { address, shared }
    }

    /// Where it listens, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Decides about the next COMMITs of epochs; later ones pass.
    pub(crate) fn plan(&self, fates: &[Fate]) {
        self.shared.lock().fates.extend(fates);
    }

    /// How many COMMITs of epochs met this fate.
    pub(crate) fn count(&self, fate: Fate) -> usize {
        self.shared.lock().seen.iter().filter(|seen| **seen == fate).count()
    }

    /// Waits until a COMMIT or its answer is held; tells whether one is.
    pub(crate) fn wait_for_hold(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |plan| plan.held.then_some(())).is_some()
    }

    /// Lets what is held go on to where it was going, or cuts its connection.
    pub(crate) fn release(&self, deliver: bool) {
        let mut plan = self.shared.lock();
        plan.fates.clear();
        if plan.held {
            plan.released = Some(deliver);
            self.shared.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait<T>(&self, limit: Duration, mut ready: impl FnMut(&mut Plan) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut plan = self.lock();
        loop {
            if let Some(answer) = ready(&mut plan) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            plan = self.changed.wait_timeout(plan, left).ok()?.0;
        }
    }

    fn next_fate(&self) -> Fate {
        let mut plan = self.lock();
        let fate = plan.fates.pop_front().unwrap_or(Fate::Pass);
        plan.seen.push(fate);
        fate
    }

    /// Holds until released; tells whether to deliver.
    fn hold(&self) -> bool {
        self.lock().held = true;
        self.changed.notify_all();
        let deliver = self.wait(HOLD, |plan| plan.released.take());
        self.lock().held = false;
        deliver.unwrap_or(false)
    }
}

struct Session {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
}

impl Session {
    fn serve(self) {
        let fate_of_answer = Arc::new(Mutex::new(Fate::Pass));
        let backward = {
            let (from, to) = (self.server.try_clone().unwrap(), self.client.try_clone().unwrap());
            let (shared, fate) = (Arc::clone(&self.shared), Arc::clone(&fate_of_answer));
            thread::spawn(move || drop(pass_answers(from, to, &shared, &fate)))
        };
        let ends = [self.client.try_clone(), self.server.try_clone()];
        // Each direction ends with an error when the other has cut the connection.
        drop(self.pass_requests(&fate_of_answer));
        for end in ends.into_iter().flatten() {
            drop(end.shutdown(Shutdown::Both));
        }
        drop(backward.join());
    }

    fn pass_requests(&self, fate_of_answer: &Mutex<Fate>) -> Result<()> {
        let mut from = BufReader::new(self.client.try_clone()?);
        let mut to = BufWriter::new(self.server.try_clone()?);
        // The first message has no type. Before it, the client may ask whether there is TLS, in a message of eight bytes.
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        if u32::from_be_bytes(length) == 8 {
            from.read_exact(&mut length)?;
            self.client.try_clone()?.write_all(b"N")?;
            from.read_exact(&mut length)?;
        }
        to.write_all(&length)?;
        copy(&mut from, &mut to, u32::from_be_bytes(length) as usize - 4)?;
        to.flush()?;
        let mut is_epoch = false;
        loop {
            let message = Message::read(&mut from)?;
            if message.is(b'P', b"UPDATE partition_progress") {
                is_epoch = true;
            } else if message.is(b'Q', b"COMMIT") && std::mem::take(&mut is_epoch) {
                to.flush()?;
                let fate = self.shared.next_fate();
                *fate_of_answer.lock().unwrap() = fate;
                let cut = match fate {
                    Fate::LoseRequest => true,
                    Fate::HoldRequest => !self.shared.hold(),
                    Fate::Pass | Fate::LoseAnswer | Fate::HoldAnswer => false,
                };
                if cut {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
            }
            message.write(&mut to)?;
            if from.buffer().is_empty() {
                to.flush()?;
            }
        }
    }
}

fn pass_answers(from: TcpStream, to: TcpStream, shared: &Shared, fate: &Mutex<Fate>) -> Result<()> {
    let ends = [from.try_clone()?, to.try_clone()?];
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    let passed = loop {
        let message = match Message::read(&mut from) {
            Ok(message) => message,
            Err(error) => break error,
        };
        if message.is(b'C', b"COMMIT") {
            let fate = std::mem::replace(&mut *fate.lock().unwrap(), Fate::Pass);
            let cut = match fate {
                Fate::LoseAnswer => true,
                Fate::HoldAnswer => !shared.hold(),
                Fate::Pass | Fate::LoseRequest | Fate::HoldRequest => false,
            };
            if cut {
                break ErrorKind::ConnectionAborted.into();
            }
        }
        let written = message.write(&mut to);
        let flushed = if from.buffer().is_empty() { to.flush() } else { Ok(()) };
        if let Err(error) = written.and(flushed) {
            break error;
        }
    };
    for end in ends {
        drop(end.shutdown(Shutdown::Both));
    }
    Err(passed)
}

/// A typed message of the protocol, whole.
struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut impl Read) -> Result<Self> {
        let mut header = [0; 5];
        from.read_exact(&mut header)?;
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        let mut body = vec![0; length.checked_sub(4).ok_or(Error::from(ErrorKind::InvalidData))?];
        from.read_exact(&mut body)?;
        Ok(Self { kind, body })
    }

    fn write(&self, to: &mut impl Write) -> Result<()> {
        to.write_all(&[self.kind])?;
        to.write_all(&(self.body.len() as u32 + 4).to_be_bytes())?;
        to.write_all(&self.body)
    }

    /// Whether it is of this kind and its text begins so, after the name of a statement where there is one.
    fn is(&self, kind: u8, text: &[u8]) -> bool {
        let name = if kind == b'P' {
            self.body.iter().position(|b| *b == 0).map_or(0, |at| at + 1)
        } else {
            0
        };
        self.kind == kind && self.body[name..].starts_with(text)
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, bytes: usize) -> Result<()> {
    let copied = std::io::copy(&mut from.take(bytes as u64), to)?;
    if copied == bytes as u64 { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
