//! Ctrl-C and SIGTERM for commands that send records: a flag that the work looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
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

/// The first Ctrl-C or SIGTERM raises the flag, which asks for an orderly end; the second one ends at once.
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
            .map_err(|error| anyhow::Error::new(error).context("signals cannot be handled"))?;
    }
    Ok(Signal(came))
}
