//! Writes for people and scripts. A reader that has gone away is no reason to fail, a full disk is.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Serialize;

use super::{CliError, Outcome};

/// Whether there has been an answer in JSON: a second document would break whoever reads one.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Writes a command's answer to standard output: one line of JSON for scripts, or words for people.
///
/// # Errors
/// As [`out`].
pub(crate) fn answer(json: bool, answer: &(impl Serialize + Display)) -> Result<(), CliError> {
    if json {
        let json = serde_json::to_string(answer).map_err(anyhow::Error::new)?;
        ANSWERED.store(true, Relaxed);
        out(&format!("{json}\n"))
    } else {
        out(&answer.to_string())
    }
}

/// Writes as JSON why there is no answer.
///
/// # Errors
/// As [`out`], and what is no answer: a bug, and what went wrong after there was one.
pub(crate) fn failed(error: CliError) -> Result<Outcome, CliError> {
    let Some(outcome) = error.as_answer().filter(|_| !ANSWERED.load(Relaxed)) else {
        return Err(error);
    };
    out(&format!("{}\n", serde_json::json!({ "error": error.to_string() })))?;
    Ok(outcome)
}

/// Writes to standard output, where data goes.
///
/// # Errors
/// [`CliError::Output`] where it takes nothing, unless its reader has gone away.
pub(crate) fn out(text: &str) -> Result<(), CliError> {
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// Judges what came of writing to standard output, and writes out what it still holds back.
///
/// # Errors
/// As [`out`].
pub(crate) fn written(outcome: io::Result<()>) -> Result<(), CliError> {
    match outcome.and_then(|()| io::stdout().lock().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error, where words about the work go.
pub(crate) fn err(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
