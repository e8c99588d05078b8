//! Fills in, in the background, where visitors are whose hits were stored before anybody could tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hitstream_actors::enricher::RemoteLocator;
use hitstream_actors::store::StoreError;
use hitstream_actors::writer::postgres::{PostgresStore, WaitingEvents};
use hitstream_domain::geo::{GeoStatus, address};
use tracing::{debug, info};

use crate::config::{Config, KeptIp};

/// Visitors looked for at a time.
const AT_A_TIME: i64 = 100;
/// How long to wait where there is nothing to do, or nothing can be done.
const REST: Duration = Duration::from_secs(30);
/// How long an address is left alone that the provider failed at.
const LEFT_ALONE: Duration = Duration::from_secs(600);
/// How long one is whose location PostgreSQL refuses: the provider may call it something else one day.
const REFUSED_LEFT_ALONE: Duration = Duration::from_secs(86_400);

/// The time between two addresses; `None` where nothing is repaired.
pub(super) fn pause(config: &Config) -> Option<Duration> {
    let is_possible = config.privacy.ip == KeptIp::Full && config.events.store;
    let per_second = config.enrich.repair_per_second;
    (is_possible && per_second > 0).then(|| Duration::from_secs(1) / per_second)
}

/// Repairs, for as long as the process lives. Hits of the present go first: nothing here counts as one.
pub(super) async fn repair(
    store: Arc<PostgresStore>,
    remote: Arc<dyn RemoteLocator>,
    pause: Duration,
) {
    let mut left_alone = LeftAlone::default();
    loop {
        match round(&store, &*remote, pause, &mut left_alone).await {
            Ok(0) => tokio::time::sleep(REST).await,
            Ok(events) => info!(events, "stored events were given their locations"),
            Err(error) => {
                debug!(%error, "locations of stored events are not filled in now");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Addresses that are left alone, and until when, so that others get their turn.
#[derive(Default)]
struct LeftAlone(HashMap<String, Instant>);

impl LeftAlone {
    fn add(&mut self, ip: String, time: Duration) {
        self.0.insert(ip, Instant::now() + time);
    }

    fn now(&mut self) -> Vec<&str> {
        let now = Instant::now();
        self.0.retain(|_, until| now < *until);
        self.0.keys().map(String::as_str).collect()
    }
}

/// One look at what waits; returns how many events were filled in. What fails again is left for another time.
async fn round(
    store: &PostgresStore,
    remote: &dyn RemoteLocator,
    pause: Duration,
    left_alone: &mut LeftAlone,
) -> Result<u64, StoreError> {
    let mut repaired = 0;
    for events in store.waiting_events(AT_A_TIME, &left_alone.now()).await? {
        tokio::time::sleep(pause).await;
        let found = look(remote, &events).await;
        match &found {
            // There will be no answer for any other either.
            Err(GeoStatus::Quota) => break,
            Err(status) if status.is_transient() => {
                debug!(reason = %status, "no location for stored events yet");
                left_alone.add(events.ip, LEFT_ALONE);
                continue;
            }
            _ => {}
        }
        let found = found.map(|location| (location, remote.source()));
        match store.repair(&events, &found).await {
            Ok(events) => repaired += events,
            Err(StoreError::Refused(reason)) => {
                debug!(%reason, "a location of stored events cannot be stored");
                left_alone.add(events.ip, REFUSED_LEFT_ALONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(repaired)
}

async fn look(
    remote: &dyn RemoteLocator,
    events: &WaitingEvents,
) -> Result<hitstream_domain::geo::Location, GeoStatus> {
    remote.locate(address(&events.ip)?, 0).await
}
