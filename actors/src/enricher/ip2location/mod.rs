//! IP2Location.io: locates addresses by asking a service over HTTP, as seldom and as politely as can be.
//!
//! 1. [`Ip2Location::locate`] sends a lookup to one task (`dispatcher`), which outlives generations of actors. Lookups
//!    of one address join (`flights`).
//! 2. What other runs and instances have learnt is looked up in the store (`store`, `keeper`).
//! 3. The rest waits for its turn, hottest first (`line`), until the `gate` lets a request through: a limit a second
//!    (`pace`), a budget of all instances (`allowance`), and a `breaker`.
//! 4. The `client` asks once; `answer` reads what comes. Failures that may pass are tried again after a wait.
//! 5. Answers are kept in the store, also those that nobody waits for any more; "not found" is remembered here for a
//!    while. At an orderly end those under way are waited for ([`Ip2Location::close`]).
//!
//! Beside all that, [`probe`] asks once, for somebody who looks at the settings.

mod allowance;
mod answer;
mod breaker;
mod client;
mod dispatcher;
mod flights;
mod gate;
mod keeper;
mod line;
mod pace;
mod probe;
mod settings;
mod store;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::geo::{GeoSource, GeoStatus, Location};
use prometheus::IntGauge;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

pub use client::Ip2LocationError;
pub use probe::{Probe, probe};
pub use settings::{ApiKey, Budget, BudgetPeriod, Ip2LocationSettings};
pub use store::{Grant, LocationStore, MemoryLocations};

use self::client::Client;
use self::dispatcher::{Dispatcher, Lookup};
use super::RemoteLocator;
use crate::metrics::Metrics;

/// Lookups on their way to the task, which takes them faster than any caller can make them.
const MAILBOX: usize = 4096;
/// What the task is called in the metrics of mailboxes.
const NAME: &str = "Ip2Location";

/// Locates addresses by IP2Location.io. All clones are one, and with the last of them it ends.
#[derive(Clone, Debug)]
pub struct Ip2Location {
    mailbox: mpsc::Sender<Lookup>,
    /// How many lookups are in the mailbox.
    depth: IntGauge,
    /// Whether the breaker is open.
    breaker_open: IntGauge,
    closing: watch::Sender<bool>,
}

impl Ip2Location {
    /// Starts the task on the runtime that calls this; [`Self::locate`] may be called from any other.
    ///
    /// # Errors
    /// Where the settings are wrong, before anything is asked.
    pub fn start(
        settings: Ip2LocationSettings,
        store: Arc<dyn LocationStore>,
        metrics: Metrics,
    ) -> Result<Self, Ip2LocationError> {
        let settings = settings.bounded();
        let client = Client::new(&settings)?;
        let (mailbox, mut lookups) = mpsc::channel(MAILBOX);
        let depth = metrics.mailbox_messages.with_label_values(&[NAME]);
        let capacity = i64::try_from(MAILBOX).unwrap_or(i64::MAX);
        metrics.mailbox_messages_max.with_label_values(&[NAME]).set(capacity);
        let closing = watch::Sender::new(false);
        let mut is_closing = closing.subscribe();
        let breaker_open = metrics.ip2location_breaker_open.clone();
        let forgetting =
            settings.keep_for.map(|keep_for| keeper::forget_old(store.clone(), keep_for));
        let work = async move {
            loop {
                let (client, store) = (client.clone(), store.clone());
                let dispatcher = Dispatcher::new(settings.clone(), client, store, metrics.clone());
                // A bug must not end geolocation for the life of the process: those who wait hear that it failed.
                match AssertUnwindSafe(dispatcher.run(&mut lookups, &mut is_closing))
                    .catch_unwind()
                    .await
                {
                    Ok(()) => return,
                    Err(_) => error!("the geolocation task panicked and begins anew"),
                }
            }
        };
        tokio::spawn(async move {
            match forgetting {
                Some(forgetting) => tokio::select! {
                    () = work => {}
                    () = forgetting => {}
                },
                None => work.await,
            }
        });
        Ok(Self { mailbox, depth, breaker_open, closing })
    }

    /// Locates an address that so many hits of the present came from, for which the last tenth of the budget is kept; public ones only, [`hitstream_domain::geo::address`] tells which.
    ///
    /// A lookup of an address that is being located joins the others and adds its hits, which may bring it forward.
    /// The answer can take long: the caller decides how long it waits, and drops the future then. What comes after
    /// that is kept in the store all the same.
    ///
    /// # Errors
    /// `NotFound` where the service knows no country; `Quota` where the budget or the account's credit is used up, or
    /// the service wants to be left alone; `Timeout` where hotter addresses took all room; `Error` otherwise.
    pub fn locate(
        &self,
        ip: IpAddr,
        hits: u32,
    ) -> impl Future<Output = Result<Location, GeoStatus>> + Send + use<> {
        let (mailbox, depth) = (self.mailbox.clone(), self.depth.clone());
        async move {
            let (caller, answer) = oneshot::channel();
            let lookup = Lookup { ip: ip.to_canonical(), hits, caller };
            mailbox.send(lookup).await.map_err(|_| GeoStatus::Error)?;
            depth.inc();
            answer.await.unwrap_or(Err(GeoStatus::Error))
        }
    }

    /// Ends: nothing more is asked. Done when the requests under way, which are paid for, are answered and kept, and what
    /// was reserved of the budget and not used is given back.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.closing.send_replace(true);
        let mailbox = self.mailbox.clone();
        // The task holds the other end for as long as it works.
        async move { mailbox.closed().await }
    }
}

impl RemoteLocator for Ip2Location {
    fn source(&self) -> GeoSource {
        GeoSource::Ip2Location
    }

    fn locate(&self, ip: IpAddr, hits: u32) -> BoxFuture<'static, Result<Location, GeoStatus>> {
        Self::locate(self, ip, hits).boxed()
    }

    fn is_left_alone(&self) -> bool {
        self.breaker_open.get() != 0
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        Self::close(self).boxed()
    }
}
