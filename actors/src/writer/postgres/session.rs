//! Connections: how they are made, what each session is set to, and what its errors mean.

use std::pin::Pin;
use std::time::Duration;

use bb8_postgres::bb8::{
    Builder, CustomizeConnection, ErrorSink, Pool, PooledConnection, RunError,
};
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error};

use super::locks::running_lock;
use super::manager::{Manager, NoSession, Session};
use super::tls::{Connector, TlsSettings, trouble};
use crate::store::StoreError;

pub(super) type Connection = PooledConnection<'static, Manager>;

/// How to reach PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Hosts, database and credentials; its `Debug` shows no password.
    pub config: Config,
    /// What the server has to prove, and who this client is, where the connection is secure.
    pub tls: TlsSettings,
    /// `postgres.schema`: where the pipeline's tables are.
    pub schema: String,
    /// `postgres.pool_size`.
    pub pool_size: u32,
    /// What `partition_progress.owner` and `pg_stat_activity` call this instance.
    pub instance: String,
}

/// A quoted identifier.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// The configuration of every session.
pub(super) fn session_config(settings: &PostgresSettings) -> Config {
    let mut config = settings.config.clone();
    let mut options = config.get_options().unwrap_or_default().to_owned();
    // A search path with a blank or a backslash in it is escaped as libpq has it.
    let schema = quoted(&settings.schema).replace('\\', "\\\\").replace(' ', "\\ ");
    options.push_str(&format!(
        " -c search_path={schema} -c idle_in_transaction_session_timeout=10000 -c statement_timeout=0 \
         -c lock_timeout=0 -c timezone=UTC -c client_encoding=UTF8"
    ));
    config
        .options(&options)
        .application_name(format!("hitstream/{}", settings.instance))
        .connect_timeout(Duration::from_secs(5))
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(25));
    config
}

/// The same for what runs beside the commits: its statements end by themselves, also where somebody holds a table.
pub(super) fn bounded_config(
    settings: &PostgresSettings,
    lock: Duration,
    statement: Duration,
) -> Config {
    let mut config = session_config(settings);
    let options = config.get_options().unwrap_or_default().to_owned();
    let (lock, statement) = (lock.as_millis(), statement.as_millis());
    config.options(format!("{options} -c lock_timeout={lock} -c statement_timeout={statement}"));
    config
}

/// A pool of such sessions, which connects when first asked, and why it last could not.
pub(super) fn pool(settings: &PostgresSettings) -> (Pool<Manager>, Failures) {
    let failures = Failures(watch::Sender::new(String::new()));
    let pool = Pool::builder()
        .max_size(settings.pool_size.max(2))
        .connection_timeout(Duration::from_secs(10))
        .connection_customizer(Box::new(Presence { lock: running_lock(&settings.schema) }));
    (connecting(pool, session_config(settings), &settings.tls, &failures), failures)
}

/// A pool of `size` sessions beside the commits.
pub(super) fn bounded_pool(
    config: Config,
    tls: &TlsSettings,
    size: u32,
) -> (Pool<Manager>, Failures) {
    let failures = Failures(watch::Sender::new(String::new()));
    let pool = Pool::builder().max_size(size).connection_timeout(Duration::from_secs(5));
    (connecting(pool, config, tls, &failures), failures)
}

fn connecting(
    pool: Builder<Manager>,
    config: Config,
    tls: &TlsSettings,
    failures: &Failures,
) -> Pool<Manager> {
    pool.retry_connection(false)
        .test_on_check_out(false)
        .error_sink(Box::new(failures.clone()))
        .build_unchecked(Manager::new(config, Connector(tls.clone())))
}

/// A session of a pool, as soon as there is one.
pub(super) async fn connection(
    pool: &Pool<Manager>,
    failures: &Failures,
) -> Result<Connection, StoreError> {
    tokio::select! {
        got = pool.get_owned() => got.map_err(|error| classify_pool(&error)),
        reason = failures.next() => Err(StoreError::Unavailable(reason)),
    }
}

/// Whoever waits for a connection would else hear of a wrong password only that its time is up.
#[derive(Clone, Debug)]
pub(super) struct Failures(watch::Sender<String>);

impl Failures {
    /// Waits for the next connection that cannot be made, and says why.
    pub(super) async fn next(&self) -> String {
        let mut failures = self.0.subscribe();
        // The sender is right here, so there is always a next one to wait for.
        let _ = failures.changed().await;
        failures.borrow().clone()
    }
}

impl ErrorSink<NoSession> for Failures {
    fn sink(&self, error: NoSession) {
        self.0.send_replace(error.to_string());
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<NoSession>> {
        Box::new(self.clone())
    }
}

/// Every session of a running instance holds a shared lock, so that `migrate --close-open` can see it.
#[derive(Debug)]
struct Presence {
    lock: i64,
}

impl CustomizeConnection<Session, NoSession> for Presence {
    fn on_acquire<'a>(
        &'a self,
        session: &'a mut Session,
    ) -> Pin<Box<dyn Future<Output = Result<(), NoSession>> + Send + 'a>> {
        Box::pin(async move {
            session.execute("SELECT pg_advisory_lock_shared($1)", &[&self.lock]).await?;
            Ok(())
        })
    }
}

/// What an error asks for.
pub(super) fn classify(error: &Error) -> StoreError {
    let text = describe(error);
    match error.code() {
        Some(code) if is_data_fault(code) => StoreError::Refused(text),
        _ => StoreError::Unavailable(text),
    }
}

fn classify_pool(error: &RunError<NoSession>) -> StoreError {
    match error {
        RunError::User(error) => StoreError::Unavailable(error.to_string()),
        RunError::TimedOut => {
            StoreError::Unavailable("no connection to PostgreSQL became free in time".to_owned())
        }
    }
}

/// An error in one line, with the SQLSTATE.
///
/// PostgreSQL's DETAIL is left out: it quotes rows ("Failing row contains …"), and with them what settings of privacy keep
/// out of tables. Its message names the constraint or index, and its own log has the rest.
pub(super) fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} [SQLSTATE {}]", db.message(), db.code().code());
    }
    if let Some(trouble) = trouble(error) {
        return trouble;
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Classes 22, 23, 54 and P0 are the data's fault (DESIGN section 5).
fn is_data_fault(code: &SqlState) -> bool {
    ["22", "23", "54", "P0"].iter().any(|class| code.code().starts_with(class))
}

/// A trigger or rule that leaves rows out without a word would lose hits: that is a refusal like any other.
pub(super) fn all_taken(taken: u64, sent: usize) -> Result<(), StoreError> {
    if taken == sent as u64 {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "only {taken} of {sent} rows were taken: a trigger or rule leaves the others out"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_datas_own_faults_are_refusals() {
        assert!(is_data_fault(&SqlState::CHECK_VIOLATION));
        assert!(is_data_fault(&SqlState::PROGRAM_LIMIT_EXCEEDED));
        assert!(is_data_fault(&SqlState::RAISE_EXCEPTION));
        assert!(!is_data_fault(&SqlState::T_R_SERIALIZATION_FAILURE));
        assert!(!is_data_fault(&SqlState::UNDEFINED_TABLE));
        assert!(!is_data_fault(&SqlState::ADMIN_SHUTDOWN));
    }

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
