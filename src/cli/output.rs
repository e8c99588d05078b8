//! Writes for people and scripts. A reader that has gone away is no reason to fail.

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;

use super::CliError;

/// Writes a command's answer to standard output: one line of JSON for scripts, or words for people.
pub(crate) fn answer(json: bool, answer: &(impl Serialize + Display)) -> Result<(), CliError> {
    if json {
        let json = serde_json::to_string(answer).map_err(anyhow::Error::new)?;
        out(&format!("{json}\n"));
    } else {
        out(&answer.to_string());
    }
    Ok(())
}

/// Writes to standard output, where data goes.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Writes a line to standard error, where words about the work go.
pub(crate) fn err(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
