//! `check`: would a run start? Asks settings, Kafka, PostgreSQL and the geolocation database, all that can be asked, and
//! changes nothing. With `--health`: is an instance that runs well?

mod geo;
mod health;
mod kafka;
mod postgres;
mod progress;
mod report;
mod rights;
mod tables;

use crate::cli::{CheckArgs, CliError, Outcome, output};
use crate::config::{ConfigError, Loaded, Remark, remarks};
use report::{Finding, Report};
pub(crate) use rights::must_be_granted;
pub(crate) use tables::must_be_whole;

/// Checks everything and says what was found.
///
/// # Errors
/// Only where the answer cannot be written: whatever fails is the answer. With `--health`, no instance that answers.
pub fn check(loaded: &Loaded, args: &CheckArgs) -> Result<Outcome, CliError> {
    if args.health {
        return health::health(&loaded.config, args);
    }
    let mut findings = settings(loaded);
    let topic = kafka::check(&loaded.config, &mut findings);
    postgres::check(&loaded.config, topic.as_ref(), &mut findings);
    geo::check(&loaded.config, &mut findings);
    answer(args, findings)
}

/// Says what is wrong with settings that cannot be used; nothing else can be checked with them.
///
/// # Errors
/// As [`check`].
pub fn refused(error: &ConfigError, args: &CheckArgs) -> Result<Outcome, CliError> {
    let findings = error.0.iter().map(|problem| {
        let usual = "set it right; `config/hitstream.toml` describes every setting";
        let advice = problem.advice.as_deref().unwrap_or(usual);
        Finding::fail("settings", problem.detail(), advice)
    });
    answer(args, findings.collect())
}

fn answer(args: &CheckArgs, findings: Vec<Finding>) -> Result<Outcome, CliError> {
    let report = Report::new(findings);
    output::answer(args.json, &report)?;
    Ok(report.outcome())
}

/// They were checked when they were loaded: only what is odd about them is left to say.
fn settings(loaded: &Loaded) -> Vec<Finding> {
    let advice = "`hitstream --print-config` shows what applies and where it comes from";
    let remark = |remark: &String| Finding::warn("settings", remark.clone(), advice);
    let mut findings: Vec<Finding> = loaded.remarks.iter().map(remark).collect();
    let odd = remarks(&loaded.config);
    findings.extend(
        odd.map(|Remark { fact, advice }| Finding::warn("settings", fact.to_owned(), advice)),
    );
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "fit together".to_owned()));
    }
    findings
}
