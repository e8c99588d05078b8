//! Counters of one process, for Prometheus.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Everything that is counted; cheap to clone, all clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Generations of actors started.
    pub generations: IntCounter,
    /// Deaths of actors, by actor. The first death of a generation ends it; only that one counts.
    pub actor_deaths: IntCounterVec,
    /// Commits refused because another owner had moved a partition on (step 4 of the commit protocol).
    pub fenced_commits: IntCounter,
    /// Partitions given back uncommitted because a revocation took too long.
    pub late_revocations: IntCounter,
    /// Claims committed that a partition is idle.
    pub idle_claims: IntCounter,
    /// Addresses that IP2Location.io was to locate, by outcome: `located`, `stored` (another request's answer),
    /// `remembered` (not found lately), or a `geo_status`.
    pub ip2location_lookups: IntCounterVec,
    /// Requests to IP2Location.io, by outcome: `located`, `unknown`, `declined`, `refused`, `limited`, `timeout`,
    /// `network`, `status`, `unreadable`.
    pub ip2location_requests: IntCounterVec,
    /// Requests to IP2Location.io that are to be made again after a failure that may pass.
    pub ip2location_retries: IntCounter,
    /// Addresses that wait to be asked for.
    pub ip2location_waiting: IntGauge,
    /// How many may wait.
    pub ip2location_waiting_capacity: IntGauge,
    /// Whether IP2Location.io has not answered since the breaker opened: 1 or 0.
    pub ip2location_breaker_open: IntGauge,
    /// Requests left of the budget, as far as this instance knows; zero where there is no budget.
    pub ip2location_budget_left: IntGauge,
    /// Files that were to become the geolocation database, by [`DatabaseLoad`].
    geo_database_loads: IntCounterVec,
}

/// What became of a file that was to be the geolocation database: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseLoad {
    /// It is in use.
    Loaded,
    /// It is no whole database of locations.
    Broken,
    /// It was being written while it was read.
    Changing,
    /// It is not there or cannot be read.
    Unreadable,
}

impl DatabaseLoad {
    const ALL: [Self; 4] = [Self::Loaded, Self::Broken, Self::Changing, Self::Unreadable];

    fn label(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Broken => "broken",
            Self::Changing => "changing",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Metrics {
    /// All counters at zero, in a registry of their own.
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            generations: counter(
                &registry,
                "hitstream_generations_total",
                "Generations of actors started.",
            ),
            actor_deaths: counters(
                &registry,
                "hitstream_actor_deaths_total",
                "Deaths of actors that ended a generation, by actor.",
                "actor",
            ),
            fenced_commits: counter(
                &registry,
                "hitstream_fenced_commits_total",
                "Commits refused because another owner had moved a partition on.",
            ),
            late_revocations: counter(
                &registry,
                "hitstream_late_revocations_total",
                "Revocations that were answered without a commit because it took too long.",
            ),
            idle_claims: counter(
                &registry,
                "hitstream_idle_claims_total",
                "Claims committed that a partition is idle.",
            ),
            ip2location_lookups: counters(
                &registry,
                "hitstream_ip2location_lookups_total",
                "Addresses that IP2Location.io was to locate, by outcome.",
                "outcome",
            ),
            ip2location_requests: counters(
                &registry,
                "hitstream_ip2location_requests_total",
                "Requests to IP2Location.io, by outcome.",
                "outcome",
            ),
            ip2location_retries: counter(
                &registry,
                "hitstream_ip2location_retries_total",
                "Requests to IP2Location.io that are to be made again after a failure that may pass.",
            ),
            ip2location_waiting: gauge(
                &registry,
                "hitstream_ip2location_waiting",
                "Addresses that wait to be asked for.",
            ),
            ip2location_waiting_capacity: gauge(
                &registry,
                "hitstream_ip2location_waiting_capacity",
                "Addresses that may wait to be asked for.",
            ),
            ip2location_breaker_open: gauge(
                &registry,
                "hitstream_ip2location_breaker_open",
                "Whether IP2Location.io has not answered since the breaker opened.",
            ),
            ip2location_budget_left: gauge(
                &registry,
                "hitstream_ip2location_budget_left",
                "Requests left of the budget, as far as this instance knows.",
            ),
            geo_database_loads: counters(
                &registry,
                "hitstream_geo_database_loads_total",
                "Files that were to become the geolocation database, by what became of them.",
                "outcome",
            ),
            registry,
        };
        // So that a first refusal is a rise and not the beginning of a series.
        for outcome in DatabaseLoad::ALL {
            metrics.database_loads(outcome);
        }
        metrics
    }

    /// The count of files that were to become the geolocation database and came to this.
    pub fn database_loads(&self, outcome: DatabaseLoad) -> IntCounter {
        self.geo_database_loads.with_label_values(&[outcome.label()])
    }

    /// Where all of them are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::with_opts(Opts::new(name, help)))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::with_opts(Opts::new(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
}

#[expect(
    clippy::expect_used,
    reason = "names and labels are constants, each registered once in a new registry"
)]
fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("the name of a metric is valid");
    registry.register(Box::new(collector.clone())).expect("each metric is registered once");
    collector
}
