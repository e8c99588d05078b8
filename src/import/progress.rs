//! Shows how far an import is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::per_second;
use crate::cli::output;

/// Lines between two looks at the clock.
const LOOK_EVERY: u64 = 4096;
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress on standard error.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    begin: Instant,
    last: Instant,
}

impl Progress {
    /// Begins to show progress towards `total` bytes, where they are known.
    pub(super) fn start(total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| match total {
            Some(total) => ProgressBar::new(total)
                .with_style(style("{bar:30} {bytes:>10} of {total_bytes}  {msg}  {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {bytes:>10}  {msg}")),
        });
        let now = Instant::now();
        Self { bar, total, begin: now, last: now }
    }

    /// Counts one more line; looks at the clock only now and then.
    pub(super) fn tick(&mut self, lines: u64, read: &AtomicU64) {
        if !lines.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let rate = || per_second(lines, self.begin.elapsed());
        let read = read.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(format!("{lines} lines, {:.0}/s", rate()));
        } else if self.last.elapsed() >= LINE_EVERY {
            let share = self
                .total
                .filter(|total| *total > 0)
                .map(|total| format!(", {} %", read * 100 / total));
            output::err(&format!(
                "{lines} lines, {:.0} a second{}",
                rate(),
                share.unwrap_or_default()
            ));
            self.last = Instant::now();
        }
    }

    /// Says something without disturbing the bar.
    pub(super) fn say(&self, word: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::err(word)),
            None => output::err(word),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
