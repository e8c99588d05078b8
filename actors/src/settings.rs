//! What the actor system is told: validated values, no defaults.

use std::sync::Arc;
use std::time::Duration;

use hitstream_domain::client::ClientRule;
use hitstream_domain::privacy::Privacy;
use hitstream_domain::watermark::TimeRules;

use crate::group_member::Rhythm;

/// Everything a pipeline needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic and the client's properties.
    pub kafka: KafkaSettings,
    /// Windows, watermark delay and skew.
    pub rules: TimeRules,
    /// `watermark.idle_timeout`: how long a partition must be proven quiet to no longer hold the frontier.
    pub idle_timeout: Duration,
    /// When an epoch is cut.
    pub flush: FlushLimits,
    /// `events.store`: whether each hit becomes a row of `processed_events`.
    pub store_events: bool,
    /// What enrichers do.
    pub enrich: EnrichSettings,
    /// What is kept of visitors and records.
    pub keep: Arc<KeepSettings>,
    /// Sizes of the pools.
    pub pools: PoolSizes,
    /// `actors.stall_timeout`: how long an actor may give no sign of life.
    pub stall_timeout: Duration,
    /// `shutdown.timeout`: how long a last cut and commit may take.
    pub shutdown_timeout: Duration,
    /// `run --until-end`: stop at the end offsets seen at start.
    pub until_end: bool,
    /// How long Kafka or PostgreSQL may stay out of reach; `None` is for ever.
    pub patience: Option<Duration>,
}

impl Settings {
    /// How old epochs become. Claims that a partition is idle travel with them, and must not expire on the way.
    pub fn rhythm(&self) -> Rhythm {
        let FlushLimits { interval, catch_up_interval, .. } = self.flush;
        Rhythm {
            interval,
            catch_up: catch_up_interval.min(self.idle_timeout / 2),
            is_bounded: self.until_end,
        }
    }

    /// How many enrichers are needed: none where hits are neither stored nor summed by place.
    pub fn enrichers(&self) -> usize {
        let is_needed = self.store_events || !self.enrich.rollups.is_empty();
        if is_needed { self.pools.enrichers } else { 0 }
    }
}

/// What enrichers do.
#[derive(Clone, Debug)]
pub struct EnrichSettings {
    /// `enrich.deadline`: how long an epoch waits for remote answers.
    pub deadline: Duration,
    /// `enrich.cached_addresses`: of all enrichers together.
    pub cached_addresses: usize,
    /// The rollups that enrichers sum, by their places in `ROLLUPS`.
    pub rollups: Vec<usize>,
}

/// What is kept of visitors and records.
#[derive(Clone, Debug)]
pub struct KeepSettings {
    /// Which header tells who called the proxies in front of a site, and which proxies are believed.
    pub client: Option<ClientRule>,
    /// `privacy`.
    pub privacy: Privacy,
    /// `rejects.keep_payload`: whether rejected records are stored with their value, and with words that may quote it.
    pub payloads: bool,
}

/// `session.timeout.ms`, unless it is set.
pub const DEFAULT_SESSION_TIMEOUT_MS: &str = "7000";

/// `group.consumer.session.timeout.ms` of brokers that were not told otherwise.
const BROKERS_SESSION_TIMEOUT_MS: &str = "45000";

/// How to reach the topic.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// librdkafka properties, brokers and group among them.
    pub properties: Vec<(String, String)>,
    /// `kafka.topic`.
    pub topic: String,
    /// `kafka.group`.
    pub group: String,
    /// `kafka.start`: where a pipeline without any progress begins.
    pub start: StartAt,
    /// `kafka.on_data_loss`: what to do when the broker no longer has the next offset.
    pub on_data_loss: OnDataLoss,
}

impl KafkaSettings {
    /// The value of a librdkafka property that was set.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the brokers are shown who this client is: a name, or a certificate.
    pub fn is_known(&self) -> bool {
        let protocol = self.property("security.protocol");
        protocol.is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext"))
    }

    /// Whether the group's new protocol (KIP-848) is asked for, in which the brokers assign.
    pub fn uses_consumer_protocol(&self) -> bool {
        self.property("group.protocol").is_some_and(|value| value.eq_ignore_ascii_case("consumer"))
    }

    /// How long a revocation may wait for its last commit: half a session.
    pub fn revocation_limit(&self) -> Duration {
        self.session_or(DEFAULT_SESSION_TIMEOUT_MS) / 2
    }

    /// How long brokers wait for a member that is silent. Where they decide on that themselves, this is what they take
    /// unless told otherwise.
    pub fn session_timeout(&self) -> Duration {
        let default = if self.uses_consumer_protocol() {
            BROKERS_SESSION_TIMEOUT_MS
        } else {
            DEFAULT_SESSION_TIMEOUT_MS
        };
        self.session_or(default)
    }

    fn session_or(&self, default: &str) -> Duration {
        let session = self.property("session.timeout.ms").unwrap_or(default);
        // Where it is no number the client refuses it.
        Duration::from_millis(session.parse().unwrap_or(0))
    }
}

/// Where a pipeline without any progress begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record the broker still has.
    Earliest,
    /// At the next record to come.
    Latest,
}

/// What to do when records were deleted before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDataLoss {
    /// Stop and say which are missing.
    Fail,
    /// Go on at the first record there is.
    Continue,
}

/// When an epoch is cut; whichever limit is reached first.
#[derive(Clone, Copy, Debug)]
pub struct FlushLimits {
    /// `flush.interval`.
    pub interval: Duration,
    /// `flush.catch_up_interval`.
    pub catch_up_interval: Duration,
    /// `flush.max_keys`: (window, key) pairs of all rollups; one that several hold is counted once when its shard has it.
    pub max_keys: usize,
    /// `flush.max_events`: records.
    pub max_events: usize,
    /// `flush.max_bytes`: memory held by sums, events and rejects of both epochs; each is cut at half of it.
    pub max_bytes: usize,
}

/// How many of each.
#[derive(Clone, Copy, Debug)]
pub struct PoolSizes {
    /// `actors.threads`: arbiters that share the data path.
    pub threads: usize,
    /// `actors.window_shards`.
    pub window_shards: usize,
    /// `enrich.workers`.
    pub enrichers: usize,
}
