//! Fills in, in the background, where visitors are whose hits were stored before anybody could tell.

mod left_alone;

use std::sync::Weak;
use std::time::{Duration, Instant};

use hitstream_actors::enricher::Providers;
use hitstream_actors::enricher::database::Database;
use hitstream_actors::metrics::Metrics;
use hitstream_actors::store::StoreError;
use hitstream_actors::writer::postgres::{PostgresSettings, RepairSession, WaitingEvents};
use hitstream_domain::geo::{GeoSource, GeoStatus, Location, address};
use tracing::{debug, info};

use self::left_alone::LeftAlone;
use crate::config::{Config, KeptIp};

/// Visitors looked for at a time.
const AT_A_TIME: usize = 100;
/// How long to wait where there is nothing to do, nothing can be done, or another instance does it.
const REST: Duration = Duration::from_secs(30);
/// How long a visitor is left alone whom the budget does not reach, so that those whom a database knows get their turn.
const QUOTA_LEFT_ALONE: Duration = Duration::from_secs(600);
/// How long one is whose location PostgreSQL refuses: the provider may call it something else one day.
const REFUSED_LEFT_ALONE: Duration = Duration::from_secs(86_400);

/// The time between two addresses; `None` where nothing is repaired.
pub(super) fn pause(config: &Config) -> Option<Duration> {
    let is_possible = config.privacy.ip == KeptIp::Full
        && config.events.store
        && !config.enrich.providers.is_empty();
    let per_second = config.enrich.repair_per_second;
    (is_possible && per_second > 0).then(|| Duration::from_secs(1) / per_second)
}

/// Repairs, for as long as the process lives. Hits of the present go first: nothing here counts as one.
pub(super) async fn repair(
    postgres: PostgresSettings,
    providers: Providers,
    metrics: Metrics,
    pause: Duration,
) {
    let mut repairer = Repairer {
        databases: providers.databases(),
        postgres,
        providers,
        metrics,
        pause,
        session: None,
        counted: None,
        left_alone: LeftAlone::default(),
    };
    loop {
        match repairer.round().await {
            Ok(Round { repaired: 0, goes_on: true }) => {}
            Ok(Round { repaired: 0, goes_on: false }) => tokio::time::sleep(REST).await,
            Ok(Round { repaired, .. }) => {
                info!(
                    events = repaired,
                    "stored events were repaired: somebody can say now where they come from, or that nobody knows"
                );
            }
            Err(error) => {
                debug!(%error, "locations of stored events are not filled in now");
                repairer.session = None;
                repairer.metrics.geo_waiting_events.set(None);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

struct Repairer {
    postgres: PostgresSettings,
    providers: Providers,
    metrics: Metrics,
    pause: Duration,
    /// When those that wait were last counted.
    counted: Option<Instant>,
    /// While this instance is the one that repairs.
    session: Option<RepairSession>,
    left_alone: LeftAlone,
    /// As they were when addresses were left alone.
    databases: Vec<Weak<Database>>,
}

/// What a look at what waits came to.
struct Round {
    /// Events filled in.
    repaired: u64,
    /// Visitors are likely to wait who have not had their turn yet.
    goes_on: bool,
}

impl Repairer {
    /// One look at what waits. What fails again is left for another time.
    async fn round(&mut self) -> Result<Round, StoreError> {
        if self.session.is_none() {
            self.session = RepairSession::begin(&self.postgres).await?;
        }
        let Some(session) = &self.session else {
            return Ok(Round { repaired: 0, goes_on: false });
        };
        if self.counted.is_none_or(|counted| counted.elapsed() >= REST) {
            // A number to look at keeps nobody from the work.
            let waiting = session.count_waiting().await;
            if let Err(error) = &waiting {
                debug!(%error, "events that wait for a location are not counted now");
            }
            self.metrics.geo_waiting_events.set(waiting.ok());
            self.counted = Some(Instant::now());
        }
        let databases = self.providers.databases();
        if !databases.iter().zip(&self.databases).all(|(now, then)| now.ptr_eq(then)) {
            // A new one may know what the old one did not.
            self.left_alone = LeftAlone::default();
            self.databases = databases;
        }
        // All get a first turn before any gets a second, however hot: a database may know them, or a run before.
        let mut waiting = session.waiting_events(AT_A_TIME, &self.left_alone.all()).await?;
        let goes_on = waiting.len() == AT_A_TIME;
        if !goes_on {
            let but_not = self.left_alone.now(Instant::now());
            let first = waiting.iter().map(|events| events.ip.clone());
            let but_not: Vec<String> = but_not.into_iter().chain(first).collect();
            waiting.extend(session.waiting_events(AT_A_TIME - waiting.len(), &but_not).await?);
        }
        let mut repaired = 0;
        for events in waiting {
            tokio::time::sleep(self.pause).await;
            let found = look(&self.providers, &events).await;
            match &found {
                Err(GeoStatus::Quota) => {
                    self.left_alone.add_for(events.ip, QUOTA_LEFT_ALONE, Instant::now());
                    continue;
                }
                Err(status) if status.is_transient() && self.is_nobody_asked() => {
                    debug!(reason = %status, "nobody is asked now where stored events come from");
                    self.left_alone.add_for(events.ip, REST, Instant::now());
                    continue;
                }
                Err(status) if status.is_transient() => {
                    debug!(reason = %status, "no location for stored events yet");
                    self.left_alone.add_after_failure(events.ip, Instant::now());
                    continue;
                }
                _ => {}
            }
            match session.fill_in(&events, &found).await {
                // They are gone, or a trigger leaves them out.
                Ok(0) => self.left_alone.add_for(events.ip, REST, Instant::now()),
                Ok(events) => {
                    repaired += events;
                    if found.is_ok() {
                        self.metrics.geo_repaired_events.inc_by(events);
                    }
                }
                Err(StoreError::Refused(reason)) => {
                    debug!(%reason, "a location of stored events cannot be stored");
                    self.left_alone.add_for(events.ip, REFUSED_LEFT_ALONE, Instant::now());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Round { repaired, goes_on })
    }

    /// Whether the provider is not asked for now: that it fails says nothing of an address then.
    fn is_nobody_asked(&self) -> bool {
        self.providers.remote().is_some_and(|remote| remote.is_left_alone())
    }
}

async fn look(
    providers: &Providers,
    events: &WaitingEvents,
) -> Result<(Location, GeoSource), GeoStatus> {
    match providers.locate_for_later(address(&events.ip)?).await {
        // The provider that these events wait for is not asked any more, but it may be again one day.
        Err(GeoStatus::NotFound) if providers.remote().is_none() => Err(GeoStatus::Error),
        found => found,
    }
}
