//! The real [`Store`]: PostgreSQL, by the commit protocol of DESIGN section 5.
//!
//! Each module is one of the protocol's transactions: `pipeline` is *rows first*, `commit` is *commit*,
//! `frontier` is *advance* and *move*, `days` attaches days ahead, `refused` finds what a commit may not hold.
//! Beside them, on connections of their own, are `locations`, what a geolocation service has answered, and `repair`;
//! `private` empties what may not be kept.

mod close_open;
mod commit;
mod copy;
mod daily_key;
mod days;
mod frontier;
mod hung;
mod locations;
mod locks;
mod manager;
mod migrations;
mod pipeline;
mod private;
mod refused;
mod release;
mod repair;
mod rights;
mod session;
mod tables;
mod tls;
mod types;
mod upsert;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bb8_postgres::bb8::Pool;
use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::progress::{Ledger, PartitionId};
use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;
use tokio::runtime::Handle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, IsolationLevel, Transaction};

pub use close_open::CloseReport;
pub use commit::ROW_MISSING;
pub use locations::PostgresLocations;
pub use migrations::{MigrationReport, check_server, oldest_suited_version, tables_version};
pub use private::PrivateTable;
pub use release::FrontierReport;
pub use repair::{RepairSession, WaitingEvents};
pub use rights::{grants, has_tables, missing_rights};
pub use session::PostgresSettings;
pub use tls::{Proof, Roots, TlsError, TlsSettings};

use self::days::KnownDays;
use self::frontier::StuckWindows;
use self::hung::HungSessions;
use self::manager::Manager;
use self::session::{Connection, Failures, classify, describe, session_config};
use self::tables::RollupTables;
use self::tls::{Connector, trouble};
use crate::metrics::Metrics;
use crate::refuse::RefuseList;
use crate::source::TopicDescription;
use crate::store::{Claims, Move, Open, Store, StoreError, Survey, TopicProgress};
use crate::writer::Epoch;

/// What the store must know of the pipeline besides how to connect.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// The topic's name.
    pub topic: String,
    /// The consumer group's name.
    pub group: String,
    /// Windows and watermark delay.
    pub rules: TimeRules,
    /// `watermark.idle_timeout`.
    pub idle_timeout: Duration,
    /// `events.max_partitions`.
    pub max_days: usize,
    /// Whether a pipeline without progress starts at the next record to come (`kafka.start = "latest"`).
    pub start_at_latest: bool,
    /// Whether a recreated topic or missing records are accepted (`kafka.on_data_loss = "continue"`).
    pub accept_data_loss: bool,
}

/// PostgreSQL as a store.
pub struct PostgresStore {
    pool: Pool<Manager>,
    failures: Failures,
    /// Where connections live: the threads of a generation end with it, and would take them along.
    home: Handle,
    settings: PostgresSettings,
    pipeline: PipelineSettings,
    rollups: Vec<RollupTables>,
    days: Mutex<KnownDays>,
    stuck: Mutex<StuckWindows>,
    hung: Mutex<HungSessions>,
    metrics: Metrics,
}

/// Why the first connection failed, told apart for exit codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Credentials, role or database are wrong: waiting does not help.
    #[error("{0}")]
    Denied(String),
    /// TLS is asked for and cannot be had, or the server cannot be trusted: waiting does not help.
    #[error("{0}")]
    Insecure(String),
    /// The server answers, and takes no connection now: it starts up, or has none left.
    #[error("{reason}")]
    Busy {
        /// What it says.
        reason: String,
        /// The SQLSTATE of that.
        state: SqlState,
    },
    /// Nobody answers, or not yet.
    #[error("{0}")]
    Unreachable(String),
}

/// Connects once, outside of any pool.
///
/// # Errors
/// Whether the server denies, cannot be trusted, is busy, or does not answer.
pub async fn connect(settings: &PostgresSettings) -> Result<tokio_postgres::Client, ConnectError> {
    connect_with(session_config(settings), &settings.tls).await
}

async fn connect_with(
    config: Config,
    tls: &TlsSettings,
) -> Result<tokio_postgres::Client, ConnectError> {
    let connecting = config.connect(Connector(tls.clone()));
    let connected = tokio::time::timeout(Duration::from_secs(10), connecting)
        .await
        .map_err(|_| ConnectError::Unreachable("no answer within 10 s".to_owned()))?;
    match connected {
        Ok((client, connection)) => {
            tokio::spawn(connection.map(|_| ()));
            Ok(client)
        }
        Err(error) => match trouble(&error) {
            Some(trouble) => Err(ConnectError::Insecure(trouble)),
            None => Err(refusal(error.code(), describe(&error))),
        },
    }
}

/// What a connection that could not be made means. A server that does not answer has no SQLSTATE.
fn refusal(state: Option<&SqlState>, reason: String) -> ConnectError {
    match state {
        Some(state)
            if state.code().starts_with("28") || *state == SqlState::INVALID_CATALOG_NAME =>
        {
            ConnectError::Denied(reason)
        }
        Some(state) => ConnectError::Busy { reason, state: state.clone() },
        None => ConnectError::Unreachable(reason),
    }
}

/// Runs the migrations on a connection of their own.
///
/// # Errors
/// `Mismatch` where server or schema cannot be used, `Unavailable` otherwise.
pub async fn migrate(
    client: &mut tokio_postgres::Client,
    settings: &PostgresSettings,
) -> Result<MigrationReport, StoreError> {
    migrations::migrate(client, settings).await
}

/// Closes all open windows so that other window settings can take over (`migrate --close-open`).
///
/// # Errors
/// `Mismatch` while an instance is running.
pub async fn close_open(
    client: &mut tokio_postgres::Client,
    settings: &PostgresSettings,
    pipeline: &PipelineSettings,
) -> Result<CloseReport, StoreError> {
    close_open::close(client, settings, pipeline).await
}

/// Releases the frontier from partitions by hand, until each has its next accepted record; advances it, and tells what it
/// is and depends on. Without partitions, it only does the latter.
///
/// # Errors
/// `Mismatch` where there is no such partition, or no pipeline yet.
pub async fn release_frontier(
    client: &mut tokio_postgres::Client,
    settings: &PostgresSettings,
    partitions: &[PartitionId],
) -> Result<FrontierReport, StoreError> {
    release::release(client, settings, partitions).await
}

/// Reads what holds the frontier from a snapshot, without a lock; `None` where no pipeline has run.
///
/// # Errors
/// What the server says.
pub async fn read_frontier(
    snapshot: &Transaction<'_>,
) -> Result<Option<FrontierReport>, tokio_postgres::Error> {
    release::read(snapshot).await
}

/// Compares what the schema belongs to with these settings, changing nothing; tells whether any pipeline has run.
///
/// # Errors
/// `Mismatch` where they differ.
pub async fn check_pipeline(
    client: &tokio_postgres::Client,
    pipeline: &PipelineSettings,
    cluster_id: &str,
) -> Result<bool, StoreError> {
    pipeline::check_pipeline(client, pipeline, cluster_id).await
}

impl PostgresStore {
    /// A store that connects when it is first used; its connections live on the runtime that calls this.
    pub fn new(settings: PostgresSettings, pipeline: PipelineSettings) -> Self {
        let (pool, failures) = session::pool(&settings);
        Self {
            pool,
            failures,
            home: Handle::current(),
            settings,
            pipeline,
            rollups: ROLLUPS.iter().map(RollupTables::new).collect(),
            days: Mutex::default(),
            stuck: Mutex::default(),
            hung: Mutex::default(),
            metrics: Metrics::default(),
        }
    }

    /// The same, with its measurements among these.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        metrics.postgres_connections_max.set(self.settings.pool_size.into());
        Self { metrics, ..self }
    }

    /// Tells how many connections there are.
    fn tell_connections(&self) {
        let state = self.pool.state();
        let set = |state: &str, number: u32| {
            self.metrics.postgres_connections.with_label_values(&[state]).set(number.into());
        };
        set("idle", state.idle_connections);
        set("in_use", state.connections - state.idle_connections);
    }

    fn hung(&self) -> MutexGuard<'_, HungSessions> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        let pool = self.pool.clone();
        let failures = self.failures.clone();
        let got = self.home.spawn(async move { session::connection(&pool, &failures).await });
        let got = got.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.tell_connections();
        got
    }

    /// Waits for the answer to one question about `what` for at most `limit`; a session that owes it longer is given up,
    /// and the next try gets another. Not for what may be committed by then.
    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        question: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        match tokio::time::timeout(limit, question(&connection)).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => {
                self.home.spawn(connection.give_up());
                Err(StoreError::Unavailable(format!(
                    "no answer about {what} for {} s: PostgreSQL hangs, or somebody holds a lock",
                    limit.as_secs()
                )))
            }
        }
    }
}

/// Begins a transaction, explicitly READ COMMITTED: the protocol needs a new snapshot for each statement.
async fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    let builder = connection.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    builder.read_only(false).start().await.map_err(|error| classify(&error))
}

impl Store for PostgresStore {
    fn open_topic<'a>(
        &'a self,
        topic: &'a TopicDescription,
    ) -> BoxFuture<'a, Result<TopicProgress, StoreError>> {
        pipeline::open_topic(self, topic).boxed()
    }

    fn commit<'a>(&'a self, epoch: &'a Epoch) -> BoxFuture<'a, Result<Ledger, StoreError>> {
        commit::commit(self, epoch).boxed()
    }

    fn find_refused<'a>(
        &'a self,
        epoch: &'a Epoch,
    ) -> BoxFuture<'a, Result<RefuseList, StoreError>> {
        refused::find(self, epoch).boxed()
    }

    fn survey(&self) -> BoxFuture<'_, Result<Survey, StoreError>> {
        frontier::survey(self).boxed()
    }

    fn advance(&self, claims: Claims) -> BoxFuture<'_, Result<EventTime, StoreError>> {
        frontier::advance(self, claims).boxed()
    }

    fn move_window(&self) -> BoxFuture<'_, Result<Move, StoreError>> {
        frontier::move_window(self).boxed()
    }

    fn open(&self) -> BoxFuture<'_, Result<Open, StoreError>> {
        frontier::open(self).boxed()
    }

    fn end_hung_sessions(&self) -> BoxFuture<'_, ()> {
        hung::end_hung_sessions(self).boxed()
    }
}
