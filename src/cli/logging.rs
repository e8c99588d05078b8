//! Log lines: on standard error, pretty on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::CliError;
use crate::config::{LogConfig, LogFormat};

/// Starts logging. Standard output stays free for data.
pub(super) fn init(settings: &LogConfig) -> Result<(), CliError> {
    // The directives were checked with the settings.
    let filter = EnvFilter::builder().parse_lossy(&settings.level);
    let pretty = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if pretty {
        registry
            .with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal()))
            .try_init()
    } else {
        // No span lies in another here: the list of them would tell each one again.
        registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init()
    };
    started.map_err(|e| CliError::Bug(anyhow::Error::new(e).context("logging was started twice")))
}
