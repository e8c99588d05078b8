//! The numbers as lines that fit the terminal: all of them one of 80 columns, the most of them one of 60.

use hitstream_domain::time::EventTime;

use super::numbers::{Numbers, Watermarks};
use crate::cli::moment::Moment;
use crate::status::{duration, held};

/// Longest line, where the terminal has room for more.
pub(super) const LONGEST: usize = 79;

/// The lines of a terminal, none longer than `longest`: what says least is left out first.
pub(super) fn lines(numbers: &Numbers, rate: Option<f64>, longest: usize) -> [String; 7] {
    let Numbers { late, rejected, .. } = numbers;
    let fitting = |label: &str, ways: &[String]| fitting(label, ways, longest);
    [
        fitting("  records     ", &[counted(numbers) + &per_second(rate), counted(numbers)]),
        fitting("  lag         ", &[lag(numbers) + &oldest(numbers), lag(numbers)]),
        fitting("  frontier    ", &frontier(numbers)),
        fitting("  watermarks  ", &watermarks(numbers.frontier, &numbers.watermarks)),
        fitting("  windows     ", &windows(numbers)),
        fitting(
            "  set aside   ",
            &[format!("{} late, {} no hits", grouped(*late), grouped(*rejected))],
        ),
        busiest("  busiest     ", &numbers.busiest, longest),
    ]
}

/// The line where there is no terminal.
pub(super) fn line(numbers: &Numbers, rate: Option<f64>) -> String {
    let [frontier, _] = frontier(numbers);
    let [watermarks, ..] = watermarks(numbers.frontier, &numbers.watermarks);
    format!(
        "{}{}; {}{}; frontier {frontier}; watermarks {watermarks}; windows: {} open, {} final",
        counted(numbers),
        per_second(rate),
        lag(numbers),
        oldest(numbers),
        numbers.open_windows,
        numbers.final_windows
    )
}

/// What keeps the pipeline from its work.
pub(super) fn trouble(reason: &str, longest: usize) -> String {
    cut(format!("  not ready   {reason}"), longest)
}

/// The first way to put it that leaves the line short enough; the last one, cut, where none does.
fn fitting(label: &str, ways: &[String], longest: usize) -> String {
    let lines = || ways.iter().map(|way| format!("{label}{way}"));
    let fits = |line: &String| line.chars().count() <= longest;
    lines().find(fits).unwrap_or_else(|| cut(lines().next_back().unwrap_or_default(), longest))
}

fn cut(line: String, longest: usize) -> String {
    if line.chars().count() <= longest {
        return line;
    }
    line.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

fn counted(numbers: &Numbers) -> String {
    format!("{} counted", grouped(numbers.records))
}

fn per_second(rate: Option<f64>) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "far below what fits")]
    let whole = |rate: f64| grouped(rate.round() as i64);
    rate.map(|rate| format!(", {} a second", whole(rate))).unwrap_or_default()
}

fn lag(numbers: &Numbers) -> String {
    format!("{} still in Kafka", grouped(numbers.lag))
}

fn oldest(numbers: &Numbers) -> String {
    let since = numbers.oldest.map(|seconds| format!(", the oldest for {}", duration(seconds)));
    since.unwrap_or_default()
}

/// Where it is, and how far behind; then where it is alone.
fn frontier(numbers: &Numbers) -> [String; 2] {
    let Some(at) = numbers.frontier.map(|at| Moment(at).to_string()) else {
        return ["none yet: no window is final", "none yet"].map(str::to_owned);
    };
    match numbers.behind {
        Some(behind) => [format!("{at}, {} behind the clock", duration(behind.as_secs_f64())), at],
        None => [at.clone(), at],
    }
}

/// How far ahead of the frontier they are, who holds it and how many are idle; then less and less of that.
fn watermarks(frontier: Option<EventTime>, all: &Watermarks) -> [String; 4] {
    if all.without_hit > 0 {
        let none = format!("no hit yet in {} of {} partitions", all.without_hit, all.partitions);
        return [none.clone(), none.clone(), none.clone(), none];
    }
    let idle = match all.idle {
        0 => String::new(),
        idle => format!("; {idle} of {} idle", all.partitions),
    };
    let span = match (frontier, all.least.or(all.newest), all.newest) {
        (Some(frontier), Some(least), Some(newest)) => {
            let [least, newest] = [least, newest].map(|it| duration(seconds(frontier, it)));
            format!("{least} to {newest} ahead; ")
        }
        _ => String::new(),
    };
    let held = held(&all.held_by);
    [
        format!("{span}{held}{idle}"),
        format!("{span}{held}"),
        format!("{span}{}", idle.trim_start_matches("; ")).trim_end_matches("; ").to_owned(),
        held,
    ]
}

/// How many, and how many rows they have; then less and less of that.
fn windows(numbers: &Numbers) -> [String; 3] {
    let Numbers { open_windows: open, final_windows: closed, .. } = numbers;
    let (open_rows, final_rows) = (rows(numbers.open_rows), rows(numbers.final_rows));
    [
        format!("{open} open with {open_rows}; {closed} final with {final_rows}"),
        format!("{open} open with {open_rows}; {closed} final"),
        format!("{open} open; {closed} final"),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are exact up to 285 years")]
fn seconds(from: EventTime, to: EventTime) -> f64 {
    to.as_micros().saturating_sub(from.as_micros()).max(0) as f64 / 1e6
}

/// As many of them as fit.
fn busiest(label: &str, hosts: &[(String, i64)], longest: usize) -> String {
    let mut line = label.to_owned();
    for (i, (host, hits)) in hosts.iter().enumerate() {
        let next = format!("{}{host} {}", if i == 0 { "" } else { ", " }, grouped(*hits));
        if i > 0 && line.chars().count() + next.chars().count() > longest {
            break;
        }
        line.push_str(&next);
    }
    cut(line, longest)
}

fn rows(count: i64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "row" } else { "rows" })
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
    use std::time::Duration;

    use super::*;

    fn at(seconds: f64) -> Option<EventTime> {
        Some(EventTime::from_micros(1_715_947_200_000_000 + (seconds * 1e6) as i64))
    }

    fn under_way() -> Numbers {
        Numbers {
            records: 1_266_576,
            lag: 50_000,
            oldest: Some(0.94),
            late: 13_310,
            rejected: 2_810,
            frontier: at(0.0),
            behind: Some(Duration::from_millis(12_300)),
            watermarks: Watermarks {
                partitions: 16,
                without_hit: 0,
                idle: 3,
                held_by: vec![11],
                least: at(7.1),
                newest: at(9.96),
            },
            open_windows: 2,
            open_rows: 15_796,
            final_windows: 340,
            final_rows: 2_122_200,
            busiest: ["www.alpine-bikes.example", "shop.amber-books.example", "a.example"]
                .map(|host| (host.to_owned(), 11_176))
                .to_vec(),
        }
    }

    #[test]
    fn trouble_is_cut_to_the_line() {
        assert_eq!(trouble("postgres: away", LONGEST), "  not ready   postgres: away");
        assert_eq!(trouble(&"ä".repeat(90), 59).chars().count(), 59);
    }

    #[test]
    fn lines_tell_all_and_fit_a_terminal_of_80_columns() {
        let lines = lines(&under_way(), Some(49_998.4), LONGEST);
        for line in &lines {
            assert!(line.chars().count() <= LONGEST, "{line}");
        }
        assert_eq!(
            lines[..4],
            [
                "  records     1,266,576 counted, 49,998 a second",
                "  lag         50,000 still in Kafka, the oldest for 0.9s",
                "  frontier    2024-05-17T12:00:00Z, 12s behind the clock",
                "  watermarks  7.1s to 10.0s ahead; held by partition 11; 3 of 16 idle",
            ]
        );
        assert!(lines[6].ends_with("shop.amber-books.example 11,176"), "{}", lines[6]);
    }

    #[test]
    fn narrow_terminal_is_told_less_and_never_more_than_a_line_holds() {
        let mut all_idle = under_way();
        (all_idle.watermarks.held_by, all_idle.watermarks.idle) = (Vec::new(), 16);
        for longest in [59, 39, 20, 1] {
            for numbers in [under_way(), all_idle.clone(), Numbers::default()] {
                for line in lines(&numbers, Some(49_998.4), longest) {
                    assert!(line.chars().count() <= longest, "{longest}: {line}");
                }
            }
        }
        let told = lines(&under_way(), Some(49_998.4), 59);
        assert_eq!(
            told[1..5],
            [
                "  lag         50,000 still in Kafka, the oldest for 0.9s",
                "  frontier    2024-05-17T12:00:00Z, 12s behind the clock",
                "  watermarks  7.1s to 10.0s ahead; held by partition 11",
                "  windows     2 open with 15,796 rows; 340 final",
            ]
        );
        let told = lines(&all_idle, None, 59);
        assert_eq!(told[3], "  watermarks  7.1s to 10.0s ahead; 16 of 16 idle");
    }

    #[test]
    fn before_the_first_final_window_nothing_is_made_up() {
        let none = Numbers { watermarks: Watermarks::default(), ..Numbers::default() };
        let none = Numbers {
            watermarks: Watermarks { partitions: 16, without_hit: 5, ..none.watermarks },
            ..Numbers::default()
        };
        let lines = lines(&none, None, LONGEST);
        assert_eq!(lines[0], "  records     0 counted");
        assert_eq!(lines[1], "  lag         0 still in Kafka");
        assert_eq!(lines[2], "  frontier    none yet: no window is final");
        assert_eq!(lines[3], "  watermarks  no hit yet in 5 of 16 partitions");
    }

    #[test]
    fn where_all_are_idle_nobody_holds_it() {
        let mut all = under_way().watermarks;
        (all.held_by, all.least, all.idle) = (Vec::new(), None, 16);
        let [told, ..] = watermarks(at(0.0), &all);
        assert!(told.ends_with("no partition holds it: each is idle or released; 16 of 16 idle"));
    }

    #[test]
    fn digits_are_grouped_by_thousands() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567, -1_000].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567", "-1,000"]);
    }
}
