//! `audit`: proves from the tables alone that nothing was lost and nothing doubled, and compares with Kafka.

mod report;
mod tables;
mod verdict;

use std::time::Duration;

use hitstream_actors::group_member::kafka::describe_topic;

use crate::cli::{AuditArgs, CliError, Outcome, output};
use crate::config::Config;
use crate::run::source_failure;
use crate::{database, wiring};
use report::Report;

/// How long the brokers have to describe the topic.
const DESCRIBE: Duration = Duration::from_secs(15);

/// Audits and says what was found.
///
/// # Errors
/// Tables that are not there, PostgreSQL or Kafka out of reach.
pub fn audit(config: &Config, args: &AuditArgs) -> Result<Outcome, CliError> {
    let settings = wiring::postgres(config);
    let facts = database::block_on(async {
        let mut client = database::connected(config, &settings, Some(database::LIMIT)).await?;
        tables::read(config, &mut client).await
    })?;
    // After the tables: what Kafka has can only be more than what they were made from.
    let topic = describe_topic(&wiring::kafka(config), DESCRIBE)
        .map_err(|error| source_failure(config, error))?;
    let report = Report::new(config, &facts, &topic);
    if args.json {
        let json = serde_json::to_string(&report).map_err(anyhow::Error::new)?;
        output::out(&format!("{json}\n"));
    } else {
        output::out(&report.to_string());
    }
    Ok(if report.is_ok() { Outcome::Done } else { Outcome::No })
}
