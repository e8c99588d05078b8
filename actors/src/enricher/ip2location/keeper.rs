//! What is looked up in the store before anything is asked, and what is kept there after: a statement for many addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::geo::Location;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::store::LocationStore;
use crate::backoff::Backoff;
use crate::store::StoreError;

/// Addresses of one statement.
const BATCH: usize = 1000;
/// Addresses that wait for a statement; beyond that they are not looked up, or not kept.
const CAPACITY: usize = 20_000;
/// Longer than this nobody waits to hear what the store knows.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);
/// How often keeping is tried before the answers are let go, which costs a request each when they are wanted again.
const KEEP_TRIES: u32 = 8;
/// How often old answers are looked for.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// What waits to be found or kept.
pub(super) struct Keeper {
    store: Arc<dyn LocationStore>,
    keep_for: Duration,
    to_find: Vec<IpAddr>,
    finding: bool,
    /// Answers that the store does not have for certain.
    unkept: HashMap<IpAddr, Location>,
    keeping: bool,
}

/// A statement, done.
pub(super) enum Looked {
    /// What the store knows of these addresses; nothing where it could not be asked.
    Found(Vec<IpAddr>, HashMap<IpAddr, Location>),
    /// These are kept, or let go.
    Kept(Vec<(IpAddr, Location)>),
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn LocationStore>, keep_for: Duration) -> Self {
        Self {
            store,
            keep_for,
            to_find: Vec::new(),
            finding: false,
            unkept: HashMap::new(),
            keeping: false,
        }
    }

    /// An answer that is on its way to the store.
    pub(super) fn recall(&self, ip: IpAddr) -> Option<&Location> {
        self.unkept.get(&ip)
    }

    /// Looks an address up with the next statement; `false` where too many wait for that.
    pub(super) fn look_up(&mut self, ip: IpAddr) -> bool {
        let has_room = self.to_find.len() < CAPACITY;
        if has_room {
            self.to_find.push(ip);
        }
        has_room
    }

    /// Keeps an answer with the next statement.
    pub(super) fn keep(&mut self, ip: IpAddr, location: Location) {
        if self.unkept.len() < CAPACITY {
            self.unkept.insert(ip, location);
        }
    }

    /// Whether answers are not kept yet.
    pub(super) fn has_unkept(&self) -> bool {
        !self.unkept.is_empty()
    }

    /// The statement that looks up what waits; one at a time.
    pub(super) fn next_find(&mut self) -> Option<BoxFuture<'static, Looked>> {
        if self.finding || self.to_find.is_empty() {
            return None;
        }
        self.finding = true;
        let rest = self.to_find.split_off(self.to_find.len().min(BATCH));
        let batch = std::mem::replace(&mut self.to_find, rest);
        Some(find(self.store.clone(), batch, self.keep_for).boxed())
    }

    /// The statement that keeps what waits; one at a time.
    pub(super) fn next_keep(&mut self) -> Option<BoxFuture<'static, Looked>> {
        if self.keeping || self.unkept.is_empty() {
            return None;
        }
        self.keeping = true;
        let batch = self.unkept.iter().take(BATCH).map(|(ip, at)| (*ip, at.clone())).collect();
        Some(keep(self.store.clone(), batch).boxed())
    }

    /// A statement is done.
    pub(super) fn done(&mut self, looked: &Looked) {
        match looked {
            Looked::Found(..) => self.finding = false,
            Looked::Kept(batch) => {
                self.keeping = false;
                for (ip, _) in batch {
                    self.unkept.remove(ip);
                }
            }
        }
    }
}

async fn find(store: Arc<dyn LocationStore>, batch: Vec<IpAddr>, keep_for: Duration) -> Looked {
    let found = match timeout(FIND_TIMEOUT, store.find(&batch, keep_for)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            debug!(%error, "kept locations cannot be looked up");
            Vec::new()
        }
        Err(_) => {
            debug!("kept locations were not looked up in time");
            Vec::new()
        }
    };
    Looked::Found(batch, found.into_iter().collect())
}

async fn keep(store: Arc<dyn LocationStore>, batch: Vec<(IpAddr, Location)>) -> Looked {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = store.keep(&batch).await {
        if matches!(error, StoreError::Refused(_)) {
            // A database in another encoding cannot hold every name.
            for answer in batch.chunks(1) {
                if let Err(error) = store.keep(answer).await {
                    debug!(%error, "a location is not kept");
                }
            }
            break;
        }
        let wait = backoff.next_wait();
        if backoff.tries() >= KEEP_TRIES {
            warn!(%error, answers = batch.len(), "locations are not kept; they will be asked for again");
            break;
        }
        debug!(%error, "locations cannot be kept, trying again");
        sleep(wait).await;
    }
    Looked::Kept(batch)
}

/// Forgets answers as they age, for as long as it is polled.
pub(super) async fn forget_old(store: Arc<dyn LocationStore>, keep_for: Duration) {
    // Jitter, so that instances do not look in step.
    let mut interval = Backoff::new(FORGET_INTERVAL, FORGET_INTERVAL);
    loop {
        loop {
            match store.forget(keep_for).await {
                Ok(0) => break,
                Ok(count) => debug!(count, "old locations are forgotten"),
                Err(error) => {
                    debug!(%error, "old locations cannot be forgotten");
                    break;
                }
            }
        }
        sleep(interval.next_wait()).await;
    }
}
