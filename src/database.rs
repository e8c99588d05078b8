//! The way to PostgreSQL that commands share: connecting, and what its failures mean to a person.

use std::time::{Duration, Instant};

use hitstream_actors::backoff::Backoff;
use hitstream_actors::store::StoreError;
use hitstream_actors::writer::postgres::{ConnectError, PostgresSettings, connect};
use tokio_postgres::Client;

use crate::cli::CliError;
use crate::config::Config;

/// Longest wait of a command for PostgreSQL to answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// Connects, trying again for `limit`, or for ever without one, while nobody answers.
pub(crate) async fn connected(
    config: &Config,
    settings: &PostgresSettings,
    limit: Option<Duration>,
) -> Result<Client, CliError> {
    let target = config.postgres.target();
    let begin = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match connect(settings).await {
            Ok(client) => return Ok(client),
            Err(ConnectError::Denied(reason)) => return Err(denied(&target, &reason)),
            Err(ConnectError::Unreachable(reason)) => {
                if limit.is_some_and(|limit| begin.elapsed() >= limit) {
                    return Err(CliError::Unreachable(format!(
                        "PostgreSQL at {target} does not answer: {reason}. Is it running, and does POSTGRES_URL (or \
                         postgres.url) name it?"
                    )));
                }
                let wait = backoff.next_wait();
                tracing::warn!(server = %target, %reason, retry_in = ?wait, "PostgreSQL does not answer; trying again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn denied(target: &str, reason: &str) -> CliError {
    CliError::Unreachable(format!(
        "PostgreSQL at {target} refuses this role or database: {reason}. Check POSTGRES_URL, POSTGRES_USER, \
         POSTGRES_PASSWORD and POSTGRES_DB (`hitstream --print-config` shows where each comes from)"
    ))
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

/// Runs a command's future on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| anyhow::Error::new(error).context("the async runtime does not start"))?;
    runtime.block_on(work)
}
