//! `migrate`: brings the tables to this version, and closes open windows when the time settings are to change.

use hitstream_actors::writer::postgres::{MigrationReport, close_open, migrate as run_migrations};

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
        let mut client = database::connected(config, &settings, Some(database::LIMIT)).await?;
        let report = run_migrations(&mut client, &settings)
            .await
            .map_err(|error| database::failure(config, error))?;
        // Told at the end: where windows are not closed, the error is the answer.
        let mut answer = format!("{}\n", describe(config, &report));
        if args.close_open {
            let report = close_open(&mut client, &settings, &pipeline)
                .await
                .map_err(|error| database::failure(config, error))?;
            answer.push_str(&format!(
                "{} made final; the frontier is {}: hits before it are late from now on; window.size {}, window.slide {} and watermark.delay {} apply\n",
                count(report.windows, "open window", "open windows"),
                Moment(report.frontier),
                span(config.window.size),
                span(config.window.slide),
                span(config.watermark.delay),
            ));
        }
        output::out(&answer)?;
        Ok(Outcome::Done)
    })
}

fn describe(config: &Config, report: &MigrationReport) -> String {
    let place = format!("schema {} of {}", config.postgres.schema, config.postgres.target());
    if report.applied.is_empty() {
        return format!("{place} is at version {} already", report.version);
    }
    format!("{place} is at version {}: applied {}", report.version, report.applied.join(", "))
}
