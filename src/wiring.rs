//! What the settings mean to the actor system.

use std::time::Duration;

use hitstream_actors::settings::{
    FlushLimits, KafkaSettings, OnDataLoss, PoolSizes, Settings, StartAt,
};
use hitstream_actors::writer::postgres::{PipelineSettings, PostgresSettings};
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;

use crate::cli::CliError;
use crate::config::{self, Config};

/// Settings of the pipeline; with `until_end` services may be out of reach for `patience` only.
pub(crate) fn settings(
    config: &Config,
    until_end: bool,
    patience: Option<Duration>,
) -> Result<Settings, CliError> {
    let bytes = usize::try_from(config.flush.max_bytes.bytes()).unwrap_or(usize::MAX);
    Ok(Settings {
        kafka: kafka(config),
        rules: rules(config)?,
        idle_timeout: config.watermark.idle_timeout,
        flush: FlushLimits {
            interval: config.flush.interval,
            max_keys: config.flush.max_keys.get(),
            max_events: config.flush.max_events.get(),
            max_bytes: bytes,
        },
        store_events: config.events.store,
        pools: PoolSizes {
            threads: config.actors.threads.get().get(),
            window_shards: config.actors.window_shards.get().get(),
            enrichers: config.enrich.workers.get().get(),
        },
        stall_timeout: config.actors.stall_timeout,
        shutdown_timeout: config.shutdown.timeout,
        until_end,
        patience,
    })
}

/// How to reach the topic.
pub(crate) fn kafka(config: &Config) -> KafkaSettings {
    let kafka = &config.kafka;
    let mut properties = vec![("bootstrap.servers".to_owned(), kafka.brokers.clone())];
    properties
        .extend(kafka.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    KafkaSettings {
        properties,
        topic: kafka.topic.clone(),
        group: kafka.group.clone(),
        start: match kafka.start {
            config::Start::Earliest => StartAt::Earliest,
            config::Start::Latest => StartAt::Latest,
        },
        on_data_loss: match kafka.on_data_loss {
            config::OnDataLoss::Fail => OnDataLoss::Fail,
            config::OnDataLoss::Continue => OnDataLoss::Continue,
        },
    }
}

/// How to reach the database.
pub(crate) fn postgres(config: &Config) -> PostgresSettings {
    PostgresSettings {
        config: config.postgres.client().clone(),
        schema: config.postgres.schema.clone(),
        pool_size: config.postgres.pool_size.get(),
        instance: instance(),
    }
}

/// What the store must know of the pipeline.
pub(crate) fn pipeline(config: &Config) -> Result<PipelineSettings, CliError> {
    Ok(PipelineSettings {
        topic: config.kafka.topic.clone(),
        group: config.kafka.group.clone(),
        rules: rules(config)?,
        idle_timeout: config.watermark.idle_timeout,
        max_days: usize::try_from(config.events.max_partitions.get()).unwrap_or(usize::MAX),
        start_at_latest: config.kafka.start == config::Start::Latest,
        accept_data_loss: config.kafka.on_data_loss == config::OnDataLoss::Continue,
    })
}

fn rules(config: &Config) -> Result<TimeRules, CliError> {
    let window = WindowSpec::new(config.window.size, config.window.slide)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(TimeRules {
        window,
        delay: config.watermark.delay,
        max_future_skew: config.input.max_future_skew,
    })
}

/// The name of this instance for people: the machine's and the process's.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    format!("{host}:{}", std::process::id())
}
