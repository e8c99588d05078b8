//! `migrate`: brings the tables to this version, and closes open windows when the time settings are to change.

use std::fmt;

use hitstream_actors::writer::postgres::{
    CloseReport, MigrationReport, close_open, migrate as run_migrations,
};
use serde::Serialize;

use crate::cli::moment::Moment;
use crate::cli::words::{count, span};
use crate::cli::{CliError, MigrateArgs, Outcome, output};
use crate::config::Config;
use crate::{database, wiring};

/// Migrates and says what was done.
///
/// # Errors
/// PostgreSQL out of reach or too old, tables that are in the way, an instance that runs while windows are to be closed.
pub fn migrate(config: &Config, args: &MigrateArgs) -> Result<Outcome, CliError> {
    let settings = wiring::postgres(config);
    let pipeline = wiring::pipeline(config)?;
    database::block_on(async {
        let mut client =
            database::connected(config, &settings, Some(database::LIMIT), |_| {}).await?;
        let report = run_migrations(&mut client, &settings)
            .await
            .map_err(|error| database::failure(config, error))?;
        // Told at the end: where windows are not closed, the error is the answer.
        let closed = if args.close_open {
            let closed = close_open(&mut client, &settings, &pipeline).await;
            Some(closed.map_err(|error| database::failure(config, error))?)
        } else {
            None
        };
        output::answer(args.json, &Answer::new(config, report, closed))?;
        Ok(Outcome::Done)
    })
}

/// What was done; serialized, the answer to `migrate --json`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schema: &'a str,
    /// `host:port/database`.
    database: String,
    /// The tables' version after it.
    version: i32,
    /// Migrations that were applied now.
    applied: Vec<String>,
    /// With `--close-open`.
    closed: Option<Closed>,
    #[serde(skip)]
    config: &'a Config,
}

#[derive(Debug, Serialize)]
struct Closed {
    /// Open windows that were made final.
    windows: usize,
    frontier: Moment,
}

impl<'a> Answer<'a> {
    fn new(config: &'a Config, report: MigrationReport, closed: Option<CloseReport>) -> Self {
        Self {
            schema: &config.postgres.schema,
            database: config.postgres.target(),
            version: report.version,
            applied: report.applied,
            closed: closed.map(|closed| Closed {
                windows: closed.windows,
                frontier: Moment(closed.frontier),
            }),
            config,
        }
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema {} of {} is at version {}", self.schema, self.database, self.version)?;
        if self.applied.is_empty() {
            writeln!(f, " already")?;
        } else {
            writeln!(f, ": applied {}", self.applied.join(", "))?;
        }
        let Some(closed) = &self.closed else { return Ok(()) };
        let (window, watermark) = (&self.config.window, &self.config.watermark);
        writeln!(
            f,
            "{} made final; the frontier is {}: hits before it are late from now on; window.size {}, window.slide {} and watermark.delay {} apply",
            count(closed.windows, "open window", "open windows"),
            closed.frontier,
            span(window.size),
            span(window.slide),
            span(watermark.delay),
        )
    }
}
