//! What is measured of one process, for Prometheus. The doc comment of a field is the metric's help text, and
//! docs/METRICS.md is made from them ([`Metrics::reference`]).
//!
//! Counters of records and hits grow when these are committed: what is read again after a crash counts once.

mod arrivals;
mod ends;
mod kinds;
mod live;
mod partitions;
mod reference;

use std::time::Duration;

use hitstream_domain::geo::GeoStatus;
use hitstream_domain::progress::Ledger;
use hitstream_domain::reject::RejectReason;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};

pub use self::arrivals::Arrivals;
pub use self::kinds::{BulkHistogram, MaybeGauge};
pub use self::live::{Live, Mailboxes, Pools};
pub use self::partitions::Partitions;
pub(crate) use self::partitions::seconds;

macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $kind:ident = $name:literal $([$($label:literal),+])?;
    )+) => {
        /// Everything that is measured; cheap to clone, all clones are one.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            live: Live,
            /// Where each partition stands.
            pub partitions: Partitions,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            fn registered(registry: Registry) -> Self {
                Self {
                    $($field: kinds::registered(
                        &registry,
                        $name,
                        concat!($($help),+).trim(),
                        &[$($($label),+)?],
                    ),)+
                    live: Live::default(),
                    partitions: kinds::registered(&registry, "", "", &[]),
                    registry,
                }
            }

            /// Name, labels and help of each metric, in the order of this file.
            fn described() -> Vec<reference::Described> {
                vec![$(reference::Described {
                    name: $name,
                    kind: stringify!($kind),
                    labels: &[$($($label),+)?],
                    help: concat!($($help),+).trim(),
                },)+]
            }
        }
    };
}

metrics! {
    /// Records taken from Kafka, those among them that are read again after a restart.
    consumed_records: IntCounter = "hitstream_consumed_records_total";
    /// Records whose epoch is committed.
    committed_records: IntCounter = "hitstream_committed_records_total";
    /// Records that are hits.
    accepted_records: IntCounter = "hitstream_accepted_records_total";
    /// Records that are no hits, by the reason that stands in rejected_events.
    rejected_records: IntCounterVec = "hitstream_rejected_records_total"["reason"];
    /// Hits in which NUL characters or invalid UTF-8 were replaced.
    sanitised_records: IntCounter = "hitstream_sanitised_records_total";
    /// Rows added to processed_events.
    stored_events: IntCounter = "hitstream_stored_events_total";
    /// Offsets that Kafka no longer had when they were wanted (kafka.on_data_loss = "continue").
    lost_records: IntCounter = "hitstream_lost_records_total";
    /// (record, window) pairs by what became of them: counted in an open window, late by their partition's watermark, or diverted to the late rows because the frontier had passed.
    hits: IntCounterVec = "hitstream_hits_total"["outcome"];

    /// Partitions that this instance reads.
    assigned_partitions: IntGauge = "hitstream_assigned_partitions";
    /// Event time up to which windows are final; 0 until there is one.
    frontier: Gauge = "hitstream_frontier_timestamp_seconds";
    /// When this instance last saw the frontier move; 0 before.
    frontier_moved: Gauge = "hitstream_frontier_moved_timestamp_seconds";
    /// 1 for each partition that holds the frontier where it is.
    frontier_holder: IntGaugeVec = "hitstream_frontier_holder"["partition"];
    /// Greatest watermark of all partitions of the topic.
    newest_watermark: Gauge = "hitstream_newest_watermark_timestamp_seconds";
    /// Length of windows (window.size).
    window_size: Gauge = "hitstream_window_size_seconds";
    /// From the start of one window to that of the next (window.slide): the frontier moves once in that.
    window_slide: Gauge = "hitstream_window_slide_seconds";
    /// How far a watermark is behind the newest hit (watermark.delay).
    watermark_delay: Gauge = "hitstream_watermark_delay_seconds";
    /// How long a partition must be quiet to no longer hold the frontier (watermark.idle_timeout).
    idle_timeout: Gauge = "hitstream_watermark_idle_timeout_seconds";
    /// Windows that are not final, looked at every 15 s.
    open_windows: IntGauge = "hitstream_open_windows";
    /// Open keys of each rollup, looked at every 15 s: a row of open_web_traffic, open_web_traffic_by_country or open_web_traffic_by_city is one key in one window that is not final.
    open_rows: IntGaugeVec = "hitstream_open_rows"["rollup"];
    /// Windows behind the frontier that the final tables refuse, for an index, constraint or trigger on them; their rows stay among the open ones. Each is tried again every minute, and the log says why it is refused.
    refused_windows: IntGauge = "hitstream_refused_windows";
    /// Windows that this instance made final.
    final_windows: IntCounter = "hitstream_final_windows_total";

    /// Committed epochs.
    epochs: IntCounter = "hitstream_epochs_total";
    /// When an epoch was last committed; 0 before.
    last_commit: Gauge = "hitstream_last_commit_timestamp_seconds";
    /// From an epoch's cut to its commit.
    epoch_commit: Histogram = "hitstream_epoch_commit_seconds";
    /// Steps of commits: lock (the shared lock and the frontier), progress (compare and set), upsert, copy, commit.
    commit_step: HistogramVec = "hitstream_commit_step_seconds"["step"];
    /// Moving the frontier on.
    advance: Histogram = "hitstream_advance_seconds";
    /// Making one window final.
    move_window: Histogram = "hitstream_move_seconds";
    /// Rows sent in commits, by table: open, late (of all rollups), events, rejects.
    rows_written: IntCounterVec = "hitstream_rows_written_total"["table"];
    /// From a record's Kafka timestamp to its commit.
    latency: BulkHistogram = "hitstream_latency_seconds";
    /// Commits refused because another owner had moved a partition on.
    fenced_commits: IntCounter = "hitstream_fenced_commits_total";
    /// Revocations that were answered without a commit because it took too long.
    late_revocations: IntCounter = "hitstream_late_revocations_total";
    /// Claims committed that a partition is idle.
    idle_claims: IntCounter = "hitstream_idle_claims_total";
    /// Commits that failed, by what can be done: unavailable (tried again), fenced, refused (rows are sorted out), mismatch.
    postgres_errors: IntCounterVec = "hitstream_postgres_errors_total"["class"];
    /// Connections to PostgreSQL, in use or idle.
    postgres_connections: IntGaugeVec = "hitstream_postgres_connections"["state"];
    /// Most connections that commits share (postgres.pool_size); answers of IP2Location.io and repair have up to three beside them.
    postgres_connections_max: IntGauge = "hitstream_postgres_connections_max";

    /// Generations of actors started; more than one after a crash, a fenced commit or rows that PostgreSQL refused.
    generations: IntCounter = "hitstream_generations_total";
    /// Deaths of actors that ended a generation, by actor and cause: panic, stopped, stalled.
    actor_deaths: IntCounterVec = "hitstream_actor_deaths_total"["actor", "cause"];
    /// Messages sent to all actors of a name and not yet handled, and to the task that asks IP2Location.io.
    mailbox_messages: IntGaugeVec = "hitstream_mailbox_messages"["actor"];
    /// Most messages that can be waiting there, each with one record, hit or key at least: what is taken in is bounded by the credit below, of which two epochs may be full, and each cut is one more message.
    mailbox_messages_max: IntGaugeVec = "hitstream_mailbox_messages_max"["actor"];
    /// Records that the accumulating epoch holds.
    held_records: IntGauge = "hitstream_held_records";
    /// Records at which an epoch is cut (flush.max_events).
    held_records_max: IntGauge = "hitstream_held_records_max";
    /// Bytes that the accumulating epoch holds.
    held_bytes: IntGauge = "hitstream_held_bytes";
    /// Bytes at which an epoch is cut (half of flush.max_bytes).
    held_bytes_max: IntGauge = "hitstream_held_bytes_max";
    /// Keys that the accumulating epoch holds.
    held_keys: IntGauge = "hitstream_held_keys";
    /// Keys at which an epoch is cut (flush.max_keys).
    held_keys_max: IntGauge = "hitstream_held_keys_max";
    /// Bytes of records handed to consumers and not yet decoded.
    undecoded_bytes: IntGauge = "hitstream_undecoded_bytes";
    /// Undecoded bytes at which no more is taken from Kafka.
    undecoded_bytes_max: IntGauge = "hitstream_undecoded_bytes_max";
    /// Records handed to consumers and not yet decoded.
    undecoded_records: IntGauge = "hitstream_undecoded_records";
    /// Undecoded records at which no more is taken from Kafka: together with what the epoch holds (flush.max_keys, flush.max_events).
    undecoded_records_max: IntGauge = "hitstream_undecoded_records_max";
    /// Time in which nothing was taken from Kafka because there was no room for it.
    credit_wait: Counter = "hitstream_credit_wait_seconds_total";

    /// Looks at where visitors are, one for each hit, by who answered (cache, database, ip2location, none) and outcome (located, or a geo_status).
    geo_lookups: IntCounterVec = "hitstream_geo_lookups_total"["provider", "outcome"];
    /// Files that were to become the geolocation database, by what became of them.
    geo_database_loads: IntCounterVec = "hitstream_geo_database_loads_total"["outcome"];
    /// Addresses that IP2Location.io was to locate, by outcome: located, stored (another request's answer), remembered (not found lately), or a geo_status.
    ip2location_lookups: IntCounterVec = "hitstream_ip2location_lookups_total"["outcome"];
    /// Requests to IP2Location.io, by outcome.
    ip2location_requests: IntCounterVec = "hitstream_ip2location_requests_total"["outcome"];
    /// Requests to IP2Location.io that are to be made again after a failure that may pass.
    ip2location_retries: IntCounter = "hitstream_ip2location_retries_total";
    /// Addresses that wait to be asked for.
    ip2location_waiting: IntGauge = "hitstream_ip2location_waiting";
    /// Addresses that may wait to be asked for.
    ip2location_waiting_capacity: IntGauge = "hitstream_ip2location_waiting_capacity";
    /// Whether IP2Location.io has not answered since the breaker opened.
    ip2location_breaker_open: IntGauge = "hitstream_ip2location_breaker_open";
    /// Requests left of the budget in this period, as far as this instance knows: as PostgreSQL had it when it last reserved some, less what it has made since. Absent before that, and from the period's end until it reserves some again.
    ip2location_budget_left: MaybeGauge = "hitstream_ip2location_budget_left";
    /// Requests in a period (enrich.ip2location.budget); 0 where it is not asked.
    ip2location_budget_max: IntGauge = "hitstream_ip2location_budget_max";
    /// Stored events that wait for their location, counted to 100,000 in each of the two tables: of the one instance that fills them in, as it was within the last minutes, those among them that it has given up. Absent on the others, and where nothing is repaired.
    geo_waiting_events: MaybeGauge = "hitstream_geo_waiting_events";
    /// Stored events whose location this instance has filled in.
    geo_repaired_events: IntCounter = "hitstream_geo_repaired_events_total";

    /// 1, with what was built of what.
    build_info: IntGaugeVec = "hitstream_build_info"["version", "revision", "librdkafka"];
    /// Whether the pipeline does its work, as /readyz has it.
    ready: IntGauge = "hitstream_ready";
    /// 1 for each part that keeps the pipeline from its work: kafka, postgres, actors, commits.
    not_ready: IntGaugeVec = "hitstream_not_ready"["part"];
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

/// All actors whose death ends a generation.
const ACTORS: [&str; 7] = [
    "GroupMember",
    "KafkaPoller",
    "PartitionConsumer",
    "Enricher",
    "WindowShard",
    "Writer",
    "Finalizer",
];

impl Metrics {
    /// All at zero, in a registry of their own.
    pub fn new() -> Self {
        let metrics = Self::registered(Registry::new());
        metrics.begin_series();
        // It is there on Linux; elsewhere its series are absent.
        #[cfg(target_os = "linux")]
        let _ = metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
        metrics
    }

    /// So that the first of its kind is a rise, and not the beginning of a series.
    fn begin_series(&self) {
        let begin =
            |of: &IntCounterVec, labels: &[&str]| drop(of.get_metric_with_label_values(labels));
        for reason in RejectReason::ALL {
            begin(&self.rejected_records, &[reason.as_str()]);
        }
        for outcome in ["counted", "late", "diverted"] {
            begin(&self.hits, &[outcome]);
        }
        for table in ["open", "late", "events", "rejects"] {
            begin(&self.rows_written, &[table]);
        }
        for class in ["unavailable", "fenced", "refused", "mismatch"] {
            begin(&self.postgres_errors, &[class]);
        }
        for actor in ACTORS {
            for cause in ["panic", "stopped", "stalled"] {
                begin(&self.actor_deaths, &[actor, cause]);
            }
        }
        for provider in ["cache", "database", "ip2location"] {
            begin(&self.geo_lookups, &[provider, "located"]);
        }
        for status in GeoStatus::ALL {
            begin(&self.geo_lookups, &["none", status.as_str()]);
        }
        for outcome in DatabaseLoad::ALL {
            self.database_loads(outcome);
        }
    }

    /// The count of files that were to become the geolocation database and came to this.
    pub fn database_loads(&self, outcome: DatabaseLoad) -> IntCounter {
        self.geo_database_loads.with_label_values(&[outcome.label()])
    }

    /// Adds what was committed.
    pub fn book(&self, ledger: &Ledger) {
        let add = |to: &IntCounter, number: i64| to.inc_by(u64::try_from(number).unwrap_or(0));
        add(&self.committed_records, ledger.records);
        add(&self.accepted_records, ledger.accepted);
        add(&self.sanitised_records, ledger.sanitised);
        add(&self.stored_events, ledger.stored);
        add(&self.lost_records, ledger.lost);
        add(&self.hits.with_label_values(&["counted"]), ledger.counted);
        add(&self.hits.with_label_values(&["late"]), ledger.late);
        add(&self.hits.with_label_values(&["diverted"]), ledger.diverted);
    }

    /// Says by which rules windows and the frontier go; once, at start.
    pub fn goes_by(
        &self,
        size: Duration,
        slide: Duration,
        delay: Duration,
        idle_timeout: Duration,
    ) {
        self.window_size.set(size.as_secs_f64());
        self.window_slide.set(slide.as_secs_f64());
        self.watermark_delay.set(delay.as_secs_f64());
        self.idle_timeout.set(idle_timeout.as_secs_f64());
    }

    /// Says what was built of what; once, at start.
    pub fn built(&self, version: &str, revision: &str) {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        self.build_info.with_label_values(&[version, revision, &librdkafka]).set(1);
    }

    /// What a generation of actors is looked at through from now on.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// All samples as of now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.live.look(self);
        self.registry.gather()
    }

    /// docs/METRICS.md.
    pub fn reference() -> String {
        reference::markdown(&Self::described())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
