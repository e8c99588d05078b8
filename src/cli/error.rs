//! How a command ends, and the exit code of each end.

use std::fmt::Write;

use crate::config::ConfigError;
use crate::produce::ProduceError;

/// Exit code: done.
pub(super) const DONE: u8 = 0;
/// Exit code: the answer is no.
pub(super) const NO: u8 = 1;
/// Exit code: usage, settings or mismatch.
pub(super) const USAGE: u8 = 64;
/// Exit code: a service stayed out of reach past its limit, or the answer could not be written.
pub(super) const UNREACHABLE: u8 = 69;
/// Exit code: a bug.
pub(super) const BUG: u8 = 70;

/// The end of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or the answer is yes.
    Done,
    /// The answer is no.
    No,
    /// The answer is that somebody has to change something.
    Mistake,
    /// The answer is that a service is out of reach, or refuses.
    OutOfReach,
    /// A signal came before there was anything to tell; with the exit code.
    Interrupted(u8),
}

impl Outcome {
    /// Gives the exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => DONE,
            Self::No => NO,
            Self::Mistake => USAGE,
            Self::OutOfReach => UNREACHABLE,
            Self::Interrupted(code) => code,
        }
    }
}

/// Why a command could not do its work. The text of each says what, where, and what to do, and never a secret.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was asked for cannot be, or what was given cannot be read.
    #[error("{0}")]
    Usage(String),
    /// What is there does not fit the settings: topic, cluster, window settings, data gone from the broker.
    #[error("{0}")]
    Mismatch(String),
    /// A service stayed out of reach past its limit, or refuses the credentials.
    #[error("{0}")]
    Unreachable(String),
    /// The answer cannot be written; what it tells of has been done.
    #[error("standard output does not take the answer: {0}; what the command has done stays done")]
    Output(std::io::Error),
    /// Something that cannot happen did.
    #[error("{0:#}")]
    Bug(#[from] anyhow::Error),
}

impl CliError {
    /// Gives the exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Mismatch(_) => USAGE,
            Self::Unreachable(_) | Self::Output(_) => UNREACHABLE,
            Self::Bug(_) => BUG,
        }
    }

    /// Gives the outcome of a command whose answer has this as its text; `None` where it is no answer to anything.
    pub fn as_answer(&self) -> Option<Outcome> {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Mismatch(_) => Some(Outcome::Mistake),
            Self::Unreachable(_) => Some(Outcome::OutOfReach),
            Self::Output(_) | Self::Bug(_) => None,
        }
    }

    /// Writes it out for the terminal: a line for each thing that is wrong. What is indented is quoted, and stays as it is.
    pub fn report(&self) -> String {
        let mut report = String::new();
        let lines = match self {
            Self::Bug(e) => super::panic::bug_report(&format!("{e:#}")),
            other => other.to_string(),
        };
        for (i, line) in lines.lines().enumerate() {
            // Writing to a String cannot fail.
            let is_quoted = i > 0 && line.starts_with("    ");
            let (before, word) =
                (if i == 0 { "" } else { "\n" }, if is_quoted { "" } else { "error: " });
            let _ = write!(report, "{before}{word}{line}");
        }
        report
    }
}

impl From<ProduceError> for CliError {
    fn from(error: ProduceError) -> Self {
        use ProduceError as E;
        let text = error.to_string();
        match error {
            E::Settings(_) | E::TooLarge { .. } => Self::Usage(text),
            E::NoTopic { .. } | E::OtherPartitions { .. } | E::BatchRefused { .. } => {
                Self::Mismatch(text)
            }
            E::Unreachable { .. }
            | E::NotCreated { .. }
            | E::Undelivered { .. }
            | E::NotFlushed { .. } => Self::Unreachable(text),
        }
    }
}
