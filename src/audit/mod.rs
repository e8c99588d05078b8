//! `audit`: proves from the tables alone that nothing was lost and nothing doubled, and compares with Kafka.

mod report;
mod tables;
mod verdict;

use crate::cli::{AuditArgs, CliError, Outcome, output};
use crate::config::Config;
use crate::{database, topic, wiring};
use report::Report;

/// Audits and says what was found.
///
/// # Errors
/// Tables that are not there, PostgreSQL or Kafka out of reach.
pub fn audit(config: &Config, args: &AuditArgs) -> Result<Outcome, CliError> {
    let settings = wiring::postgres(config);
    let facts = database::block_on(async {
        let mut client = database::connected_at_once(config, &settings).await?;
        tables::read(config, &mut client).await
    })?;
    // After the tables: what Kafka has can only be more than what they were made from.
    let topic = topic::describe(config)?;
    let report = Report::new(config, &facts, &topic);
    output::answer(args.json, &report)?;
    Ok(if report.is_ok() { Outcome::Done } else { Outcome::No })
}
