//! How far it has come: a bar on a terminal, now and then a line elsewhere; always on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::schedule::Schedule;
use crate::cli::output;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows how many records were sent.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    begin: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts at no records.
    pub(super) fn new(schedule: &Schedule) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(schedule.total));
        let now = Instant::now();
        Self { bar, total: schedule.total, begin: now, last_line: now }
    }

    /// Takes note that `sent` records were sent so far.
    pub(super) fn sent(&mut self, sent: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(sent);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let rate = sent as f64 / self.begin.elapsed().as_secs_f64();
            let share = self
                .total
                .filter(|total| *total > 0)
                .map(|total| format!(", {} %", sent * 100 / total));
            output::err(&format!(
                "{sent} records, {rate:.0} a second{}",
                share.unwrap_or_default()
            ));
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} records, {per_sec}, {elapsed}"),
    };
    // A template that is not understood leaves the standard one.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
