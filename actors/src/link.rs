//! The only way to send between actors, and the only way they are known to have died.
//!
//! Messages are sent without waiting: how many there can be is bounded by the epochs' credit ([`crate::intake`]), not by
//! mailboxes. actix drops a message to a dead actor silently, so each [`Link`] looks first and reports the death, and
//! each actor holds a [`DeathWatch`] that reports when it is dropped, which also happens while a panic unwinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message, Recipient};

use crate::messages::ActorDied;

/// Tells the supervisor of deaths; the first of a generation counts.
#[derive(Clone)]
pub struct Obituary {
    supervisor: Recipient<ActorDied>,
    generation: u64,
}

impl Obituary {
    /// Deaths of this generation go to `supervisor`.
    pub fn new(supervisor: Recipient<ActorDied>, generation: u64) -> Self {
        Self { supervisor, generation }
    }

    /// Reports a death.
    pub fn report(&self, actor: &'static str, cause: &'static str) {
        self.supervisor.do_send(ActorDied { generation: self.generation, actor, cause });
    }

    /// A guard for the actor called `actor`.
    pub fn watch(&self, actor: &'static str) -> DeathWatch {
        DeathWatch { obituary: self.clone(), actor, retired: Arc::new(AtomicBool::new(false)) }
    }
}

/// Held by an actor: dropped before it was retired, it reports the actor's death.
pub struct DeathWatch {
    obituary: Obituary,
    actor: &'static str,
    retired: Arc<AtomicBool>,
}

impl DeathWatch {
    /// The actor may end now.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        let cause = if std::thread::panicking() { "panic" } else { "stopped" };
        if !self.retired.load(Ordering::Relaxed) {
            self.obituary.report(self.actor, cause);
        }
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
            self.addr.do_send(message);
        } else {
            self.obituary.report(self.name, "mailbox closed");
        }
    }
}
