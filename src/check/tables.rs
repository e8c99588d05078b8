//! What the schema holds: nothing yet, this version's tables, another's, or somebody else's.

use hitstream_actors::writer::postgres::{oldest_suited_version, tables_version};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::report::Finding;
use crate::cli::CliError;
use crate::config::Config;
use crate::database;

/// Where the version is kept.
pub(super) const VERSIONS: &str = "hitstream_migrations";

/// What a pipeline reads and writes.
pub(super) const TABLES: &[&str] = &[
    "aggregated_web_traffic",
    "aggregated_web_traffic_by_city",
    "aggregated_web_traffic_by_country",
    "compatibility",
    "frontier",
    "geo_budget",
    "ip_hash_keys",
    "ip_locations",
    "late_web_traffic",
    "late_web_traffic_by_city",
    "late_web_traffic_by_country",
    "live_web_traffic",
    "live_web_traffic_by_city",
    "live_web_traffic_by_country",
    "open_web_traffic",
    "open_web_traffic_by_city",
    "open_web_traffic_by_country",
    "partition_progress",
    "pipeline",
    "processed_events",
    "processed_events_overflow",
    "rejected_events",
    "rollup_ledger",
];

/// What the schema holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing that is in the way.
    None,
    /// This version's tables.
    Current,
    /// Tables of a former version.
    Older(i32),
    /// Tables of a version to come, which suit this one, too.
    Next(i32),
    /// Tables of a version to come.
    Newer(i32),
    /// Tables of these names that somebody else made.
    Foreign(Vec<String>),
    /// All but these tables.
    Gone(Vec<String>),
    /// Tables that this role may not read.
    Denied,
}

/// Looks.
pub(super) async fn state(config: &Config, client: &Client) -> Result<State, CliError> {
    let failed = |error: tokio_postgres::Error| database::query_failure(config, &error);
    let query = "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";
    let rows = client.query(query, &[&config.postgres.schema]).await.map_err(failed)?;
    let all: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let is_ours = |name: &&String| TABLES.contains(&name.as_str());
    let ours: Vec<String> = all.iter().filter(is_ours).cloned().collect();
    if !all.iter().any(|name| name == VERSIONS) {
        return Ok(if ours.is_empty() { State::None } else { State::Foreign(ours) });
    }
    let version = format!(
        "SELECT coalesce(max(version), 0)::int, count(name), count(applied_on), count(checksum) FROM {VERSIONS}"
    );
    let version: i32 = match client.query_one(&version, &[]).await {
        Ok(row) => row.get(0),
        // In a schema that this role may not use, it is not there to this role.
        Err(error)
            if error.code().is_some_and(|code| {
                [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::UNDEFINED_TABLE].contains(code)
            }) =>
        {
            return Ok(State::Denied);
        }
        // It has no such columns, or such of another kind.
        Err(error)
            if error.code().is_some_and(|code| {
                ["22", "42"].iter().any(|class| code.code().starts_with(class))
            }) =>
        {
            return Ok(State::Foreign(vec![VERSIONS.to_owned()]));
        }
        Err(error) => return Err(failed(error)),
    };
    let gone = TABLES.iter().filter(|table| !ours.iter().any(|name| name == *table));
    let gone: Vec<String> = gone.map(|table| (*table).to_owned()).collect();
    let oldest = oldest_suited_version(client).await;
    let is_suited = oldest.is_some_and(|oldest| oldest <= tables_version());
    Ok(match version.cmp(&tables_version()) {
        std::cmp::Ordering::Less => State::Older(version),
        std::cmp::Ordering::Greater if !is_suited => State::Newer(version),
        _ if !gone.is_empty() => State::Gone(gone),
        std::cmp::Ordering::Greater => State::Next(version),
        std::cmp::Ordering::Equal => State::Current,
    })
}

impl State {
    /// Whether a run would not start.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Newer(_) | Self::Foreign(_) | Self::Gone(_))
    }

    pub(super) fn finding(&self, config: &Config) -> Finding {
        let schema = &config.postgres.schema;
        let latest = tables_version();
        if let Some((detail, advice)) = self.trouble(config) {
            return Finding::fail("tables", detail, advice);
        }
        match self {
            Self::None => Finding::ok(
                "tables",
                format!(
                    "none in schema {schema} yet; `hitstream run` makes them, as `hitstream migrate` does"
                ),
            ),
            Self::Older(version) => Finding::warn(
                "tables",
                format!("version {version} in schema {schema}; this hitstream is for {latest}"),
                "`hitstream migrate`, or let `hitstream run` do it",
            ),
            Self::Next(version) => Finding::ok(
                "tables",
                format!(
                    "version {version} in schema {schema}, of a newer hitstream; they suit this one, made for {latest}, too"
                ),
            ),
            _ => Finding::ok("tables", format!("version {latest} in schema {schema}")),
        }
    }

    /// Says what is wrong, and what to do.
    fn trouble(&self, config: &Config) -> Option<(String, String)> {
        let schema = &config.postgres.schema;
        let other_schema = "or set postgres.schema to a schema of hitstream's own";
        Some(match self {
            // What this role lacks, its rights tell.
            Self::None | Self::Current | Self::Older(_) | Self::Next(_) | Self::Denied => {
                return None;
            }
            Self::Newer(version) => (
                format!(
                    "version {version} in schema {schema}; this hitstream is for {}",
                    tables_version()
                ),
                format!("use the newer hitstream that has been here, {other_schema}"),
            ),
            Self::Foreign(names) => (
                format!("schema {schema} has {} already, not made by hitstream", names.join(", ")),
                format!("rename what is there, {other_schema}"),
            ),
            Self::Gone(names) => (
                format!("schema {schema} has lost {}", names.join(", ")),
                format!("restore it from a backup, {other_schema}"),
            ),
        })
    }
}

/// Refuses tables that are not this version's, or not all there: what they say would be taken for something else.
///
/// # Errors
/// What is wrong with them, and what to do.
pub(crate) async fn must_be_whole(config: &Config, client: &Client) -> Result<(), CliError> {
    state(config, client).await?.trouble(config).map_or(Ok(()), |(detail, advice)| {
        let place = config.postgres.target();
        Err(CliError::Mismatch(format!("tables at {place}: {detail}; {advice}")))
    })
}
