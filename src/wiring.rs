//! What the settings mean to the actor system.

use std::sync::Arc;
use std::time::Duration;

use hitstream_actors::enricher::database::{DatabaseError, DatabaseHandle};
use hitstream_actors::enricher::ip2location::{
    ApiKey, Budget, BudgetPeriod, Ip2Location, Ip2LocationSettings, LocationStore,
};
use hitstream_actors::enricher::{Provider, Providers};
use hitstream_actors::metrics::Metrics;
use hitstream_actors::settings::{
    EnrichSettings, FlushLimits, KafkaSettings, KeepSettings, OnDataLoss, PoolSizes, Settings,
    StartAt,
};
use hitstream_actors::writer::postgres::{PipelineSettings, PostgresSettings};
use hitstream_domain::client::{ClientRule, ClientRuleError};
use hitstream_domain::privacy::{IpPrivacy, Privacy};
use hitstream_domain::rollup::{ROLLUPS, Rollup, WEB_TRAFFIC_BY_CITY, WEB_TRAFFIC_BY_COUNTRY};
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;

use crate::cli::CliError;
use crate::config::{self, Config, GeoProvider, KeptIp};

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
            catch_up_interval: config.flush.catch_up_interval,
            max_keys: config.flush.max_keys.get(),
            max_events: config.flush.max_events.get(),
            max_bytes: bytes,
        },
        store_events: config.events.store,
        enrich: EnrichSettings {
            deadline: config.enrich.deadline,
            cached_addresses: config.enrich.cached_addresses.get(),
            rollups: rollups(config),
        },
        keep: Arc::new(KeepSettings {
            client: client_rule(config)
                .transpose()
                .map_err(|error| CliError::Usage(error.to_string()))?,
            privacy: privacy(config),
            payloads: config.rejects.keep_payload,
        }),
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

/// Whose word is taken for who called the proxies in front of a site; `None` where nobody's is.
pub(crate) fn client_rule(config: &Config) -> Option<Result<ClientRule, ClientRuleError>> {
    let input = &config.input;
    let is_wanted = !input.client_header.is_empty() || !input.trusted_proxies.is_empty();
    is_wanted.then(|| ClientRule::new(&input.client_header, &input.trusted_proxies))
}

fn privacy(config: &Config) -> Privacy {
    let header = &config.input.client_header;
    Privacy {
        ip: match config.privacy.ip {
            KeptIp::Full => IpPrivacy::Full,
            KeptIp::Truncate => IpPrivacy::Truncate,
            KeptIp::Hash => IpPrivacy::Hash,
            KeptIp::Drop => IpPrivacy::Drop,
        },
        strip_query: config.privacy.strip_query,
        client_header: (!header.is_empty()).then(|| header.as_str().into()),
    }
}

/// The places in `ROLLUPS` of those that are summed by place.
fn rollups(config: &Config) -> Vec<usize> {
    let is_on = |rollup: &Rollup| match *rollup {
        WEB_TRAFFIC_BY_COUNTRY => config.rollups.by_country,
        WEB_TRAFFIC_BY_CITY => config.rollups.by_city,
        _ => false,
    };
    ROLLUPS.iter().enumerate().filter(|(_, rollup)| is_on(rollup)).map(|(at, _)| at).collect()
}

/// Who knows where visitors are; what is asked over HTTP and what that costs is kept in `store`.
///
/// # Errors
/// A database that cannot be used, and settings of IP2Location.io that make no request.
pub(crate) fn providers(
    config: &Config,
    store: &Arc<dyn LocationStore>,
    metrics: &Metrics,
) -> Result<Providers, CliError> {
    let provider = |provider: &GeoProvider| match provider {
        GeoProvider::Database => {
            let database = database(config, metrics);
            let database = database.map_err(|error| CliError::Usage(error.to_string()))?;
            Ok(Provider::Database(Arc::new(database)))
        }
        GeoProvider::Ip2Location => {
            let service =
                Ip2Location::start(ip2location(config), Arc::clone(store), metrics.clone());
            let service = service.map_err(|error| CliError::Usage(error.to_string()))?;
            Ok(Provider::Remote(Arc::new(service)))
        }
    };
    let chain = config.enrich.providers.iter().map(provider).collect::<Result<_, CliError>>()?;
    Ok(Providers::new(chain))
}

/// The local database.
pub(crate) fn database(
    config: &Config,
    metrics: &Metrics,
) -> Result<DatabaseHandle, DatabaseError> {
    let file = &config.enrich.database;
    if file.as_os_str().is_empty() {
        DatabaseHandle::embedded(metrics.clone())
    } else {
        DatabaseHandle::open(file, metrics.clone())
    }
}

/// Whether answers of IP2Location.io may be kept. Where addresses are not kept whole, none is kept with its location
/// either.
pub(crate) fn keeps_locations(config: &Config) -> bool {
    !config.enrich.ip2location.keep_for.is_zero() && config.privacy.ip == KeptIp::Full
}

/// How to use IP2Location.io.
pub(crate) fn ip2location(config: &Config) -> Ip2LocationSettings {
    let remote = &config.enrich.ip2location;
    Ip2LocationSettings {
        base_url: remote.base_url.reveal().to_owned(),
        key: (!remote.key.is_empty()).then(|| ApiKey::new(remote.key.reveal())),
        root_ca: (!remote.root_ca.as_os_str().is_empty()).then(|| remote.root_ca.clone()),
        timeout: remote.timeout,
        concurrency: remote.concurrency,
        per_second: remote.per_second,
        budget: Some(Budget {
            count: remote.budget,
            period: match remote.budget_period {
                config::BudgetPeriod::Day => BudgetPeriod::Day,
                config::BudgetPeriod::Month => BudgetPeriod::Month,
            },
        }),
        retries: remote.retries,
        negative_ttl: remote.negative_ttl,
        keep_for: keeps_locations(config).then_some(remote.keep_for),
        failing_rest: remote.failing_rest,
        refused_rest: remote.refused_rest,
    }
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
        tls: config.postgres.tls(),
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
