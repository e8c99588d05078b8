//! What goes on, on standard error: redrawn every second on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::Numbers;
use super::words;
use crate::cli::output;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Over what a rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);
/// From when on there is one.
const RATE_AFTER: Duration = Duration::from_millis(900);

/// The live part of the screen.
pub(super) struct Screen {
    /// One bar of several lines: what belongs together changes at once.
    lines: Option<ProgressBar>,
    /// When how many records were counted, for the last few seconds.
    seen: VecDeque<(Instant, i64)>,
    last_line: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let lines = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self { lines, seen: VecDeque::new(), last_line: Instant::now() }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, numbers: &Numbers) {
        let rate = self.rate(numbers.records);
        match &self.lines {
            Some(lines) => lines.set_message(words::lines(numbers, rate).join("\n")),
            None if self.last_line.elapsed() < LINE_EVERY => return,
            None => output::err(&words::line(numbers, rate)),
        }
        self.last_line = Instant::now();
    }

    /// Records per second, over a few of them: commits and looks at them do not keep step.
    fn rate(&mut self, records: i64) -> Option<f64> {
        let now = Instant::now();
        // At the end, when traffic has stopped, the last rate stays.
        if self.seen.back().is_none_or(|(_, last)| *last < records) {
            self.seen.push_back((now, records));
        }
        let second = |seen: &VecDeque<(Instant, i64)>| seen.get(1).map(|(at, _)| *at);
        while second(&self.seen).is_some_and(|at| now.duration_since(at) >= RATE_OVER) {
            self.seen.pop_front();
        }
        let ((from, first), (to, last)) = (self.seen.front()?, self.seen.back()?);
        let seconds = to.duration_since(*from).as_secs_f64();
        (seconds >= RATE_AFTER.as_secs_f64()).then(|| (last - first) as f64 / seconds)
    }

    /// Leaves the last state standing.
    pub(super) fn finish(&self) {
        if let Some(lines) = &self.lines {
            lines.abandon();
        }
    }
}
