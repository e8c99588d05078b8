//! The connections that are open, in the order in which their clients were last heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All of them.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<Mutex<Order>>);

#[derive(Default)]
struct Order {
    /// Rises whenever somebody is heard.
    moment: u64,
    /// By the moment of the last request, or of the connection itself; one whose sender is dropped has to end.
    last_heard: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One connection's place among them, left when this is dropped.
pub(super) struct Place {
    ear: Ear,
    closed: oneshot::Receiver<()>,
}

/// Notes that a connection's client was heard.
#[derive(Clone)]
pub(super) struct Ear {
    open: Open,
    moment: Arc<Mutex<u64>>,
}

impl Open {
    /// Takes a place for a connection that has just come.
    pub(super) fn enter(&self) -> Place {
        let (keep, closed) = oneshot::channel();
        let moment = self.order().insert(keep);
        let ear = Ear { open: self.clone(), moment: Arc::new(Mutex::new(moment)) };
        Place { ear, closed }
    }

    /// Tells the connection that was heard least lately to end, if there is any.
    pub(super) fn close_most_silent(&self) {
        drop(self.order().last_heard.pop_first());
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn insert(&mut self, keep: oneshot::Sender<()>) -> u64 {
        self.moment += 1;
        self.last_heard.insert(self.moment, keep);
        self.moment
    }
}

impl Place {
    /// What a request of this connection is to be told.
    pub(super) fn ear(&self) -> Ear {
        self.ear.clone()
    }

    /// Waits until this connection has to make room.
    pub(super) async fn closed(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.closed).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let moment = *self.ear.moment();
        drop(self.ear.open.order().last_heard.remove(&moment));
    }
}

impl Ear {
    /// The client asks for something: it is the last that was heard.
    pub(super) fn hear(&self) {
        let mut moment = self.moment();
        let mut order = self.open.order();
        // One that was told to end stays told.
        if let Some(keep) = order.last_heard.remove(&moment) {
            *moment = order.insert(keep);
        }
    }

    fn moment(&self) -> MutexGuard<'_, u64> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
