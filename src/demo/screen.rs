//! What goes on, on standard error: redrawn every second on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::numbers::Numbers;
use crate::cli::moment::Moment;
use crate::cli::output;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Over what a rate is measured.
const RATE_OVER: Duration = Duration::from_millis(900);

/// The live part of the screen.
pub(super) struct Screen {
    lines: Option<Vec<ProgressBar>>,
    last: Option<(Instant, i64)>,
    rate: Option<f64>,
    last_line: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let lines = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let line = |_| all.add(ProgressBar::new_spinner().with_style(style.clone()));
            (0..5).map(line).collect()
        });
        Self { lines, last: None, rate: None, last_line: Instant::now() }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, numbers: &Numbers) {
        let now = Instant::now();
        if let Some((at, records)) = self.last
            && now.duration_since(at) >= RATE_OVER
            // At the end, when traffic has stopped, the last rate stays.
            && numbers.records > records
        {
            let seconds = now.duration_since(at).as_secs_f64();
            self.rate = Some((numbers.records - records) as f64 / seconds);
            self.last = Some((now, numbers.records));
        }
        self.last.get_or_insert((now, numbers.records));
        let rate = self.rate;
        match &self.lines {
            Some(lines) => {
                for (line, text) in lines.iter().zip(words(numbers, rate)) {
                    line.set_message(text);
                    line.tick();
                }
            }
            None if self.last_line.elapsed() < LINE_EVERY => return,
            None => output::err(&one_line(numbers, rate)),
        }
        self.last_line = now;
    }

    /// Leaves the last state standing.
    pub(super) fn finish(&self) {
        for line in self.lines.iter().flatten() {
            line.abandon();
        }
    }
}

/// The lines of a terminal.
fn words(numbers: &Numbers, rate: Option<f64>) -> [String; 5] {
    let Numbers { records, lag, late, rejected, .. } = numbers;
    let rate = rate.map(|rate| format!(", {rate:.0} a second")).unwrap_or_default();
    let hosts: Vec<String> =
        numbers.busiest.iter().map(|(host, hits)| format!("{host} {}", grouped(*hits))).collect();
    [
        format!(
            "  records    {} counted{rate}; {} still in Kafka",
            grouped(*records),
            grouped(*lag)
        ),
        format!("  frontier   {}", frontier(numbers)),
        format!(
            "  windows    {} open with {}; {} final with {}",
            numbers.open_windows,
            count(numbers.open_rows),
            numbers.final_windows,
            count(numbers.final_rows)
        ),
        format!("  not counted on time   {} late, {} no hits", grouped(*late), grouped(*rejected)),
        format!("  busiest    {}", hosts.join(", ")),
    ]
}

fn one_line(numbers: &Numbers, rate: Option<f64>) -> String {
    let rate = rate.map(|rate| format!(", {rate:.0} a second")).unwrap_or_default();
    format!(
        "{} records{rate}, {} still in Kafka; frontier {}; windows: {} open, {} final",
        grouped(numbers.records),
        grouped(numbers.lag),
        frontier(numbers),
        numbers.open_windows,
        numbers.final_windows
    )
}

fn frontier(numbers: &Numbers) -> String {
    match (numbers.frontier, numbers.behind) {
        (Some(at), Some(behind)) => {
            format!("{}, {:.1} s behind the clock", Moment(at), behind.as_secs_f64())
        }
        (Some(at), None) => Moment(at).to_string(),
        (None, _) => "nowhere yet: not every partition had a hit".to_owned(),
    }
}

fn count(rows: i64) -> String {
    format!("{} {}", grouped(rows), if rows == 1 { "row" } else { "rows" })
}

/// Groups digits by thousands: `12,345`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567, -1_000].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567", "-1,000"]);
    }
}
