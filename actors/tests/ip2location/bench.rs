//! A provider before a server of its own.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hitstream_actors::enricher::ip2location::{
    ApiKey, Budget, BudgetPeriod, Ip2Location, Ip2LocationSettings, MemoryLocations,
};
use hitstream_actors::metrics::Metrics;
use hitstream_domain::geo::{GeoStatus, Location};

use crate::server::{Ip2LocationServer, Reply, Seen};

/// No key like it stands anywhere else.
pub(crate) const KEY: &str = "canary7f3a9c";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Located = Result<Location, GeoStatus>;

pub(crate) struct Bench {
    pub(crate) server: Ip2LocationServer,
    pub(crate) store: Arc<MemoryLocations>,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Ip2LocationSettings,
}

impl Bench {
    pub(crate) fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(Ip2LocationServer::start(script))
    }

    /// Patient settings; nothing is kept, nothing has a budget.
    pub(crate) fn on(server: Ip2LocationServer) -> Self {
        let settings = Ip2LocationSettings {
            base_url: server.base_url(),
            key: Some(ApiKey::new(KEY)),
            root_ca: None,
            timeout: Duration::from_secs(20),
            concurrency: NonZeroUsize::new(4).unwrap(),
            per_second: NonZeroU32::new(1000).unwrap(),
            budget: None,
            retries: 2,
            negative_ttl: Duration::from_secs(60),
            keep_for: None,
            failing_rest: Duration::from_secs(60),
            refused_rest: Duration::from_secs(1800),
        };
        Self { server, store: Arc::default(), metrics: Metrics::new(), settings }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Ip2LocationSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn start(&self) -> Ip2Location {
        let store = self.store.clone();
        Ip2Location::start(self.settings.clone(), store, self.metrics.clone()).unwrap()
    }

    /// How often this outcome of a lookup was counted.
    pub(crate) fn lookups(&self, outcome: &str) -> u64 {
        self.metrics.ip2location_lookups.with_label_values(&[outcome]).get()
    }

    /// How many requests had this outcome.
    pub(crate) fn requests(&self, outcome: &str) -> u64 {
        self.metrics.ip2location_requests.with_label_values(&[outcome]).get()
    }
}

pub(crate) fn budget(count: u64) -> Option<Budget> {
    Some(Budget { count: NonZeroU64::new(count).unwrap(), period: BudgetPeriod::Day })
}

/// One of many public addresses.
pub(crate) fn ip(number: usize) -> IpAddr {
    let [.., a, b] = number.to_be_bytes();
    IpAddr::from([8, 8, a, b])
}

/// The country code of an answer, or why there is none.
pub(crate) fn country(located: Located) -> Result<String, GeoStatus> {
    located.map(|location| location.country_code.unwrap().to_string())
}

/// Locates these at the same time.
pub(crate) async fn locate_all(
    provider: &Ip2Location,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Vec<Located> {
    let located = addresses.into_iter().map(|ip| provider.locate(ip, 1));
    let located = tokio::time::timeout(PATIENCE, futures::future::join_all(located));
    located.await.expect("every address is answered for")
}

/// Waits for something to become true.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
