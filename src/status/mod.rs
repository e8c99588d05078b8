//! `status`: where the pipeline stands, from the tables and Kafka alone; nothing needs to run.

mod answer;
mod tables;
mod unread;
mod words;

use crate::cli::{CliError, Outcome, StatusArgs, output};
use crate::config::Config;
use crate::{database, topic, wiring};
use answer::Answer;
use unread::Unread;

/// Says where the pipeline stands. Where Kafka does not answer, it says what the tables alone tell, and then fails.
///
/// # Errors
/// PostgreSQL or Kafka out of reach, no such topic, no pipeline yet.
pub fn status(config: &Config, args: &StatusArgs) -> Result<Outcome, CliError> {
    let settings = wiring::postgres(config);
    let facts = database::block_on(async {
        let mut client = database::connected(config, &settings, Some(database::LIMIT)).await?;
        tables::read(config, &mut client).await
    })?;
    // After the tables: what Kafka has can only be more than what they were made from.
    let unread = topic::describe(config).and_then(|topic| Unread::read(config, &facts, &topic));
    output::answer(args.json, &Answer::new(config, &facts, unread.as_ref()))?;
    unread.map(|_| Outcome::Done)
}
