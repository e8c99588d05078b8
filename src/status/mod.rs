//! `status`: where the pipeline stands, from the tables and Kafka alone; nothing needs to run.

mod answer;
mod tables;
mod unread;
mod words;

use crate::cli::{CliError, Outcome, StatusArgs, output};
use crate::config::Config;
use crate::{database, topic, wiring};
pub(crate) use answer::Answer;
pub(crate) use tables::{Facts, read as read_facts};
use unread::Unread;
pub(crate) use words::{duration, held};

/// Says where the pipeline stands. Where Kafka does not answer, it says what the tables alone tell, and then fails.
///
/// # Errors
/// PostgreSQL or Kafka out of reach, no such topic, no pipeline yet.
pub fn status(config: &Config, args: &StatusArgs) -> Result<Outcome, CliError> {
    let facts = own_facts(config)?;
    let unread = unread(config, &facts);
    output::answer(args.json, &Answer::new(config, &facts, unread.as_ref()))?;
    match unread {
        // The answer has its text.
        Err(error) if args.json => error.as_answer().ok_or(error),
        unread => unread.map(|_| Outcome::Done),
    }
}

/// Puts beside the tables what Kafka has; blocks.
///
/// # Errors
/// Kafka out of reach.
pub(crate) fn beside_kafka<'a>(config: &Config, facts: &'a Facts) -> Result<Answer<'a>, CliError> {
    let unread = unread(config, facts)?;
    Ok(Answer::new(config, facts, Ok(&unread)))
}

/// After the tables: what Kafka has can only be more than what they were made from.
fn unread(config: &Config, facts: &Facts) -> Result<Unread, CliError> {
    topic::describe(config).and_then(|topic| Unread::read(config, facts, &topic))
}

/// The facts, where they are this pipeline's.
fn own_facts(config: &Config) -> Result<Facts, CliError> {
    let settings = wiring::postgres(config);
    let facts = database::block_on(async {
        let mut client = database::connected_at_once(config, &settings).await?;
        read_facts(config, &mut client).await
    })?;
    belongs(&facts, config)?;
    Ok(facts)
}

/// Lag and members would be another pipeline's.
fn belongs(facts: &Facts, config: &Config) -> Result<(), CliError> {
    let kafka = &config.kafka;
    let pairs = [
        ("topic (kafka.topic)", &kafka.topic, &facts.topic),
        ("consumer group (kafka.group)", &kafka.group, &facts.group),
    ];
    for (what, here, there) in pairs {
        if here != there {
            return Err(CliError::Mismatch(format!(
                "schema {} of {} belongs to another pipeline: the {what} is {here:?} here and {there:?} there. Set it to \
                 {there:?}, or postgres.schema (or the database) to that of the pipeline that is meant",
                config.postgres.schema,
                config.postgres.target()
            )));
        }
    }
    Ok(())
}
