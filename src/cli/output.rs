//! Writes for people and scripts. A reader that has gone away is no reason to fail.

use std::io::Write;

/// Writes to standard output, where data goes.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Writes a line to standard error, where words about the work go.
pub(crate) fn err(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
