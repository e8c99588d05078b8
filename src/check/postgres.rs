//! PostgreSQL: the server, and then what the schema holds and this role may do there.

use hitstream_actors::source::TopicDescription;
use hitstream_actors::writer::postgres::{check_pipeline, check_server};
use tokio_postgres::Client;

use super::progress;
use super::report::Finding;
use super::rights;
use super::tables::{self, State};
use crate::cli::CliError;
use crate::config::Config;
use crate::{database, wiring};

/// Asks the server, at most for [`database::LIMIT`].
pub(super) fn check(
    config: &Config,
    topic: Option<&TopicDescription>,
    findings: &mut Vec<Finding>,
) {
    let asked = database::block_on(async {
        let asking = ask(config, topic, findings);
        tokio::time::timeout(database::LIMIT, asking).await.unwrap_or_else(|_| {
            Err(CliError::Unreachable(format!(
                "PostgreSQL at {} does not answer in time: it is overloaded, or somebody locks a table of hitstream's. \
                 Look at pg_stat_activity and pg_locks",
                config.postgres.target()
            )))
        })
    });
    if let Err(error) = asked {
        findings.push(Finding::failed("postgres", &error));
    }
}

async fn ask(
    config: &Config,
    topic: Option<&TopicDescription>,
    findings: &mut Vec<Finding>,
) -> Result<(), CliError> {
    let client = database::connected_at_once(config, &wiring::postgres(config)).await?;
    let version = check_server(&client).await.map_err(|error| database::failure(config, error))?;
    findings.extend(server(config, &client, &version).await?);
    let state = tables::state(config, &client).await?;
    if state == State::Denied {
        findings.push(rights::denied(config, &client).await?);
        return Ok(());
    }
    findings.push(state.finding(config));
    if state.is_failure() {
        return Ok(());
    }
    let rights = rights::check(config, &client, &state).await?;
    let may_not = rights.is_failure_of("rights");
    findings.push(rights);
    if may_not {
        return Ok(());
    }
    let has_run = match state {
        State::Current | State::Next(_) => pipeline(config, &client, topic, findings).await?,
        _ => {
            findings.push(Finding::skipped("pipeline", "there are no tables of this version yet"));
            Some(false)
        }
    };
    match (has_run, topic) {
        (Some(true), Some(topic)) => {
            findings.extend(progress::check(config, &client, topic).await?);
        }
        (Some(false), _) => findings.push(Finding::skipped("progress", "no pipeline has run yet")),
        _ => {}
    }
    Ok(())
}

const SERVER: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
     current_setting('server_encoding')";

/// What its settings mean to what is committed there.
async fn server(config: &Config, client: &Client, version: &str) -> Result<Vec<Finding>, CliError> {
    let row = client.query_one(SERVER, &[]).await;
    let row = row.map_err(|error| database::query_failure(config, &error))?;
    let place = format!("PostgreSQL {version} at {}", config.postgres.target());
    let mut findings = Vec::new();
    findings.push(if row.get(0) {
        Finding::fail(
            "postgres",
            format!("{place} takes no writes: it is a standby, or default_transaction_read_only is on"),
            "point POSTGRES_URL to the primary, or turn that setting off for this role and database",
        )
    } else {
        Finding::ok("postgres", place)
    });
    let settings: [(&str, String); 3] = [
        ("fsync", row.get(1)),
        ("full_page_writes", row.get(2)),
        ("synchronous_commit", row.get(3)),
    ];
    let off: Vec<&str> =
        settings.iter().filter(|(_, value)| value == "off").map(|(name, _)| *name).collect();
    findings.push(match off.as_slice() {
        [] => Finding::ok("durability", format!("synchronous_commit is {}", settings[2].1)),
        ["synchronous_commit"] => Finding::warn(
            "durability",
            "synchronous_commit is off: a crash of the server takes back what was committed last; it is then read again"
                .to_owned(),
            "leave it so where Kafka keeps records for long enough, else turn it on",
        ),
        off => Finding::warn(
            "durability",
            format!("{} off: a crash of the server's machine may ruin the database", off.join(", ")),
            "turn it on wherever data matter",
        ),
    });
    let encoding: String = row.get(4);
    findings.push(if encoding == "UTF8" {
        Finding::ok("encoding", encoding)
    } else {
        Finding::warn(
            "encoding",
            format!(
                "the database is in {encoding}: hits with characters that it lacks are rejected"
            ),
            "create the database with ENCODING 'UTF8'",
        )
    });
    Ok(findings)
}

/// Compares what the schema belongs to with the settings; tells whether a pipeline has run, unless it is another one.
async fn pipeline(
    config: &Config,
    client: &Client,
    topic: Option<&TopicDescription>,
    findings: &mut Vec<Finding>,
) -> Result<Option<bool>, CliError> {
    let cluster_id = topic.map_or("", |topic| topic.cluster_id.as_str());
    match check_pipeline(client, &wiring::pipeline(config)?, cluster_id).await {
        Ok(has_run) => {
            let detail = if has_run {
                "the tables are of this topic, group and time settings"
            } else {
                "the tables belong to nobody yet"
            };
            findings.push(Finding::ok("pipeline", detail.to_owned()));
            Ok(Some(has_run))
        }
        Err(error) => {
            findings.push(Finding::failed("pipeline", &database::failure(config, error)));
            Ok(None)
        }
    }
}
