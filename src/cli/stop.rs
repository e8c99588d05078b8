//! Ctrl-C, SIGTERM and the end of the terminal, for commands that end in order: a flag that the work looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown, register_usize};

use super::{CliError, Outcome};

/// Which signal came, if any.
pub(crate) struct Signal(Arc<AtomicUsize>);

impl Signal {
    /// The end of a command that had nothing to tell yet: that of a process which heeds no signals, to its shell.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Interrupted(u8::try_from(128 + self.0.load(Ordering::Relaxed)).unwrap_or(u8::MAX))
    }
}

/// The first Ctrl-C or SIGTERM raises the flag, which asks for an orderly end; the second one ends at once. A terminal
/// that is closed asks for an orderly end too, as often as it likes: both the shell and the system tell of it.
///
/// # Errors
/// Where the system refuses to have signals handled.
pub(crate) fn on_signal(stop: &Arc<AtomicBool>) -> Result<Signal, CliError> {
    let came = Arc::default();
    for (signal, number) in [(SIGINT, 2), (SIGTERM, 15)] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))
            .and_then(|_| register_usize(signal, Arc::clone(&came), number))
            // Last: who sees the flag knows the signal.
            .and_then(|_| register(signal, Arc::clone(stop)))
            .map_err(unhandled)?;
    }
    // Started by `nohup`, it is to outlive the terminal.
    if !is_ignored(SIGHUP) {
        register_usize(SIGHUP, Arc::clone(&came), 1)
            .and_then(|_| register(SIGHUP, Arc::clone(stop)))
            .map_err(unhandled)?;
    }
    Ok(Signal(came))
}

fn unhandled(error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("signals cannot be handled")
}

/// Whether whoever started this process had it ignore the signal, as the system tells it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}
