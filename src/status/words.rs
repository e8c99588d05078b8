//! The answer as a person reads it.

use std::fmt;
use std::time::Duration;

use super::answer::{Answer, PartitionAnswer, WindowAnswer};
use crate::cli::table::{Align, Table};
use crate::cli::words::{count, span};
use crate::frontier::shown;

/// Most partitions that are named one by one.
const NAMED: usize = 10;

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, group, database, .. } = self;
        writeln!(f, "topic {topic}, group {group}, schema {database}")?;
        match &self.frontier {
            Some(frontier) => {
                let age = ago(Some(self.frontier_age_seconds));
                writeln!(f, "frontier {frontier}, moved {age}; {}", held(&self.held_by))?;
            }
            None => writeln!(f, "frontier none yet: no window is final; {}", held(&self.held_by))?,
        }
        match self.lag_records {
            Some(lag) => {
                writeln!(f, "{} in Kafka not counted yet", count(lag, "record", "records"))?
            }
            None => writeln!(f, "lag unknown")?,
        }
        writeln!(f, "\n{}", partitions(&self.partitions))?;
        self.windows(f)?;
        self.sums(f)?;
        for instance in &self.instances {
            let age = ago(Some(instance.last_commit_seconds));
            let partitions = named(&instance.partitions);
            writeln!(f, "instance {}: {partitions}, last commit {age}", instance.owner)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl Answer<'_> {
    fn windows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.open_windows.is_empty() {
            return writeln!(f, "no window is open\n");
        }
        let columns = [
            ("open window from", Align::Left),
            ("to", Align::Left),
            ("rows", Align::Right),
            ("hits", Align::Right),
            ("waits for", Align::Left),
        ];
        let mut table = Table::new(columns);
        for window in &self.open_windows {
            table.row([
                window.window_start.to_string(),
                window.window_end.to_string(),
                window.rows.to_string(),
                window.hits.to_string(),
                waits_for(window),
            ]);
        }
        write!(f, "{table}")?;
        let shown = i64::try_from(self.open_windows.len()).unwrap_or(i64::MAX);
        match self.open_windows_total - shown {
            ..=0 => writeln!(f),
            more => writeln!(f, "and {}\n", count(more, "later window", "later windows")),
        }
    }

    fn sums(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = &self.ledger;
        writeln!(
            f,
            "{} = {} accepted + {} rejected; {} stored; {} gone from Kafka unread",
            count(ledger.records, "record", "records"),
            ledger.accepted,
            ledger.rejected,
            ledger.stored,
            ledger.lost
        )?;
        writeln!(
            f,
            "(record, window) pairs: {} counted, {} late, {} diverted to late",
            ledger.counted, ledger.late, ledger.diverted
        )
    }
}

fn partitions(partitions: &[PartitionAnswer]) -> Table<8> {
    let mut table = Table::new([
        ("partition", Align::Right),
        ("next offset", Align::Right),
        ("lag", Align::Right),
        ("oldest unread", Align::Left),
        ("watermark", Align::Left),
        ("frontier", Align::Left),
        ("last commit", Align::Left),
        ("by", Align::Left),
    ]);
    for partition in partitions {
        let unread = match (partition.lag_records, partition.oldest_unread_seconds) {
            (Some(0), _) => "-".to_owned(),
            (_, seconds) => seconds.map_or_else(|| "unknown".to_owned(), |s| ago(Some(s))),
        };
        let left = partition.idle_seconds_left.map(|left| format!(", {} more", duration(left)));
        table.row([
            partition.partition.to_string(),
            partition.next_offset.to_string(),
            partition.lag_records.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
            unread,
            shown(partition.watermark),
            format!("{}{}", partition.state, left.unwrap_or_default()),
            ago(partition.last_commit_seconds),
            partition.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

fn waits_for(window: &WindowAnswer) -> String {
    if window.is_refused {
        "nothing: it is final, but the final tables refuse it, as the log says".to_owned()
    } else if window.is_overdue {
        "nothing: it is final, but not moved: the final tables refuse it, or no instance runs"
            .to_owned()
    } else if window.is_final {
        "nothing: it is final, and about to be moved".to_owned()
    } else if window.waits_for.is_empty() {
        "a newer hit, or an instance that runs".to_owned()
    } else {
        named(&window.waits_for)
    }
}

/// Who holds the frontier.
pub(crate) fn held(by: &[i32]) -> String {
    if by.is_empty() {
        "no partition holds it: each is idle or released".to_owned()
    } else {
        format!("held by {}", named(by))
    }
}

/// `partition 1`, or `partitions 1, 2, 3`; many are not all named.
fn named(partitions: &[i32]) -> String {
    let names: Vec<String> = partitions.iter().take(NAMED).map(ToString::to_string).collect();
    let noun = if partitions.len() == 1 { "partition" } else { "partitions" };
    match partitions.len().saturating_sub(NAMED) {
        0 => format!("{noun} {}", names.join(", ")),
        more => format!("{noun} {} and {more} more", names.join(", ")),
    }
}

fn ago(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", duration(seconds)))
}

/// A span in seconds, or tenths of them where they are few.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    span(Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX))
}
