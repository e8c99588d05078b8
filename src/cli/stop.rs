//! Ctrl-C and SIGTERM for commands that send records: a flag that the work looks at.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::CliError;

/// The first Ctrl-C or SIGTERM raises the flag, which asks for an orderly end; the second one ends at once.
///
/// # Errors
/// Where the system refuses to have signals handled.
pub(crate) fn on_signal(stop: &Arc<AtomicBool>) -> Result<(), CliError> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))
            .and_then(|_| register(signal, Arc::clone(stop)))
            .map_err(|error| anyhow::Error::new(error).context("signals cannot be handled"))?;
    }
    Ok(())
}
