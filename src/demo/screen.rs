//! What goes on, on standard error: redrawn every second on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

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
    _quiet: QuietKeys,
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
        Self { lines, _quiet: QuietKeys::new(), seen: VecDeque::new(), last_line: Instant::now() }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, numbers: &Numbers, trouble: Option<&str>) {
        let rate = self.rate(numbers.records);
        let longest = if self.lines.is_some() { longest_line() } else { words::LONGEST };
        let trouble = trouble.map(|reason| words::trouble(reason, longest));
        match &self.lines {
            Some(lines) => {
                let told = words::lines(numbers, rate, longest).into_iter().chain(trouble);
                lines.set_message(told.collect::<Vec<_>>().join("\n"));
            }
            None if self.last_line.elapsed() < LINE_EVERY => return,
            None => {
                let told = [Some(words::line(numbers, rate)), trouble];
                output::err(&told.into_iter().flatten().collect::<Vec<_>>().join(";"));
            }
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
            output::err("");
        }
    }
}

/// What fits into a line of the terminal, which may have another size than a second ago. The last column stays empty, for
/// some terminals begin a new line there.
fn longest_line() -> usize {
    let columns = tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    // One that does not know its size says 0.
    if columns == 0 { words::LONGEST } else { (columns - 1).clamp(1, words::LONGEST) }
}

/// Keeps a terminal from showing Ctrl-C as `^C`, which would move the lines that are redrawn.
struct QuietKeys(Option<Termios>);

impl QuietKeys {
    fn new() -> Self {
        let before = tcgetattr(std::io::stderr()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_modes.remove(LocalModes::ECHOCTL);
            // Where it is refused the screen is a line off at the end.
            let _ = tcsetattr(std::io::stderr(), OptionalActions::Now, &quiet);
        }
        Self(before)
    }
}

impl Drop for QuietKeys {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone has nothing to restore.
            let _ = tcsetattr(std::io::stderr(), OptionalActions::Now, before);
        }
    }
}
