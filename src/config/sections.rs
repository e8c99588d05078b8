//! The settings by section. `config/hitstream.toml` has the defaults and says what each one does.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::http::{HealthConfig, HttpConfig};
use super::kafka::KafkaConfig;
use super::postgres::PostgresConfig;
use super::secret::Secret;
use super::values::{ByteSize, Parallelism, duration, list_of, one_of, texts};

/// All settings of one instance, complete and checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where hits come from.
    pub kafka: KafkaConfig,
    /// Where rows go.
    pub postgres: PostgresConfig,
    /// Windows that hits are counted in.
    pub window: WindowConfig,
    /// When hits are late and partitions idle.
    pub watermark: WatermarkConfig,
    /// What input is accepted.
    pub input: InputConfig,
    /// When an epoch is cut.
    pub flush: FlushConfig,
    /// What is stored of single events.
    pub events: EventsConfig,
    /// Geolocation.
    pub enrich: EnrichConfig,
    /// Sums beside those by host and referrer.
    pub rollups: RollupsConfig,
    /// What is kept of visitors.
    pub privacy: PrivacyConfig,
    /// What is kept of rejected records.
    pub rejects: RejectsConfig,
    /// How the work is spread over cores.
    pub actors: ActorsConfig,
    /// How an instance ends.
    pub shutdown: ShutdownConfig,
    /// Where an instance can be asked how it is.
    pub http: HttpConfig,
    /// When it is not well.
    pub health: HealthConfig,
    /// What is written to the log.
    pub log: LogConfig,
}

/// `[window]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// Length of a window, whole milliseconds.
    #[serde(with = "duration")]
    pub size: Duration,
    /// Distance between window starts, at most `size`, whole milliseconds.
    #[serde(with = "duration")]
    pub slide: Duration,
}

/// `[watermark]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatermarkConfig {
    /// How far behind its partition's newest hit a hit may be; may be zero.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// Time without hits after which a partition no longer holds back the frontier.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
}

/// `[input]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// How far ahead of its Kafka timestamp an event time may be.
    #[serde(with = "duration")]
    pub max_future_skew: Duration,
    /// Header in which proxies write whom they were called by; empty is none.
    pub client_header: String,
    /// Networks and addresses of proxies that are believed.
    #[serde(deserialize_with = "texts")]
    pub trusted_proxies: Vec<String>,
}

/// `[flush]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushConfig {
    /// Age at which an epoch is cut.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Age at which an epoch is cut while much more waits to be read.
    #[serde(with = "duration")]
    pub catch_up_interval: Duration,
    /// Distinct keys at which an epoch is cut.
    pub max_keys: NonZeroUsize,
    /// Records at which an epoch is cut.
    pub max_events: NonZeroUsize,
    /// Bytes of records at which an epoch is cut.
    pub max_bytes: ByteSize,
}

/// `[events]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// Whether enriched events are stored.
    pub store: bool,
    /// Most daily partitions of `processed_events`.
    pub max_partitions: NonZeroU32,
}

/// `[enrich]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrichConfig {
    /// Enrichers at work.
    pub workers: Parallelism,
    /// Who is asked where visitors are, in this order.
    #[serde(deserialize_with = "list_of")]
    pub providers: Vec<GeoProvider>,
    /// File of the local database; empty is the built-in one.
    pub database: PathBuf,
    /// Addresses whose location is kept in memory.
    pub cached_addresses: NonZeroUsize,
    /// Longest wait of an epoch for enrichment.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Addresses a second whose events are filled in later; 0 for none.
    pub repair_per_second: u32,
    /// IP2Location.io.
    pub ip2location: Ip2LocationConfig,
}

/// `[enrich.ip2location]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ip2LocationConfig {
    /// Key; empty is none.
    pub key: Secret,
    /// Where it is asked.
    pub base_url: Secret,
    /// Longest time of one request.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Requests at a time.
    pub concurrency: NonZeroUsize,
    /// Requests in a second.
    pub per_second: NonZeroU32,
    /// Requests in a period, of all instances together.
    pub budget: NonZeroU64,
    /// The period.
    #[serde(deserialize_with = "one_of")]
    pub budget_period: BudgetPeriod,
    /// Tries after the first.
    pub retries: u32,
    /// How long an address that nobody knew is not asked for again.
    #[serde(with = "duration")]
    pub negative_ttl: Duration,
    /// How long answers are kept in PostgreSQL; zero keeps none.
    #[serde(with = "duration")]
    pub keep_for: Duration,
    /// How long nothing is asked after several failures in a row.
    #[serde(with = "duration")]
    pub failing_rest: Duration,
    /// How long nothing is asked after the service refused the key.
    #[serde(with = "duration")]
    pub refused_rest: Duration,
    /// PEM file of certificates to trust; empty is none.
    pub root_ca: PathBuf,
}

/// `[privacy]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyConfig {
    /// What is kept of addresses.
    #[serde(deserialize_with = "one_of")]
    pub ip: KeptIp,
    /// Whether URLs and referrers are kept without their query and credentials.
    pub strip_query: bool,
}

/// `[rejects]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsConfig {
    /// Whether rejected records are stored with their value.
    pub keep_payload: bool,
}

/// `[rollups]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupsConfig {
    /// Hits per window, host and country.
    pub by_country: bool,
    /// Hits per window, host, country, region and city.
    pub by_city: bool,
}

/// `[actors]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorsConfig {
    /// Threads the actors run on.
    pub threads: Parallelism,
    /// Window shards.
    pub window_shards: Parallelism,
    /// Time without a sign of life after which an actor counts as dead.
    #[serde(with = "duration")]
    pub stall_timeout: Duration,
}

/// `[shutdown]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Time to commit and leave after a signal.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or `tracing` filter directives.
    pub level: String,
    /// How a log line looks.
    #[serde(deserialize_with = "one_of")]
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Who can be asked where visitors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GeoProvider {
    /// A database on this machine.
    Database,
    /// IP2Location.io.
    #[value(name = "ip2location")]
    Ip2Location,
}

/// What is kept of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KeptIp {
    /// All.
    Full,
    /// The network.
    Truncate,
    /// A hash, with a key of the day.
    Hash,
    /// Nothing.
    Drop,
}

/// After what time a budget begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BudgetPeriod {
    /// At midnight UTC.
    Day,
    /// On the first of a month, at midnight UTC.
    Month,
}

/// Where a pipeline without progress begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the oldest record.
    Earliest,
    /// At what comes from now on.
    Latest,
}

/// What to do when unread records are gone from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnDataLoss {
    /// Stop with exit code 64.
    Fail,
    /// Go on with the oldest record left; the gap is counted.
    Continue,
}
