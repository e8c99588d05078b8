//! Where each partition of the topic stands: those that this instance reads by its own knowledge, the others as they were
//! looked at last ([`crate::lag`]). Told when somebody asks.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use self::state::State;
use super::ends::KNOWN_FOR;
use super::kinds::Kind;
use super::reference::Described;
use crate::clock;
use crate::stall::Standing;

/// The partitions of the topic. All clones are one.
#[derive(Clone, Debug)]
pub struct Partitions {
    table: Arc<Mutex<Table>>,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    next_offset: IntGaugeVec,
    watermark: GaugeVec,
    group_lag_records: IntGaugeVec,
    group_lag_seconds: GaugeVec,
    lag_unknown: IntGauge,
}

#[derive(Debug, Default)]
struct Table {
    states: BTreeMap<PartitionId, State>,
    /// When the brokers last said which partitions there are, on the monotonic clock.
    listed: Option<Duration>,
}

/// The series, in the order in which they are made.
pub(super) const SERIES: [Described; 7] = [
    Described {
        name: "hitstream_partition_lag_records",
        kind: "IntGaugeVec",
        labels: &["partition"],
        help: "Records in Kafka that are not committed yet, of each partition that this instance reads. Absent while that is not known.",
    },
    Described {
        name: "hitstream_partition_lag_seconds",
        kind: "GaugeVec",
        labels: &["partition"],
        help: "Time since the first record that is not committed came to Kafka, or a little more, of each partition that this instance reads; 0 without such a record. By Kafka timestamps, and across restarts. Absent while that is not known.",
    },
    Described {
        name: "hitstream_partition_next_offset",
        kind: "IntGaugeVec",
        labels: &["partition"],
        help: "Next offset to be read, as committed.",
    },
    Described {
        name: "hitstream_partition_watermark_timestamp_seconds",
        kind: "GaugeVec",
        labels: &["partition"],
        help: "Watermark as committed: hits of windows that end before it are late.",
    },
    Described {
        name: "hitstream_group_lag_records",
        kind: "IntGaugeVec",
        labels: &["partition"],
        help: "Records in Kafka that nobody has committed yet, of every partition of the topic, whoever reads it or nobody: every instance tells of all, of those of others as it was within the last 5 s, so that hitstream_partition_lag_records is to be preferred where somebody has it. Absent while that is not known.",
    },
    Described {
        name: "hitstream_group_lag_seconds",
        kind: "GaugeVec",
        labels: &["partition"],
        help: "The same in time, as hitstream_partition_lag_seconds has it.",
    },
    Described {
        name: "hitstream_lag_unknown",
        kind: "IntGauge",
        labels: &[],
        help: "1 while the lag of some partition of the topic is not known: for 30 s brokers have not told where it ends, or PostgreSQL has not told how far it is committed.",
    },
];

impl Kind for Partitions {
    fn make(_: &str, _: &str, _: &[&str]) -> prometheus::Result<Self> {
        let [records, lag, next, watermark, group_records, group_lag, unknown] = SERIES;
        let opts = |of: &Described| Opts::new(of.name, of.help);
        Ok(Self {
            table: Arc::default(),
            lag_records: IntGaugeVec::new(opts(&records), records.labels)?,
            lag_seconds: GaugeVec::new(opts(&lag), lag.labels)?,
            next_offset: IntGaugeVec::new(opts(&next), next.labels)?,
            watermark: GaugeVec::new(opts(&watermark), watermark.labels)?,
            group_lag_records: IntGaugeVec::new(opts(&group_records), group_records.labels)?,
            group_lag_seconds: GaugeVec::new(opts(&group_lag), group_lag.labels)?,
            lag_unknown: IntGauge::with_opts(opts(&unknown))?,
        })
    }
}

impl Partitions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is read from here on.
    pub fn begin(&self, partition: PartitionId, next: Offset, watermark: Option<EventTime>) {
        let mut table = self.table();
        let state = table.states.entry(partition).or_default();
        state.moves_to(next);
        (state.is_own, state.fetched, state.watermark) = (true, None, watermark);
    }

    /// A partition that is read ends there, as the client has it from what it fetched. It says the same for ever while
    /// brokers are away: only a later end is news.
    pub fn ends(&self, partition: PartitionId, end: Offset) {
        let mut table = self.table();
        if let Some(state) = table.states.get_mut(&partition).filter(|state| state.is_own)
            && state.fetched.is_none_or(|(last, _)| end > last)
        {
            state.fetched = Some((end, clock::monotonic()));
        }
    }

    /// A partition is committed up to here.
    pub fn committed(
        &self,
        partition: PartitionId,
        next: Offset,
        last: Option<EventTime>,
        watermark: Option<EventTime>,
    ) {
        let mut table = self.table();
        if let Some(state) = table.states.get_mut(&partition).filter(|state| state.is_own) {
            state.next = Some(next);
            state.last = last.or(state.last);
            state.watermark = watermark.or(state.watermark);
        }
    }

    /// A partition is let go.
    pub fn end(&self, partition: PartitionId) {
        if let Some(state) = self.table().states.get_mut(&partition) {
            (state.is_own, state.fetched) = (false, None);
        }
    }

    /// None is read any more: a generation ends. What is known of the topic stays.
    pub fn clear(&self) {
        for state in self.table().states.values_mut() {
            (state.is_own, state.fetched) = (false, None);
        }
    }

    /// The whole topic was looked at: `progress` as PostgreSQL has it, `None` where it did not answer, and after that, at
    /// `asked`, where each partition ends, `None` where its broker did not answer.
    pub fn looked(
        &self,
        progress: Option<&BTreeMap<PartitionId, Offset>>,
        asked: EventTime,
        ends: &BTreeMap<PartitionId, Option<Offset>>,
    ) {
        let now = clock::monotonic();
        let mut table = self.table();
        table.listed = Some(now);
        table.states.retain(|partition, state| state.is_own || ends.contains_key(partition));
        for (partition, end) in ends {
            let state = table.states.entry(*partition).or_default();
            let Some(end) = *end else { continue };
            let next = progress.and_then(|progress| progress.get(partition));
            match next {
                _ if state.is_own => {}
                Some(next) => state.moves_to(*next),
                // Beside progress of long ago a new end would tell too much.
                None if state.next.is_some() => continue,
                None => {}
            }
            state.ends.tell(end, asked, now);
            state.is_still = state.looked_at == state.next;
            state.looked_at = state.next;
        }
    }

    /// Where records wait, nothing moves, and nobody knows since when: positions whose first record would tell.
    pub fn wanted(&self) -> Vec<(PartitionId, Offset)> {
        let now = clock::monotonic();
        let wanted = |(partition, state): (&PartitionId, &State)| {
            let next = state.next?;
            let is_asked = state.first.is_some_and(|(at, _)| at == next);
            let is_wanted = state.is_still
                && !is_asked
                && state.lag(now).is_some_and(|lag| lag > 0)
                && state.waits_since().is_none();
            is_wanted.then_some((*partition, next))
        };
        self.table().states.iter().filter_map(wanted).collect()
    }

    /// The Kafka timestamp, if it has one, of the first record at `next` or behind it.
    pub fn first_came(&self, partition: PartitionId, next: Offset, came: Option<EventTime>) {
        if let Some(state) = self.table().states.get_mut(&partition) {
            state.first = Some((next, came));
        }
    }

    /// How many this instance reads.
    pub fn count(&self) -> usize {
        self.table().states.values().filter(|state| state.is_own).count()
    }

    /// How far each that this instance reads is committed, and what waits behind it.
    pub fn standing(&self) -> Vec<Standing> {
        let now = clock::monotonic();
        let standing = |(partition, state): (&PartitionId, &State)| {
            let next = state.next.filter(|_| state.is_own)?;
            Some(Standing { partition: *partition, next, lag: state.lag(now) })
        };
        self.table().states.iter().filter_map(standing).collect()
    }

    /// Records of the partitions that this instance reads that are not committed yet; `None` while that of one is not
    /// known, or while it reads none and nothing is known of the topic.
    pub fn lag(&self) -> Option<i64> {
        let now = clock::monotonic();
        let table = self.table();
        let mut own = table.states.values().filter(|state| state.is_own).peekable();
        if own.peek().is_none() && table.is_unknown(now) {
            return None;
        }
        own.map(|state| state.lag(now)).sum()
    }
}

impl Table {
    /// Whether the lag of some partition, or which there are, is not known.
    fn is_unknown(&self, now: Duration) -> bool {
        let is_listed = self.listed.is_some_and(|at| now.saturating_sub(at) <= KNOWN_FOR);
        !is_listed
            || self.states.is_empty()
            || self.states.values().any(|state| state.lag(now).is_none())
    }
}

impl Partitions {
    /// Its series, in their order.
    fn series(&self) -> [&dyn Collector; SERIES.len()] {
        [
            &self.lag_records,
            &self.lag_seconds,
            &self.next_offset,
            &self.watermark,
            &self.group_lag_records,
            &self.group_lag_seconds,
            &self.lag_unknown,
        ]
    }
}

impl Collector for Partitions {
    fn desc(&self) -> Vec<&Desc> {
        self.series().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (now, clock) = (clock::monotonic(), clock::now());
        let table = self.table();
        for gauges in [&self.lag_records, &self.next_offset, &self.group_lag_records] {
            gauges.reset();
        }
        for gauges in [&self.lag_seconds, &self.watermark, &self.group_lag_seconds] {
            gauges.reset();
        }
        for (partition, state) in &table.states {
            let label = &[partition.to_string()];
            let (records, age) = (state.lag(now), state.lag_seconds(now, clock));
            set(&self.group_lag_records, label, records);
            set_seconds(&self.group_lag_seconds, label, age);
            if state.is_own {
                set(&self.lag_records, label, records);
                set_seconds(&self.lag_seconds, label, age);
                set(&self.next_offset, label, state.next.map(|next| next.0));
                set_seconds(&self.watermark, label, state.watermark.map(seconds));
            }
        }
        self.lag_unknown.set(table.is_unknown(now).into());
        self.series().into_iter().flat_map(Collector::collect).collect()
    }
}

fn set(gauges: &IntGaugeVec, label: &[String; 1], value: Option<i64>) {
    if let Some(value) = value {
        gauges.with_label_values(label).set(value);
    }
}

fn set_seconds(gauges: &GaugeVec, label: &[String; 1], value: Option<f64>) {
    if let Some(value) = value {
        gauges.with_label_values(label).set(value);
    }
}

/// Seconds since 1970, as Prometheus has instants.
pub(crate) fn seconds(at: EventTime) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests;
