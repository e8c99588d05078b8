//! How far long work has come: a bar on a terminal, now and then a line elsewhere; always on standard error.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use super::words::count;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of work on many items.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// What the items are called, in the plural, which ends in s.
    noun: &'static str,
    total: Option<u64>,
    begin: Instant,
    last_line: Instant,
}

impl Progress {
    /// Begins with work that is measured in items, `total` of them where that is known.
    pub(crate) fn of_items(noun: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {human_pos} of {human_len}  {msg}  {eta} left",
            None => "{spinner} {msg}  {elapsed}",
        };
        Self::start(noun, total, template)
    }

    /// Begins with work on items that is measured in bytes.
    pub(crate) fn of_bytes(noun: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {bytes:>10} of {total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes:>10}  {msg}",
        };
        Self::start(noun, total, template)
    }

    fn start(noun: &'static str, total: Option<u64>, template: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            // A template that is not understood leaves the standard one.
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let now = Instant::now();
        Self { bar, noun, total, begin: now, last_line: now }
    }

    /// Takes note that `items` are done, and that the measure stands at `position`.
    pub(crate) fn at(&mut self, items: u64, position: u64) {
        let due = self.bar.is_some() || self.last_line.elapsed() >= LINE_EVERY;
        if !due {
            return;
        }
        let one = self.noun.strip_suffix('s').unwrap_or(self.noun);
        let rate = rate(items, per_second(items, self.begin.elapsed()));
        let words = format!("{}{rate}", count(items, one, self.noun));
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(words);
            return;
        }
        let share = self.total.filter(|total| *total > 0).map_or(Cow::Borrowed(""), |total| {
            format!(", {} %", position.saturating_mul(100) / total).into()
        });
        output::err(&format!("{words}{share}"));
        self.last_line = Instant::now();
    }

    /// Says something without disturbing the bar.
    pub(crate) fn say(&self, word: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::err(word)),
            None => output::err(word),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Adds a rate to a count; of nothing there is none.
pub(crate) fn rate(items: u64, per_second: f64) -> String {
    if items == 0 { String::new() } else { format!(", {per_second:.0} a second") }
}

/// Gives a rate; exactness ends at 2^53, far beyond what a rate needs.
#[expect(clippy::cast_precision_loss)]
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(0.001)
}
