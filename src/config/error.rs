//! What is wrong with the settings, in words that lead to the right ones.

use std::fmt;

/// One setting that cannot be used: its key, its value, where it came from, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key (`flush.max_keys`), or empty where a whole file is at fault.
    pub key: String,
    /// The value as written, masked where it is a secret; empty where it says nothing.
    pub value: String,
    /// Where it came from: `file prod.toml`, `variable KAFKA_URL`, `--log-level`.
    pub origin: String,
    /// What is wrong, and what would do.
    pub reason: String,
    /// What to do, where the reason does not say it.
    pub advice: Option<String>,
}

impl Problem {
    /// A problem of a file or variable as a whole.
    pub(super) fn of(origin: String, reason: impl Into<String>) -> Self {
        let (key, value) = (String::new(), String::new());
        Self { key, value, origin, reason: reason.into(), advice: None }
    }

    /// The same, without what to do.
    pub(crate) fn detail(&self) -> String {
        Self { advice: None, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), self.value.is_empty()) {
            (true, _) => write!(f, "{}: {}", self.origin, self.reason),
            (false, true) => write!(f, "{} ({}): {}", self.key, self.origin, self.reason),
            (false, false) => {
                write!(f, "{} = {} ({}): {}", self.key, self.value, self.origin, self.reason)
            }
        }?;
        self.advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}

/// All that is wrong with the settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// Reports one problem.
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// Reports a file that cannot be used as a whole.
    pub fn file(name: &str, reason: impl Into<String>) -> Self {
        Self::one(Problem::of(format!("file {name}"), reason))
    }

    /// Reports a file that `named_by` names and that cannot be read.
    pub fn unreadable(name: &str, named_by: &str, error: &std::io::Error) -> Self {
        let advice =
            format!("make it a text file that can be read, or name another with {named_by}");
        Self::one(Problem {
            advice: Some(advice),
            ..Problem::of(format!("file {name} ({named_by})"), format!("cannot be read: {error}"))
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
