//! A line of a file, as people are told of it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use crate::cli::CliError;

/// The line that was read last, counted from 1; 0 before the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a Path,
    pub(super) line: u64,
}

impl Place<'_> {
    /// Names the file.
    pub(super) fn name(&self) -> Cow<'_, str> {
        if self.file.as_os_str() == "-" {
            "standard input".into()
        } else {
            self.file.to_string_lossy()
        }
    }

    /// Says that the file cannot be read on, and what has become of what was read.
    pub(super) fn unreadable(&self, error: &io::Error, fate: &str) -> CliError {
        let name = self.name();
        CliError::Usage(match self.line {
            0 => format!("{name}: {error}; nothing of it was sent"),
            line => format!("{name}: {error}, after line {line}; what was read until then {fate}"),
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.line)
    }
}
