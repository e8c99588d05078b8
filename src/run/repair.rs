//! Fills in, in the background, where visitors are whose hits were stored before anybody could tell.

use std::sync::Arc;
use std::time::Duration;

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
    loop {
        match round(&store, &*remote, pause).await {
            Ok(0) => tokio::time::sleep(REST).await,
            Ok(events) => info!(events, "stored events were given their locations"),
            Err(error) => {
                debug!(%error, "locations of stored events are not filled in now");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// One look at what waits; returns how many events were filled in. What fails again is left for another time.
async fn round(
    store: &PostgresStore,
    remote: &dyn RemoteLocator,
    pause: Duration,
) -> Result<u64, StoreError> {
    let mut repaired = 0;
    for events in store.waiting_events(AT_A_TIME).await? {
        tokio::time::sleep(pause).await;
        let found = look(remote, &events).await;
        if found.as_ref().is_err_and(|status| status.is_transient()) {
            debug!(reason = ?found.err(), "no location for stored events yet");
            break;
        }
        let found = found.map(|location| (location, remote.source()));
        repaired += store.repair(&events, &found).await?;
    }
    Ok(repaired)
}

async fn look(
    remote: &dyn RemoteLocator,
    events: &WaitingEvents,
) -> Result<hitstream_domain::geo::Location, GeoStatus> {
    remote.locate(address(&events.ip)?, 0).await
}
