//! The only way to send between actors, and the only way they are known to have died.
//!
//! Messages are sent without waiting: how many there can be is bounded by the epochs' credit ([`crate::intake`]), not by
//! mailboxes. actix drops a message to a dead actor silently, so each [`Link`] looks first and reports the death, and
//! each actor holds a [`DeathWatch`] that reports when it is dropped, which also happens while a panic unwinds. An actor
//! that hangs drops nothing: its heart no longer beats, and the supervisor looks for that.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use hitstream_domain::progress::OffsetRange;

use crate::clock;
use crate::messages::{ActorDied, Death};
use crate::metrics::Mailboxes;

/// How often an actor's heart beats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic said, for the report of the actor that dies of it. For the panic hook, on the panicking thread.
pub fn note_panic(said: &str) {
    LAST_PANIC.with(|last| *last.borrow_mut() = Some(said.to_owned()));
}

/// When something last gave a sign of life.
#[derive(Debug)]
pub struct Heart {
    name: &'static str,
    last_beat_micros: AtomicU64,
}

impl Heart {
    /// A heart that has just beaten.
    pub fn new(name: &'static str) -> Self {
        let heart = Self { name, last_beat_micros: AtomicU64::new(0) };
        heart.beat();
        heart
    }

    /// A sign of life.
    pub fn beat(&self) {
        let now = u64::try_from(clock::monotonic().as_micros()).unwrap_or(u64::MAX);
        self.last_beat_micros.store(now, Relaxed);
    }

    /// Time since the last sign of life.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_micros(self.last_beat_micros.load(Relaxed));
        clock::monotonic().saturating_sub(last)
    }
}

/// Tells the supervisor of deaths; the first of a generation counts.
#[derive(Clone)]
pub struct Obituary {
    supervisor: Recipient<ActorDied>,
    generation: u64,
    hearts: Arc<Mutex<Vec<Weak<Heart>>>>,
    mailboxes: Mailboxes,
}

impl Obituary {
    /// Deaths of this generation go to `supervisor`.
    pub fn new(supervisor: Recipient<ActorDied>, generation: u64) -> Self {
        Self { supervisor, generation, hearts: Arc::default(), mailboxes: Mailboxes::default() }
    }

    /// How many messages wait in the generation.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.mailboxes
    }

    /// Reports a death.
    pub fn report(&self, actor: &'static str, cause: Death, work: Option<OffsetRange>) {
        self.supervisor.do_send(ActorDied { generation: self.generation, actor, cause, work });
    }

    /// A guard for the actor called `actor`.
    pub fn watch(&self, actor: &'static str) -> DeathWatch {
        let heart = Arc::new(Heart::new(actor));
        let mut hearts = self.hearts.lock().unwrap_or_else(PoisonError::into_inner);
        hearts.retain(|heart| heart.strong_count() > 0);
        hearts.push(Arc::downgrade(&heart));
        let (retired, work) = (Cell::new(false), Cell::new(None));
        DeathWatch { obituary: self.clone(), heart, retired, work }
    }

    /// An actor that has been silent for longer than `limit`, and for how long.
    pub fn stalled(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        let hearts = self.hearts.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = hearts.iter().filter_map(Weak::upgrade);
        let silent = alive.map(|heart| (heart.name, heart.silence()));
        silent.filter(|(_, silence)| *silence > limit).max_by_key(|(_, silence)| *silence)
    }
}

/// Held by an actor: dropped before it was retired, it reports the actor's death.
pub struct DeathWatch {
    obituary: Obituary,
    heart: Arc<Heart>,
    retired: Cell<bool>,
    work: Cell<Option<OffsetRange>>,
}

impl DeathWatch {
    /// The actor may end now.
    pub fn retire(&self) {
        self.retired.set(true);
    }

    /// A sign of life.
    pub fn beat(&self) {
        self.heart.beat();
    }

    /// A message that came through a [`Link`] is being handled.
    pub fn handles(&self) {
        self.obituary.mailboxes.handled(self.heart.name);
    }

    /// Remembers what the actor is at, to be reported should it die of that.
    pub fn working_on(&self, work: OffsetRange) {
        self.work.set(Some(work));
    }
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if self.retired.get() {
            return;
        }
        let cause = if std::thread::panicking() {
            let said = LAST_PANIC.with(|last| last.borrow_mut().take());
            Death::Panic(said.unwrap_or_else(|| "no message".to_owned()))
        } else {
            Death::Stopped
        };
        self.obituary.report(self.heart.name, cause, self.work.take());
    }
}

/// An actor whose death is noticed.
pub trait Watched: Actor<Context = Context<Self>> {
    /// The guard it holds.
    fn watch(&self) -> &DeathWatch;

    /// Lets its heart beat from now on; for `started`.
    fn live(&self, ctx: &mut Context<Self>) {
        self.watch().beat();
        ctx.run_interval(HEARTBEAT, |actor, _| actor.watch().beat());
    }
}

/// The address of an actor of the same generation.
pub struct Link<A: Actor> {
    addr: Addr<A>,
    name: &'static str,
    obituary: Obituary,
}

impl<A: Actor> Clone for Link<A> {
    fn clone(&self) -> Self {
        Self { addr: self.addr.clone(), name: self.name, obituary: self.obituary.clone() }
    }
}

impl<A: Actor<Context = Context<A>>> Link<A> {
    /// A link to the actor called `name`.
    pub fn new(addr: Addr<A>, name: &'static str, obituary: &Obituary) -> Self {
        Self { addr, name, obituary: obituary.clone() }
    }

    /// Sends `message`; a closed mailbox is a death and is reported.
    pub fn send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        if self.addr.connected() {
            self.obituary.mailboxes.sent(self.name);
            self.addr.do_send(message);
        } else {
            self.obituary.report(self.name, Death::Stopped, None);
        }
    }
}
