//! The one task behind [`super::Ip2Location`]: takes lookups, looks them up in the store, and has the service asked as far
//! as the gate lets it.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hitstream_domain::geo::{GeoStatus, Location};
use lru::LruCache;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::allowance::reserve;
use super::client::{Client, Outcome};
use super::flights::{Flights, Joined, Located};
use super::gate::{Gate, Next};
use super::keeper::{Keeper, Looked};
use super::line::WaitingLine;
use super::store::{Grant, LocationStore};
use super::{Ip2LocationSettings, NAME};
use crate::metrics::Metrics;

/// Addresses that may wait to be asked for: more than any rate could ask for in time.
const WAITING_CAPACITY: usize = 20_000;
/// Addresses without an answer that are remembered.
const NEGATIVE_CAPACITY: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// Failures of one address are remembered no longer than this: they say little about it.
const ERROR_TTL: Duration = Duration::from_secs(30);
/// Lookups taken at a time, so that the store is asked for many at once.
const TAKEN_AT_ONCE: usize = 1000;

/// What `hitstream_ip2location_lookups_total` tells apart.
const LOOKUPS: [&str; 7] =
    ["located", "stored", "remembered", "not_found", "quota", "timeout", "error"];

/// A question to the task.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) ip: IpAddr,
    pub(super) hits: u32,
    pub(super) caller: oneshot::Sender<Located>,
}

/// Something that ran beside the task is done.
enum Done {
    Looked(Looked),
    Asked(IpAddr, Outcome),
    Waited(IpAddr),
    Reserved(Grant),
}

/// State of the task.
pub(super) struct Dispatcher {
    settings: Ip2LocationSettings,
    client: Client,
    store: Arc<dyn LocationStore>,
    metrics: Metrics,
    flights: Flights,
    keeper: Option<Keeper>,
    negative: LruCache<IpAddr, (GeoStatus, Instant)>,
    line: WaitingLine,
    gate: Gate,
    asking: usize,
    reserving: bool,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Dispatcher {
    pub(super) fn new(
        settings: Ip2LocationSettings,
        client: Client,
        store: Arc<dyn LocationStore>,
        metrics: Metrics,
    ) -> Self {
        metrics.ip2location_waiting_capacity.set(whole(WAITING_CAPACITY));
        let budget = settings.budget.map_or(0, |budget| budget.count.get());
        metrics.ip2location_budget_max.set(i64::try_from(budget).unwrap_or(i64::MAX));
        for label in LOOKUPS {
            metrics.ip2location_lookups.with_label_values(&[label]);
        }
        for label in Outcome::LABELS {
            metrics.ip2location_requests.with_label_values(&[label]);
        }
        Self {
            flights: Flights::default(),
            keeper: settings.keep_for.map(|keep_for| Keeper::new(store.clone(), keep_for)),
            negative: LruCache::new(NEGATIVE_CAPACITY),
            line: WaitingLine::new(WAITING_CAPACITY),
            gate: Gate::new(&settings),
            asking: 0,
            reserving: false,
            jobs: FuturesUnordered::new(),
            settings,
            client,
            store,
            metrics,
        }
    }

    /// Works until nobody can ask any more, or until it is to end.
    pub(super) async fn run(
        mut self,
        mailbox: &mut mpsc::Receiver<Lookup>,
        is_closing: &mut watch::Receiver<bool>,
    ) {
        let mut lookups = Vec::new();
        let depth = self.metrics.mailbox_messages.with_label_values(&[NAME]);
        loop {
            let wake = self.go_on(Instant::now());
            tokio::select! {
                count = mailbox.recv_many(&mut lookups, TAKEN_AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    depth.sub(whole(count));
                    for lookup in lookups.drain(..) {
                        self.take(lookup, Instant::now());
                    }
                }
                // Where nobody is left to say so, lookups that were sent before still come.
                true = async { is_closing.wait_for(|is_closing| *is_closing).await.is_ok() } => break,
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => {
                    self.finish(done, Instant::now());
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        self.close().await;
    }

    /// Ends: what was paid for is still kept, and what was reserved and not used is given back.
    async fn close(mut self) {
        self.turn_away(GeoStatus::Timeout);
        while self.asking > 0
            || self.reserving
            || self.keeper.as_ref().is_some_and(Keeper::has_unkept)
        {
            self.begin_statements();
            let Some(done) = self.jobs.next().await else { break };
            let is_awaited = matches!(
                done,
                Done::Asked(..) | Done::Reserved(..) | Done::Looked(Looked::Kept(..))
            );
            if is_awaited {
                self.finish(done, Instant::now());
            }
        }
        if let Some((budget, rest)) = self.gate.give_back(Instant::now())
            && let Err(error) = self.store.give_back(budget, rest).await
        {
            info!(%error, "what is left of the reserved budget is lost for this period");
        }
    }

    /// A lookup comes in.
    fn take(&mut self, lookup: Lookup, now: Instant) {
        let Lookup { ip, hits, caller } = lookup;
        if let Some(located) = self.recall(ip, now) {
            self.count(if located.is_ok() { "stored" } else { "remembered" });
            // Whoever gave up does not listen any more.
            let _ = caller.send(located);
            return;
        }
        match (self.flights.join(ip, hits, caller), &mut self.keeper) {
            (Joined::Others(hits), _) => self.line.heat(ip, hits),
            (Joined::New, None) => self.queue(ip, now),
            (Joined::New, Some(keeper)) => {
                if !keeper.look_up(ip) {
                    self.land(ip, &Err(GeoStatus::Timeout));
                }
            }
        }
    }

    /// What is known without asking anybody.
    fn recall(&mut self, ip: IpAddr, now: Instant) -> Option<Located> {
        if let Some(location) = self.keeper.as_ref().and_then(|keeper| keeper.recall(ip)) {
            return Some(Ok(location.clone()));
        }
        let (status, until) = *self.negative.get(&ip)?;
        if now < until {
            return Some(Err(status));
        }
        self.negative.pop(&ip);
        None
    }

    /// Nobody here knows the address: it waits for its turn.
    fn queue(&mut self, ip: IpAddr, now: Instant) {
        if let Some(status) = self.gate.shut(now) {
            self.land(ip, &Err(status));
        } else if let Some(coldest) = self.line.push(ip, self.flights.hits(ip)) {
            self.land(coldest, &Err(GeoStatus::Timeout));
        }
    }

    /// Begins what may begin; gives the time at which more may.
    fn go_on(&mut self, now: Instant) -> Option<Instant> {
        self.begin_statements();
        let wake = self.ask_more(now);
        self.metrics.ip2location_waiting.set(whole(self.line.len()));
        self.metrics.ip2location_breaker_open.set(self.gate.is_broken().into());
        let budget = self.gate.budget_left(now);
        let left = budget.map(|(left, _)| i64::try_from(left).unwrap_or(i64::MAX));
        self.metrics.ip2location_budget_left.set(left);
        // At the period's end nothing is known of the next.
        wake.into_iter().chain(budget.map(|(_, ends)| ends)).min()
    }

    fn begin_statements(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        for job in [keeper.next_find(), keeper.next_keep()].into_iter().flatten() {
            self.jobs.push(job.map(Done::Looked).boxed());
        }
    }

    fn ask_more(&mut self, now: Instant) -> Option<Instant> {
        while !self.line.is_empty() && self.asking < self.settings.concurrency.get() {
            match self.gate.next(now) {
                Next::Shut(status) => self.turn_away(status),
                Next::Wait => return None,
                Next::At(at) => return Some(at),
                Next::Reserve(budget, wanted) => {
                    if !self.reserving {
                        self.reserving = true;
                        let reserved = reserve(self.store.clone(), budget, wanted);
                        self.jobs.push(reserved.map(Done::Reserved).boxed());
                    }
                    return None;
                }
                Next::Ask => {
                    let ip = self.line.pop()?;
                    // What no hit of the present waits for can wait for the next period.
                    if self.flights.hits(ip) == 0 && self.gate.is_scarce() {
                        self.land(ip, &Err(GeoStatus::Quota));
                    } else {
                        self.ask(ip, now);
                    }
                }
            }
        }
        None
    }

    fn ask(&mut self, ip: IpAddr, now: Instant) {
        if self.keeper.is_none() && !self.flights.is_wanted(ip) {
            // Nobody listens and nothing is kept: the answer would help nobody.
            self.land(ip, &Err(GeoStatus::Timeout));
            return;
        }
        self.gate.begin(now);
        self.asking += 1;
        let client = self.client.clone();
        let asked = async move { Done::Asked(ip, client.ask(ip).await) };
        self.jobs.push(asked.boxed());
    }

    fn finish(&mut self, done: Done, now: Instant) {
        match done {
            Done::Asked(ip, outcome) => self.asked(ip, outcome, now),
            Done::Waited(ip) => self.queue(ip, now),
            Done::Reserved(grant) => {
                self.reserving = false;
                self.gate.granted(grant, now);
            }
            Done::Looked(looked) => self.looked(looked, now),
        }
    }

    fn looked(&mut self, looked: Looked, now: Instant) {
        if let Some(keeper) = &mut self.keeper {
            keeper.done(&looked);
        }
        let Looked::Found(asked, mut found) = looked else { return };
        for ip in asked {
            if let Some(location) = found.remove(&ip) {
                self.count("stored");
                self.flights.land(ip, &Ok(location));
            } else {
                self.queue(ip, now);
            }
        }
    }

    fn asked(&mut self, ip: IpAddr, outcome: Outcome, now: Instant) {
        self.asking -= 1;
        self.metrics.ip2location_requests.with_label_values(&[outcome.label()]).inc();
        debug!(outcome = outcome.label(), "IP2Location.io was asked");
        self.gate.learn(&outcome, now);
        let negative_ttl = self.settings.negative_ttl;
        match outcome {
            Outcome::Located(location) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.keep(ip, Location::clone(&location));
                }
                self.land(ip, &Ok(*location));
            }
            Outcome::Unknown => self.remember(ip, GeoStatus::NotFound, now + negative_ttl),
            Outcome::Declined => self.remember(ip, GeoStatus::Error, now + negative_ttl),
            Outcome::Refused => self.land(ip, &Err(GeoStatus::Quota)),
            Outcome::Limited(_) => {
                if !self.try_again(ip, now) {
                    self.land(ip, &Err(GeoStatus::Quota));
                }
            }
            Outcome::Failed(failure) => {
                if !failure.may_pass() || !self.try_again(ip, now) {
                    self.remember(ip, GeoStatus::Error, now + negative_ttl.min(ERROR_TTL));
                }
            }
        }
    }

    /// Lets an address wait and try again, unless it has tried enough or nothing is asked for long.
    fn try_again(&mut self, ip: IpAddr, now: Instant) -> bool {
        if self.gate.shut(now).is_some() {
            return false;
        }
        let Some(wait) = self.flights.retry(ip, self.settings.retries) else { return false };
        self.metrics.ip2location_retries.inc();
        self.jobs.push(sleep(wait).map(move |()| Done::Waited(ip)).boxed());
        true
    }

    /// Answers that nobody knows the address, and does so without asking for a while.
    fn remember(&mut self, ip: IpAddr, status: GeoStatus, until: Instant) {
        self.negative.put(ip, (status, until));
        self.land(ip, &Err(status));
    }

    /// Answers all who wait for their turn.
    fn turn_away(&mut self, status: GeoStatus) {
        while let Some(ip) = self.line.pop() {
            self.land(ip, &Err(status));
        }
    }

    fn land(&mut self, ip: IpAddr, located: &Located) {
        self.count(match located {
            Ok(_) => "located",
            Err(status) => status.as_str(),
        });
        self.flights.land(ip, located);
    }

    fn count(&self, outcome: &str) {
        self.metrics.ip2location_lookups.with_label_values(&[outcome]).inc();
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
