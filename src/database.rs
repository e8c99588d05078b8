//! The way to PostgreSQL that commands share: connecting, and what its failures mean to a person.

use std::time::{Duration, Instant};

use hitstream_actors::backoff::Backoff;
use hitstream_actors::store::StoreError;
use hitstream_actors::writer::postgres::{
    ConnectError, PostgresSettings, connect, has_tables, missing_rights,
};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::cli::CliError;
use crate::config::Config;
use crate::wiring;

/// Longest wait of a command for PostgreSQL to answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// How PostgreSQL ends its words about a connection without TLS that `pg_hba.conf` does not allow.
const NO_ENCRYPTION: &str = ", no encryption";

/// Connects, trying again for `limit`, or for ever without one, while nobody answers; `hear` is told of each failure.
pub(crate) async fn connected(
    config: &Config,
    settings: &PostgresSettings,
    limit: Option<Duration>,
    hear: impl Fn(&ConnectError),
) -> Result<Client, CliError> {
    let begin = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let error = match connect(settings).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let is_over = limit.is_some_and(|limit| begin.elapsed() >= limit);
        if is_over || matches!(error, ConnectError::Denied(_) | ConnectError::Insecure(_)) {
            return Err(refusal(config, &error));
        }
        hear(&error);
        let (server, wait) = (config.postgres.target(), backoff.next_wait());
        let what = match error {
            ConnectError::Busy { .. } => "PostgreSQL takes no connection",
            _ => "PostgreSQL does not answer",
        };
        tracing::warn!(%server, reason = %error, retry_in = ?wait, "{what}; trying again");
        tokio::time::sleep(wait).await;
    }
}

/// Connects, or says at once why not: whoever asks something waits for an answer, not for a service.
pub(crate) async fn connected_at_once(
    config: &Config,
    settings: &PostgresSettings,
) -> Result<Client, CliError> {
    connect(settings).await.map_err(|error| refusal(config, &error))
}

/// What a connection that cannot be made means to a command.
fn refusal(config: &Config, error: &ConnectError) -> CliError {
    let (what, advice) = match error {
        ConnectError::Denied(reason) if reason.contains(NO_ENCRYPTION) => (
            "refuses this role or database without TLS",
            "Set postgres.sslmode (or sslmode in POSTGRES_URL) to verify-full, with postgres.sslrootcert, or to require",
        ),
        ConnectError::Insecure(_) => (
            "is not connected to, for that would not be secure",
            "Check postgres.sslmode, postgres.sslrootcert, postgres.sslcert and the host in POSTGRES_URL; docs/SECURE.md says \
             what each asks for",
        ),
        ConnectError::Denied(_) => (
            "refuses this role or database",
            "Check POSTGRES_URL, POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB (`hitstream --print-config` shows where \
             each comes from)",
        ),
        ConnectError::Busy { state, .. } => ("takes no connection", advice_on(state)),
        ConnectError::Unreachable(_) => {
            ("does not answer", "Is it running, and does POSTGRES_URL (or postgres.url) name it?")
        }
    };
    CliError::Unreachable(format!(
        "PostgreSQL at {} {what}: {error}. {advice}",
        config.postgres.target()
    ))
}

/// What to do about a server that answers, and takes no connection.
fn advice_on(state: &SqlState) -> &'static str {
    if *state == SqlState::TOO_MANY_CONNECTIONS {
        "Close some (pg_stat_activity lists them), or raise max_connections, or the limit of the role or the database"
    } else if *state == SqlState::CANNOT_CONNECT_NOW {
        "Try again in a moment; its log says how far it is"
    } else {
        "Its log says more"
    }
}

/// What a failure of the store means to a command.
pub(crate) fn failure(config: &Config, error: StoreError) -> CliError {
    match error {
        StoreError::Mismatch(reason) => CliError::Mismatch(reason),
        StoreError::Unavailable(reason) => {
            CliError::Unreachable(format!("PostgreSQL at {}: {reason}", config.postgres.target()))
        }
        StoreError::Fenced(reason) | StoreError::Refused(reason) => {
            CliError::Bug(anyhow::anyhow!("PostgreSQL at {}: {reason}", config.postgres.target()))
        }
    }
}

/// What a failed query of hitstream's own tables means to a command.
pub(crate) fn query_failure(config: &Config, error: &tokio_postgres::Error) -> CliError {
    if let Some(lack) = missing_rights(error, &wiring::postgres(config)) {
        return failure(config, lack);
    }
    let place = format!("schema {} of {}", config.postgres.schema, config.postgres.target());
    match error.code() {
        Some(code) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(code) => {
            CliError::Mismatch(format!(
                "{place} has no tables of this version of hitstream that this role can see; `hitstream check` says more, \
                 `hitstream migrate` makes them"
            ))
        }
        _ => CliError::Unreachable(format!("{place}: {}", describe(error))),
    }
}

/// Makes sure that hitstream's tables are there, whole and not of a newer version: before the first run there are none.
pub(crate) async fn must_have_tables(config: &Config, client: &Client) -> Result<(), CliError> {
    let schema = &config.postgres.schema;
    match has_tables(client, schema).await.map_err(|error| query_failure(config, &error))? {
        true => crate::check::must_be_whole(config, client).await,
        false => Err(no_pipeline(config)),
    }
}

/// Says that there is nothing to tell yet.
pub(crate) fn no_pipeline(config: &Config) -> CliError {
    CliError::Mismatch(format!(
        "no pipeline has run in schema {} of {} yet; `hitstream run` starts one",
        config.postgres.schema,
        config.postgres.target()
    ))
}

/// The server's own words, or the driver's.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
}

/// Runs a command's future on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| anyhow::Error::new(error).context("the async runtime does not start"))?;
    runtime.block_on(work)
}
