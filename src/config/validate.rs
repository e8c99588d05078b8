//! What must hold between and beyond the types: ranges, names, and settings that contradict each other.

use std::time::Duration;

use hitstream_actors::settings::DEFAULT_SESSION_TIMEOUT_MS;
use hitstream_domain::client::ClientRuleError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::Problem;
use super::http::{HttpConfig, LEAST_TOKEN, is_token};
use super::kafka::{KafkaConfig, check_property, check_sasl, check_tls, protocol};
use super::sections::{Config, GeoProvider};
use super::tree::Tree;
use crate::cli::words::span;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// `heartbeat.interval.ms` and `max.poll.interval.ms`, unless they are set.
const DEFAULT_HEARTBEAT_MS: &str = "1000";
const DEFAULT_POLL_MS: &str = "300000";

/// More windows than this for one hit is a slip of the pen, not a wish.
const MAX_OVERLAP: u128 = 1440;

/// Checks the settings as a whole, and adds what is wrong. A setting with a problem already has its default here, which
/// nothing is compared with.
pub(super) fn check(config: &Config, tree: &Tree, problems: &mut Vec<Problem>) {
    let mut found = Found { tree, problems };
    check_kafka(config, &mut found);
    check_postgres(config, &mut found);
    check_times(config, &mut found);
    check_amounts(config, &mut found);
    check_providers(&config.enrich.providers, &mut found);
    check_http(&config.http, &mut found);
    if let Some(Err(error)) = crate::wiring::client_rule(config) {
        match error {
            // The one that was set is to blame, not the one that was left out.
            ClientRuleError::HeaderName(name) if name.is_empty() => found.add(
                "input.trusted_proxies",
                "has no effect without input.client_header; set that to the header your proxies write, such as \
                 X-Forwarded-For, or leave this out",
            ),
            ClientRuleError::HeaderName(_) => found.add("input.client_header", error.to_string()),
            _ => found.add("input.trusted_proxies", error.to_string()),
        }
    }
    found.require(
        is_log_filter(&config.log.level),
        "log.level",
        "must be error, warn, info, debug or trace, or directives such as \"info,hitstream_actors=debug\"",
    );
}

struct Found<'a> {
    tree: &'a Tree,
    problems: &'a mut Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, key: &str, reason: impl Into<String>) {
        self.problems.push(self.tree.problem(key, reason));
    }

    fn require(&mut self, holds: bool, key: &str, reason: &str) {
        if !holds {
            self.add(key, reason);
        }
    }

    /// Tells whether the value is one that others can be compared with.
    fn range(&mut self, key: &str, value: Duration, least: Duration, most: Duration) -> bool {
        if self.problems.iter().any(|problem| problem.key == key) {
            return false;
        }
        if value < least || value > most {
            let [least, most] = [least, most].map(span);
            self.add(key, format!("must be between {least} and {most}"));
            return false;
        }
        let whole = value.as_nanos().is_multiple_of(MILLISECOND.as_nanos());
        self.require(whole, key, "must be whole milliseconds");
        whole
    }
}

/// A bare word would be taken for a target that does not exist, and log nothing.
fn is_log_filter(level: &str) -> bool {
    let is_known =
        |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    level.split(',').all(is_known) && EnvFilter::builder().parse(level).is_ok()
}

fn check_kafka(config: &Config, found: &mut Found<'_>) {
    let kafka = &config.kafka;
    if let Err(reason) = check_brokers(&kafka.brokers, &protocol(&kafka.properties)) {
        found.add("kafka.brokers", reason);
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let topic = &kafka.topic;
    found.require(
        (1..=249).contains(&topic.len())
            && topic.chars().all(legal)
            && topic != "."
            && topic != "..",
        "kafka.topic",
        "is no topic name; Kafka takes 1 to 249 letters, digits, `.`, `_` and `-`",
    );
    found.require(!kafka.group.trim().is_empty(), "kafka.group", "must not be empty");
    for (key, value) in kafka.properties.iter() {
        if let Err(refusal) = check_property(key, value) {
            let (key, reason) = (format!("kafka.properties.{key}"), refusal.reason);
            found.problems.push(match refusal.is_known {
                true => found.tree.problem(&key, reason),
                false => found.tree.secret_problem(&key, reason),
            });
        }
    }
    // What is wrong by itself would be said twice.
    if !found.problems.iter().any(|problem| problem.key.starts_with("kafka.properties.")) {
        check_session(kafka, found);
        if let Err((property, reason)) = check_sasl(&kafka.properties) {
            found.add(&format!("kafka.properties.{property}"), reason);
        }
        if let Err((property, reason)) = check_tls(&kafka.properties) {
            found.add(&format!("kafka.properties.{property}"), reason);
        }
    }
}

/// Each property is right by itself; these contradict each other.
fn check_session(kafka: &KafkaConfig, found: &mut Found<'_>) {
    let key = |property: &str| format!("kafka.properties.{property}");
    let [session, heartbeat, poll] =
        ["session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms"];
    let is_new = |value: &str| value.eq_ignore_ascii_case("consumer");
    if kafka.properties.get("group.protocol").is_some_and(is_new) {
        for property in [session, heartbeat, "partition.assignment.strategy"] {
            if kafka.properties.get(property).is_some() {
                let reason = "has no meaning with group.protocol = \"consumer\", where the brokers decide; leave one out";
                found.add(&key(property), reason);
            }
        }
        return;
    }
    let millis = |property: &str, default: &str| {
        kafka.properties.get(property).unwrap_or(default).parse::<u64>().ok()
    };
    let Some(session_ms) = millis(session, DEFAULT_SESSION_TIMEOUT_MS) else { return };
    let Some(heartbeat_ms) = millis(heartbeat, DEFAULT_HEARTBEAT_MS) else { return };
    let at_fault = if kafka.properties.get(heartbeat).is_some() { heartbeat } else { session };
    if heartbeat_ms >= session_ms {
        let reason = format!(
            "the session ({session_ms} ms) would end between two heartbeats ({heartbeat_ms} ms); make heartbeat.interval.ms a \
             third of session.timeout.ms"
        );
        found.add(&key(at_fault), reason);
    }
    let at_fault = if kafka.properties.get(poll).is_some() { poll } else { session };
    if millis(poll, DEFAULT_POLL_MS).is_some_and(|poll_ms| poll_ms < session_ms) {
        let reason =
            format!("max.poll.interval.ms must be at least session.timeout.ms ({session_ms})");
        found.add(&key(at_fault), reason);
    }
}

/// A scheme before a broker would hold for that one alone, and not for those that it names.
fn check_brokers(brokers: &str, protocol: &str) -> Result<(), String> {
    const SHAPE: &str = "write host:port, several separated by commas";
    if brokers.contains(';') {
        return Err(format!("has a semicolon between brokers; {SHAPE}"));
    }
    for broker in brokers.split(',').map(str::trim) {
        let address = match broker.split_once("://") {
            Some((scheme, address)) => {
                let known = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
                if !known.contains(&scheme.to_uppercase().as_str()) {
                    return Err(format!("{scheme}:// is no Kafka protocol; {SHAPE}"));
                }
                if scheme.to_lowercase() != protocol {
                    return Err(format!(
                        "has {scheme}:// before a broker, but \"security.protocol\" in [kafka.properties] is {protocol:?}; set \
                         that to {:?}, and {SHAPE}",
                        scheme.to_lowercase()
                    ));
                }
                address
            }
            None => broker,
        };
        if address.contains('@') {
            let elsewhere =
                "takes no credentials; they go to [kafka.properties]: sasl.username, sasl.password";
            return Err(format!("{elsewhere}; {SHAPE}"));
        }
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (address, None),
        };
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            return Err(format!("names no host; {SHAPE}"));
        }
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!(
                "has no port number from 1 to 65535 after the last colon; {SHAPE}"
            ));
        }
    }
    Ok(())
}

fn check_postgres(config: &Config, found: &mut Found<'_>) {
    let postgres = &config.postgres;
    let schema = &postgres.schema;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    found.require(
        (1..=63).contains(&schema.len())
            && schema.chars().all(legal)
            && !schema.starts_with(|c: char| c.is_ascii_digit())
            && !schema.starts_with("pg_"),
        "postgres.schema",
        "is no schema name; use up to 63 of a-z, 0-9 and `_`, not beginning with a digit or pg_",
    );
    if let Some((key, reason)) = super::postgres_tls::contradiction(postgres) {
        found.add(key, reason);
    }
    found.require(!postgres.user.is_empty(), "postgres.user", "must not be empty");
    found.require(!postgres.database.is_empty(), "postgres.database", "must not be empty");
    found.require(
        (2..=1000).contains(&postgres.pool_size.get()),
        "postgres.pool_size",
        "must be between 2 and 1000; commits and the moving of final windows need one each",
    );
}

fn check_times(config: &Config, found: &mut Found<'_>) {
    check_windows(config.window.size, config.window.slide, found);
    found.range("watermark.delay", config.watermark.delay, Duration::ZERO, YEAR);
    found.range("input.max_future_skew", config.input.max_future_skew, MILLISECOND, YEAR);
    let (idle_timeout, interval) = (config.watermark.idle_timeout, config.flush.interval);
    let comparable = [
        found.range("watermark.idle_timeout", idle_timeout, 100 * MILLISECOND, YEAR),
        found.range("flush.interval", interval, MILLISECOND, HOUR),
    ];
    found.range("flush.catch_up_interval", config.flush.catch_up_interval, MILLISECOND, HOUR);
    if !comparable.contains(&false) && idle_timeout < 2 * interval {
        claims_expire(found);
    }
    let remote = &config.enrich.ip2location;
    found.range("enrich.ip2location.timeout", remote.timeout, MILLISECOND, 60 * SECOND);
    found.range("enrich.ip2location.negative_ttl", remote.negative_ttl, SECOND, YEAR);
    found.range("enrich.ip2location.keep_for", remote.keep_for, Duration::ZERO, 10 * YEAR);
    found.range("enrich.ip2location.failing_rest", remote.failing_rest, MILLISECOND, HOUR);
    found.range("enrich.ip2location.refused_rest", remote.refused_rest, MILLISECOND, DAY);
    found.range("actors.stall_timeout", config.actors.stall_timeout, 5 * SECOND, HOUR);
    found.range("health.stall", config.health.stall, SECOND, HOUR);
    let comparable = [
        found.range("enrich.deadline", config.enrich.deadline, MILLISECOND, 60 * SECOND),
        found.range("shutdown.timeout", config.shutdown.timeout, 100 * MILLISECOND, DAY),
    ];
    // Only answers over HTTP are waited for.
    if !comparable.contains(&false) && config.enrich.providers.contains(&GeoProvider::Ip2Location) {
        check_deadline(config, found);
    }
}

/// An epoch that may still wait for answers when its time is up is thrown away, and waits again when it is read again.
fn check_deadline(config: &Config, found: &mut Found<'_>) {
    let deadline = config.enrich.deadline;
    let shutdown = config.shutdown.timeout;
    if deadline >= shutdown {
        let reason = format!(
            "must be below shutdown.timeout ({}), or the last epoch may not be committed before the end; lower it, or raise that",
            span(shutdown)
        );
        found.add("enrich.deadline", reason);
    }
    // What is wrong with the session itself is said elsewhere.
    if found.problems.iter().any(|problem| problem.key.starts_with("kafka.properties.")) {
        return;
    }
    let limit = crate::wiring::kafka(config).revocation_limit();
    if deadline >= limit {
        let reason = format!(
            "must be below {}, half of the group's session, or partitions may be revoked before their epoch is committed; lower \
             it, or raise \"session.timeout.ms\" under [kafka.properties]",
            span(limit)
        );
        found.add("enrich.deadline", reason);
    }
}

/// Whichever was set is to blame, and where both were, the one that is too short.
fn claims_expire(found: &mut Found<'_>) {
    let (idle, interval) = ("watermark.idle_timeout", "flush.interval");
    const WHY: &str = "an idle claim would expire before the commit that renews it";
    let (at_fault, reason) = if found.tree.is_set(idle) {
        let told = found.tree.told(interval);
        (idle, format!("must be at least twice {told}: {WHY}"))
    } else {
        let told = found.tree.told(idle);
        (interval, format!("must be at most half of {told}: {WHY}"))
    };
    found.add(at_fault, reason);
}

fn check_windows(size: Duration, slide: Duration, found: &mut Found<'_>) {
    let comparable = [
        found.range("window.size", size, MILLISECOND, YEAR),
        found.range("window.slide", slide, MILLISECOND, YEAR),
    ];
    if comparable.contains(&false) {
        return;
    }
    if slide > size {
        let size = span(size);
        found.add(
            "window.slide",
            format!("must not be greater than window.size ({size}), or hits fall between windows"),
        );
    } else if size.as_nanos() / slide.as_nanos() > MAX_OVERLAP {
        let reason = format!(
            "puts a hit into more than {MAX_OVERLAP} windows of window.size; choose a longer one"
        );
        found.add("window.slide", reason);
    }
}

/// The second of two would only be asked what the first did not know.
fn check_providers(providers: &[GeoProvider], found: &mut Found<'_>) {
    let is_twice = |(at, provider): (usize, &GeoProvider)| {
        providers.iter().take(at).any(|other| other == provider)
    };
    found.require(
        !providers.iter().enumerate().any(is_twice),
        "enrich.providers",
        "names a provider twice; name each once, in the order in which they are asked",
    );
}

/// Whoever can read the metrics learns how busy the sites are.
fn check_http(http: &HttpConfig, found: &mut Found<'_>) {
    let has_token = !http.token.is_empty();
    found.require(
        !has_token || is_token(http.token.reveal()),
        "http.token",
        &format!(
            "must be {LEAST_TOKEN} or more ASCII letters, digits and signs, without blanks; `openssl rand -hex 32` makes one"
        ),
    );
    found.require(
        !http.listen.is_remote() || has_token || http.allow_remote,
        "http.listen",
        "other machines can reach it; set http.token, or http.allow_remote = true where all of them may read the metrics, or \
         listen on 127.0.0.1",
    );
}

fn check_amounts(config: &Config, found: &mut Found<'_>) {
    let flush = &config.flush;
    found.require(
        flush.max_keys.get() <= 100_000_000,
        "flush.max_keys",
        "must be between 1 and 100000000",
    );
    found.require(
        flush.max_events.get() <= 1_000_000_000,
        "flush.max_events",
        "must be between 1 and 1000000000",
    );
    found.require(
        (64 << 10..=64 << 30).contains(&flush.max_bytes.bytes()),
        "flush.max_bytes",
        "must be between 64KiB and 64GiB",
    );
    found.require(
        config.events.max_partitions.get() <= 10_000,
        "events.max_partitions",
        "must be between 1 and 10000",
    );
    found.require(
        config.enrich.repair_per_second <= 1_000,
        "enrich.repair_per_second",
        "must be between 0 (off) and 1000",
    );
    found.require(
        config.enrich.cached_addresses.get() <= 100_000_000,
        "enrich.cached_addresses",
        "must be between 1 and 100000000",
    );
    let counts = [
        ("enrich.workers", config.enrich.workers),
        ("actors.threads", config.actors.threads),
        ("actors.window_shards", config.actors.window_shards),
    ];
    for (key, count) in counts {
        found.require(
            count.written() <= 1024,
            key,
            "must be 0 (one per core) or between 1 and 1024",
        );
    }
}
