//! `run`: the pipeline, from settings to its end.

mod health;
mod repair;
mod summary;
mod systemd;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Actor;
use hitstream_actors::backoff::Backoff;
use hitstream_actors::enricher::ip2location::LocationStore;
use hitstream_actors::enricher::{DailyKeyHandle, Providers, RemoteLocator};
use hitstream_actors::group_member::kafka::KafkaSource;
use hitstream_actors::lag::watch_lag;
use hitstream_actors::messages::Fatal;
use hitstream_actors::metrics::Metrics;
use hitstream_actors::readiness::{Part, Readiness};
use hitstream_actors::store::StoreError;
use hitstream_actors::supervisor::{Blueprint, PipelineSupervisor, Shutdown};
use hitstream_actors::writer::postgres::{
    ConnectError, MigrationReport, PostgresLocations, PostgresSettings, PostgresStore,
    PrivateTable, migrate,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::cli::{CliError, Outcome, RunArgs, output};
use crate::config::{Config, KeptIp, Loaded};
use crate::http::Vitals;
use crate::produce::Producer;
use crate::{database, topic, wiring};
use summary::{Observer, Summary, Tally};

/// How long `run --until-end` bears with a service that is out of reach.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long leaving the group may take at the end, where that was not part of it.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How long keeping the last answers about addresses may take.
const KEEP_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked whether a day is over.
const LOOK_AT_DAILY_KEY: Duration = Duration::from_secs(30);
/// How often files of geolocation databases are looked at.
const LOOK_AT_DATABASES: Duration = Duration::from_secs(10);

/// Runs until told to stop, or until all that the topic held at the start is committed.
///
/// # Errors
/// Settings that fit neither topic nor tables nor this machine, and a service out of reach where waiting has a limit.
pub fn run(loaded: &Loaded, args: &RunArgs) -> Result<Outcome, CliError> {
    let (config, vitals) = (&loaded.config, Vitals::default());
    let (window, watermark) = (&config.window, &config.watermark);
    vitals.metrics.goes_by(window.size, window.slide, watermark.delay, watermark.idle_timeout);
    // From before anything is waited for, until after all has ended.
    let _server = health::serve(loaded, args, &vitals)?;
    if args.topic.create_topic {
        let producer = Producer::connect(&config.kafka)?;
        producer.ensure_topic(&config.kafka.topic, args.topic.partitions)?;
    }
    let begin = Instant::now();
    let tally = Tally::default();
    let stopped = actix::System::new().block_on(pipeline(config, args, vitals, tally.clone()))?;
    if args.until_end {
        let summary = Summary::new(config, &tally, begin.elapsed(), stopped == Stopped::AtEnd);
        output::answer(args.json, &summary)?;
    }
    Ok(Outcome::Done)
}

/// How a pipeline ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// There was nothing left to do.
    AtEnd,
    /// It was told to stop.
    BySignal,
}

async fn pipeline(
    config: &Config,
    args: &RunArgs,
    vitals: Vitals,
    tally: Tally,
) -> Result<Stopped, CliError> {
    let mut signals = Signals::listen()?;
    tokio::spawn(systemd::keep_told(vitals.readiness.clone()));
    let prepared = tokio::select! {
        prepared = prepare(config, vitals.clone(), args.until_end) => prepared,
        () = signals.next() => return Ok(Stopped::BySignal),
    };
    let (blueprint, source, store) = prepared?;
    let partitions = blueprint.metrics.partitions.clone();
    tokio::spawn(watch_lag(source.clone(), store.clone(), partitions));
    tokio::spawn(health::watch_commits(vitals, health::stall(config)));
    tokio::spawn(keep_databases_fresh(blueprint.providers.clone()));
    if config.privacy.ip == KeptIp::Hash {
        tokio::spawn(keep_daily_key_fresh(store.clone(), blueprint.daily_key.clone()));
    }
    if let Some(pause) = repair::pause(config) {
        let (providers, metrics) = (blueprint.providers.clone(), blueprint.metrics.clone());
        tokio::spawn(repair::repair(wiring::postgres(config), providers, metrics, pause));
    }
    let remote = blueprint.providers.remote();
    let observer = Observer::new(tally, args.until_end).start();
    let blueprint = Blueprint { observers: vec![observer.recipient()], ..blueprint };
    let metrics = blueprint.metrics.clone();
    let (tell, mut ended) = oneshot::channel();
    let supervisor = PipelineSupervisor::new(blueprint, tell).start();
    let (mut stopped, mut stopping) = (Stopped::AtEnd, None);
    let mut refused = std::pin::pin!(topic::refused(config));
    loop {
        tokio::select! {
            refusal = &mut refused => {
                source.close(LEAVE_LIMIT).await;
                return Err(refusal);
            }
            outcome = &mut ended => {
                let Metrics { generations, fenced_commits, late_revocations, .. } = &metrics;
                info!(
                    generations = generations.get(),
                    fenced_commits = fenced_commits.get(),
                    late_revocations = late_revocations.get(),
                    idle_claims = metrics.idle_claims.get(),
                    "pipeline ended"
                );
                source.close(LEAVE_LIMIT).await;
                if let Some(remote) = remote {
                    let begun = stopping.unwrap_or_else(Instant::now);
                    tokio::select! {
                        () = close(config, &*remote, begun) => {}
                        () = signals.next() => warn!("stopped at once; answers to come are lost"),
                    }
                }
                let outcome = outcome.map_err(|_| anyhow::anyhow!("the supervisor ended without a word"))?;
                return outcome.map(|()| stopped).map_err(failure);
            }
            () = signals.next() => {
                if stopped == Stopped::BySignal {
                    warn!("stopped at once; what was read since the last commit will be read again");
                    return Ok(stopped);
                }
                info!("stopping; a second signal stops at once");
                systemd::stopping();
                stopped = Stopped::BySignal;
                stopping = Some(Instant::now());
                supervisor.do_send(Shutdown);
            }
        }
    }
}

/// Waits for the answers that were asked for: they cost the same whether they are kept or not.
async fn close(config: &Config, remote: &dyn RemoteLocator, begun: Instant) {
    let left = config.shutdown.timeout.saturating_sub(begun.elapsed());
    let limit = left.min(config.enrich.ip2location.timeout.saturating_add(KEEP_LIMIT));
    if tokio::time::timeout(limit, remote.close()).await.is_err() {
        warn!(
            "answers about addresses did not come in time before the end; what they cost is lost"
        );
    }
}

/// Takes up geolocation databases whose files were replaced.
async fn keep_databases_fresh(providers: Providers) {
    let mut look = tokio::time::interval(LOOK_AT_DATABASES);
    loop {
        look.tick().await;
        let providers = providers.clone();
        // It reads a file of a hundred megabytes, or fails to: what it meets is in the log.
        if tokio::task::spawn_blocking(move || providers.refresh()).await.is_err() {
            error!("looking for a new geolocation database failed; the one that was loaded stays");
        }
    }
}

/// Takes up the key of each new day.
async fn keep_daily_key_fresh(store: Arc<PostgresStore>, handle: DailyKeyHandle) {
    let mut look = tokio::time::interval(LOOK_AT_DAILY_KEY);
    loop {
        look.tick().await;
        match store.daily_key().await {
            Ok(key) => handle.replace(key),
            Err(error) => {
                warn!(%error, "the key of the day is not read; the last one stays in use")
            }
        }
    }
}

/// Brings the tables up, checks that the topic is there, and joins the group.
async fn prepare(
    config: &Config,
    Vitals { metrics, readiness, providers: made }: Vitals,
    until_end: bool,
) -> Result<(Blueprint, Arc<KafkaSource>, Arc<PostgresStore>), CliError> {
    let patience = until_end.then_some(PATIENCE);
    let settings = wiring::settings(config, until_end, patience)?;
    let postgres = wiring::postgres(config);
    metrics.built(env!("CARGO_PKG_VERSION"), crate::REVISION);
    let store = PostgresStore::new(postgres.clone(), wiring::pipeline(config)?);
    let store = Arc::new(store.with_metrics(metrics.clone()));
    let locations: Arc<dyn LocationStore> = Arc::new(PostgresLocations::new(&postgres));
    let providers = wiring::providers(config, &locations, &metrics)?;
    let _ = made.set(providers.clone()); // once in a process
    let limit = until_end.then_some(database::LIMIT);
    let report = migrated(config, &postgres, &readiness, limit).await?;
    if !report.applied.is_empty() {
        info!(applied = report.applied.join(", "), "tables are at version {}", report.version);
    }
    forget_what_may_not_be_kept(config, &store, &readiness, patience).await?;
    if until_end {
        // Without an end in sight one can wait for it to be created; with one, its absence is a mistake.
        topic::describe_aside(config).await?;
    }
    let source = KafkaSource::join(settings.kafka.clone(), settings.stall_timeout)
        .map_err(|error| topic::failure(config, error))?;
    let source = Arc::new(source);
    let daily_key = DailyKeyHandle::default();
    if config.privacy.ip == KeptIp::Hash {
        // Without it no address could be kept.
        let read = async || Ok(store.daily_key().await);
        let what_fails = "the key of the day is not read";
        daily_key.replace(patiently(config, &readiness, patience, what_fails, read).await?);
    }
    let blueprint = Blueprint {
        settings,
        source: source.clone(),
        store: store.clone(),
        providers,
        daily_key,
        observers: Vec::new(),
        readiness,
        metrics,
    };
    Ok((blueprint, source, store))
}

/// Empties what a run under other settings has left: nobody else would.
async fn forget_what_may_not_be_kept(
    config: &Config,
    store: &PostgresStore,
    readiness: &Readiness,
    patience: Option<Duration>,
) -> Result<(), CliError> {
    let what_fails = "a table that may not be kept is not emptied";
    let tables = [
        (PrivateTable::Locations, wiring::keeps_locations(config)),
        (PrivateTable::HashKeys, config.privacy.ip == KeptIp::Hash),
    ];
    for (table, _) in tables.into_iter().filter(|(_, is_kept)| !is_kept) {
        let empty = async || Ok(store.empty(table).await);
        if patiently(config, readiness, patience, what_fails, empty).await? {
            info!(table = table.name(), "emptied, for it may not be kept any more");
        }
    }
    Ok(())
}

/// Brings the tables up.
async fn migrated(
    config: &Config,
    postgres: &PostgresSettings,
    readiness: &Readiness,
    limit: Option<Duration>,
) -> Result<MigrationReport, CliError> {
    let hear = |error: &ConnectError| readiness.fails(Part::Postgres, error.to_string());
    patiently(config, readiness, limit, "the tables are not brought up", async || {
        let mut client = database::connected(config, postgres, limit, hear).await?;
        let migrated = migrate(&mut client, postgres).await;
        if migrated.is_ok() {
            crate::check::must_be_granted(config, &client).await?;
        }
        Ok(migrated)
    })
    .await
}

/// Does what the start needs, trying again for `limit`, or for ever without one, while PostgreSQL is away.
async fn patiently<T>(
    config: &Config,
    readiness: &Readiness,
    limit: Option<Duration>,
    what_fails: &str,
    attempt: impl AsyncFn() -> Result<Result<T, StoreError>, CliError>,
) -> Result<T, CliError> {
    let mut backoff =
        Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).with_patience(limit);
    loop {
        match attempt().await? {
            Ok(done) => return Ok(done),
            Err(StoreError::Unavailable(reason)) if !backoff.is_exhausted() => {
                let wait = backoff.next_wait();
                readiness.fails(Part::Postgres, reason.clone());
                warn!(%reason, retry_in = ?wait, "{what_fails}; trying again");
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(database::failure(config, error)),
        }
    }
}

fn failure(fatal: Fatal) -> CliError {
    match fatal {
        Fatal::Mismatch(reason) => CliError::Mismatch(reason),
        Fatal::OutOfReach(reason) => CliError::Unreachable(format!(
            "{reason}; gave up after {}. What was committed stays: run it again to go on",
            humantime::format_duration(PATIENCE)
        )),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let on = |kind| {
            signal(kind)
                .map_err(|error| anyhow::Error::new(error).context("signals cannot be handled"))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
