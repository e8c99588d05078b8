//! What was found, for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::cli::table::{Align, Table};
use crate::cli::{CliError, Outcome};

/// Every check, in the order in which they are told, with those that must not fail before it.
const CHECKS: &[(&str, &[&str])] = &[
    ("settings", &[]),
    ("kafka", &["settings"]),
    ("topic", &["settings", "kafka"]),
    ("topic id", &["settings", "kafka", "topic"]),
    ("group", &["settings", "kafka"]),
    ("postgres", &["settings"]),
    ("durability", &["settings", "postgres"]),
    ("encoding", &["settings", "postgres"]),
    ("tables", &["settings", "postgres"]),
    ("rights", &["settings", "postgres", "tables"]),
    ("pipeline", &["settings", "postgres", "tables", "rights"]),
    ("progress", &["settings", "kafka", "topic", "postgres", "tables", "rights", "pipeline"]),
    ("geo", &["settings"]),
];

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// A run starts; something is worth knowing.
    Warn,
    /// A run does not start, or waits.
    Fail,
    /// Not checked.
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// What one check found. A check may find several things.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    result: Verdict,
    detail: String,
    /// What to do.
    advice: Option<String>,
    /// Whether it fails because a service does not answer or refuses, and not for a mistake.
    #[serde(skip)]
    is_out_of_reach: bool,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, detail: String) -> Self {
        Self { check, result: Verdict::Ok, detail, advice: None, is_out_of_reach: false }
    }

    /// A run starts all the same.
    pub(super) fn warn(check: &'static str, detail: String, advice: &str) -> Self {
        Self { result: Verdict::Warn, advice: Some(advice.to_owned()), ..Self::ok(check, detail) }
    }

    /// Somebody has to change something.
    pub(super) fn fail(check: &'static str, detail: String, advice: impl Into<String>) -> Self {
        Self { result: Verdict::Fail, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    /// There is nothing to check yet.
    pub(super) fn skipped(check: &'static str, why: &str) -> Self {
        Self { result: Verdict::Skipped, ..Self::ok(check, why.to_owned()) }
    }

    /// What would make a command fail. Its text says what is wrong, and in its last sentence what to do.
    pub(super) fn failed(check: &'static str, error: &CliError) -> Self {
        let text = error.to_string();
        let (detail, advice) = match text.rsplit_once(". ") {
            Some((detail, advice)) => (detail.to_owned(), Some(advice.to_owned())),
            None => (text, None),
        };
        Self {
            result: Verdict::Fail,
            advice,
            is_out_of_reach: matches!(error, CliError::Unreachable(_)),
            ..Self::ok(check, detail)
        }
    }

    /// Whether it says that this check failed.
    pub(super) fn is_failure_of(&self, check: &str) -> bool {
        self.check == check && self.result == Verdict::Fail
    }
}

/// The answer. Serialized, it is that of `check --json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    ok: bool,
    checks: Vec<Finding>,
}

impl Report {
    /// Puts the findings in order. What was not checked is skipped, for the sake of the first that failed before it.
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let mut checks: Vec<Finding> = Vec::new();
        for (check, needs) in CHECKS {
            let found = findings.iter().filter(|finding| finding.check == *check);
            let before = checks.len();
            checks.extend(found.cloned());
            if checks.len() == before {
                let failed = needs.iter().find(|need| checks.iter().any(|f| f.is_failure_of(need)));
                let why =
                    failed.map_or("not asked".to_owned(), |need| format!("mend {need} first"));
                checks.push(Finding::skipped(check, &why));
            }
        }
        Self { ok: !checks.iter().any(|finding| finding.result == Verdict::Fail), checks }
    }

    /// A mistake outweighs a service out of reach: that one may come back by itself.
    pub(super) fn outcome(&self) -> Outcome {
        let mut failures = self.checks.iter().filter(|finding| finding.result == Verdict::Fail);
        if self.ok {
            Outcome::Done
        } else if failures.any(|finding| !finding.is_out_of_reach) {
            Outcome::Mistake
        } else {
            Outcome::OutOfReach
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [("check", Align::Left), ("result", Align::Left), ("detail", Align::Left)];
        let mut table = Table::new(columns);
        for finding in &self.checks {
            table.row([
                finding.check.to_owned(),
                finding.result.word().to_owned(),
                finding.detail.replace('\n', " "),
            ]);
            if let Some(advice) = &finding.advice {
                table.row([String::new(), String::new(), format!("-> {advice}")]);
            }
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(report: &Report) -> Vec<(&str, &str)> {
        report.checks.iter().map(|found| (found.check, found.result.word())).collect()
    }

    #[test]
    fn what_was_not_checked_is_skipped_and_says_for_the_sake_of_what() {
        let away = CliError::Unreachable("it is away. Start it".into());
        let findings =
            vec![Finding::failed("kafka", &away), Finding::ok("settings", String::new())];
        let report = Report::new(findings);
        let first = &results(&report)[..3];
        assert_eq!(first, [("settings", "ok"), ("kafka", "fail"), ("topic", "skipped")]);
        assert_eq!(report.checks[2].detail, "mend kafka first");
        let (detail, advice) = (&report.checks[1].detail, report.checks[1].advice.as_deref());
        assert_eq!((detail.as_str(), advice), ("it is away", Some("Start it")));
        assert_eq!(report.outcome(), Outcome::OutOfReach);
    }

    #[test]
    fn mistake_outweighs_a_service_out_of_reach() {
        let away = CliError::Unreachable("away".into());
        let findings =
            vec![Finding::failed("kafka", &away), Finding::fail("tables", String::new(), "do")];
        assert_eq!(Report::new(findings).outcome(), Outcome::Mistake);
        let warned = vec![Finding::warn("encoding", String::new(), "do")];
        assert_eq!(Report::new(warned).outcome(), Outcome::Done);
    }
}
