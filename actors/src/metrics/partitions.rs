//! Where each partition of the topic stands: those that this instance reads by its own knowledge, the others as they were
//! looked at last ([`crate::lag`]). Told when somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use super::ends::{Ends, KNOWN_FOR};
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

#[derive(Clone, Debug, Default)]
struct State {
    /// Whether this instance reads it.
    is_own: bool,
    /// The next offset as committed; `None` where it is not in the tables.
    next: Option<Offset>,
    /// The next offset at the last look, and whether it was the same at the one before.
    looked_at: Option<Offset>,
    is_still: bool,
    ends: Ends,
    /// The end as the client has it from what it fetched, and when that last rose, on the monotonic clock.
    fetched: Option<(Offset, Duration)>,
    /// The Kafka timestamp of the last committed record, where this instance committed it.
    last: Option<EventTime>,
    /// The Kafka timestamp, if it has one, of the first record at an offset or behind it, where somebody looked.
    first: Option<(Offset, Option<EventTime>)>,
    watermark: Option<EventTime>,
}

impl State {
    /// Records that are not committed; `None` while that is not known.
    fn lag(&self, now: Duration) -> Option<i64> {
        let fetched = self.fetched.filter(|(_, rose)| now.saturating_sub(*rose) <= KNOWN_FOR);
        // What was fetched may be newer. It has transactions in it that are open, of which an answer does not tell.
        let end = self.ends.known(now).max(fetched.map(|(end, _)| end))?;
        let next = self.next?;
        match end.0.saturating_sub(next.0) {
            // Brokers are asked after the tables: that is the end of another topic. What this instance has committed may
            // be news to its own knowledge of the end.
            ..0 if !self.is_own => None,
            lag => Some(lag.max(0)),
        }
    }

    /// A time before which no record came that is not committed, the latest that is known.
    fn waits_since(&self) -> Option<EventTime> {
        let next = self.next?;
        let first = self.first.filter(|(at, _)| *at == next).and_then(|(_, came)| came);
        self.last.max(self.ends.came_after(next)).max(first)
    }

    /// Seconds since the first record came that is not committed, or a little more; 0 without any, `None` while that is
    /// not known.
    fn lag_seconds(&self, now: Duration, clock: EventTime) -> Option<f64> {
        match self.lag(now)? {
            0 => Some(0.0),
            _ => self.waits_since().map(|since| (seconds(clock) - seconds(since)).max(0.0)),
        }
    }

    fn moves_to(&mut self, next: Offset) {
        if self.next != Some(next) {
            (self.next, self.last) = (Some(next), None);
        }
    }
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
        help: "Records in Kafka that nobody has committed yet, of every partition of the topic, whoever reads it or nobody: every instance tells the same, those of others as looked at every 5 s. Absent while that is not known.",
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

impl Collector for Partitions {
    fn desc(&self) -> Vec<&Desc> {
        let mut desc = self.lag_records.desc();
        desc.extend(self.lag_seconds.desc());
        desc.extend(self.next_offset.desc());
        desc.extend(self.watermark.desc());
        desc.extend(self.group_lag_records.desc());
        desc.extend(self.group_lag_seconds.desc());
        desc.extend(self.lag_unknown.desc());
        desc
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
        let mut families = self.lag_records.collect();
        families.extend(self.lag_seconds.collect());
        families.extend(self.next_offset.collect());
        families.extend(self.watermark.collect());
        families.extend(self.group_lag_records.collect());
        families.extend(self.group_lag_seconds.collect());
        families.extend(self.lag_unknown.collect());
        families
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
mod tests {
    use super::super::Metrics;
    use super::*;

    const ZERO: PartitionId = PartitionId(0);

    fn ago(seconds: i64) -> EventTime {
        EventTime::from_micros(clock::now().as_micros() - seconds * 1_000_000)
    }

    fn by_number<T: Copy>(of: &[(i32, T)]) -> BTreeMap<PartitionId, T> {
        of.iter().map(|(number, what)| (PartitionId(*number), *what)).collect()
    }

    /// A look whose answers are of now.
    fn look(metrics: &Metrics, progress: &[(i32, i64)], ends: &[(i32, i64)]) {
        look_at(metrics, progress, ends, ago(0));
    }

    fn look_at(metrics: &Metrics, progress: &[(i32, i64)], ends: &[(i32, i64)], asked: EventTime) {
        let progress: Vec<_> = progress.iter().map(|(at, next)| (*at, Offset(*next))).collect();
        let ends: Vec<_> = ends.iter().map(|(at, end)| (*at, Some(Offset(*end)))).collect();
        metrics.partitions.looked(Some(&by_number(&progress)), asked, &by_number(&ends));
    }

    /// The samples of a family as they are scraped, by partition.
    fn scraped(metrics: &Metrics, family: &str) -> Vec<(String, f64)> {
        let families = metrics.gather();
        let found = families.iter().filter(|found| found.name() == family);
        let sample = |metric: &prometheus::proto::Metric| {
            let label = metric.get_label().first().map(|label| label.value().to_owned());
            (label.unwrap_or_default(), metric.get_gauge().get_value())
        };
        found.flat_map(|family| family.get_metric().iter().map(sample)).collect()
    }

    fn records(metrics: &Metrics, whose: &str) -> Vec<(String, f64)> {
        scraped(metrics, &format!("hitstream_{whose}_lag_records"))
    }

    /// The lag of the first partition in time.
    fn age(metrics: &Metrics) -> Option<f64> {
        let samples = scraped(metrics, "hitstream_group_lag_seconds");
        samples.iter().find(|(partition, _)| partition == "0").map(|(_, value)| value.round())
    }

    fn is_unknown(metrics: &Metrics) -> bool {
        scraped(metrics, "hitstream_lag_unknown") == [(String::new(), 1.0)]
    }

    #[test]
    fn lag_that_is_not_known_is_absent_and_never_zero() {
        let metrics = Metrics::new();
        assert!(is_unknown(&metrics) && records(&metrics, "group").is_empty());
        assert_eq!(metrics.partitions.lag(), None);
        metrics.partitions.begin(ZERO, Offset(5), None);
        assert!(is_unknown(&metrics), "nobody has told where it ends");
        assert!(records(&metrics, "partition").is_empty() && records(&metrics, "group").is_empty());
        assert_eq!((metrics.partitions.lag(), age(&metrics)), (None, None));
        look(&metrics, &[], &[(0, 8)]);
        assert!(!is_unknown(&metrics));
        assert_eq!(records(&metrics, "partition"), [("0".to_owned(), 3.0)]);
        assert_eq!(metrics.partitions.lag(), Some(3));
        // Another one is there, and nobody has told how far it is committed.
        look(&metrics, &[], &[(0, 8), (1, 4)]);
        assert!(is_unknown(&metrics));
        assert_eq!(records(&metrics, "group"), [("0".to_owned(), 3.0)]);
    }

    #[test]
    fn partitions_that_others_read_or_nobody_are_told_as_they_were_looked_at() {
        let metrics = Metrics::new();
        look(&metrics, &[(0, 5), (1, 2)], &[(0, 5), (1, 9)]);
        metrics.partitions.begin(ZERO, Offset(5), None);
        assert_eq!(records(&metrics, "partition"), [("0".to_owned(), 0.0)]);
        let group = [("0".to_owned(), 0.0), ("1".to_owned(), 7.0)];
        assert_eq!(records(&metrics, "group"), group);
        // Its own it knows itself; the end of the other tells nothing without its progress.
        let ends = by_number(&[(0, Some(Offset(6))), (1, Some(Offset(99)))]);
        metrics.partitions.looked(None, ago(0), &ends);
        metrics.partitions.committed(ZERO, Offset(6), None, None);
        assert_eq!(records(&metrics, "group"), group);
        assert_eq!(metrics.partitions.count(), 1);
        metrics.partitions.clear();
        assert!(
            records(&metrics, "partition").is_empty() && metrics.partitions.standing().is_empty()
        );
        assert_eq!(records(&metrics, "group"), group, "what is known of the topic stays");
    }

    #[test]
    fn end_before_the_progress_is_another_topics() {
        let metrics = Metrics::new();
        look(&metrics, &[(0, 50)], &[(0, 3)]);
        assert!(is_unknown(&metrics) && records(&metrics, "group").is_empty());
        metrics.partitions.begin(ZERO, Offset(0), None);
        assert_eq!(records(&metrics, "partition"), [("0".to_owned(), 3.0)]);
    }

    #[test]
    fn client_that_repeats_an_old_end_tells_nothing() {
        let metrics = Metrics::new();
        look(&metrics, &[(0, 0)], &[(0, 3)]);
        metrics.partitions.begin(ZERO, Offset(0), None);
        metrics.partitions.ends(ZERO, Offset(3));
        let rose = metrics.partitions.table().states[&ZERO].fetched;
        metrics.partitions.ends(ZERO, Offset(3));
        assert_eq!(metrics.partitions.table().states[&ZERO].fetched, rose);
        let late = clock::monotonic() + KNOWN_FOR + Duration::from_millis(1);
        assert_eq!(metrics.partitions.table().states[&ZERO].lag(late), None);
        assert!(metrics.partitions.table().is_unknown(late));
    }

    #[test]
    fn open_transaction_is_waited_for() {
        let metrics = Metrics::new();
        metrics.partitions.begin(ZERO, Offset(5), None);
        metrics.partitions.ends(ZERO, Offset(8));
        look(&metrics, &[], &[(0, 5)]);
        assert_eq!(records(&metrics, "partition"), [("0".to_owned(), 3.0)]);
    }

    #[test]
    fn age_is_that_of_what_was_committed_last_while_more_waits() {
        let metrics = Metrics::new();
        look_at(&metrics, &[(0, 0)], &[(0, 9)], ago(200));
        metrics.partitions.begin(ZERO, Offset(0), None);
        assert_eq!(age(&metrics), None, "it is older than all that is known");
        metrics.partitions.committed(ZERO, Offset(4), Some(ago(3_600)), None);
        assert_eq!(age(&metrics), Some(3_600.0));
        metrics.partitions.committed(ZERO, Offset(9), Some(ago(3_500)), None);
        assert_eq!(age(&metrics), Some(0.0));
        // What was committed last is old, but that all was committed is known of a minute ago.
        look_at(&metrics, &[], &[(0, 9)], ago(60));
        look_at(&metrics, &[], &[(0, 10)], ago(0));
        assert_eq!(age(&metrics), Some(60.0));
    }

    #[test]
    fn age_goes_on_from_one_generation_and_one_owner_to_the_next() {
        let metrics = Metrics::new();
        look_at(&metrics, &[(0, 9)], &[(0, 9)], ago(100));
        metrics.partitions.begin(ZERO, Offset(9), None);
        look_at(&metrics, &[], &[(0, 12)], ago(90));
        metrics.partitions.clear();
        metrics.partitions.begin(ZERO, Offset(9), None);
        assert_eq!(age(&metrics), Some(100.0));
        metrics.partitions.end(ZERO);
        look(&metrics, &[(0, 9)], &[(0, 20)]);
        assert_eq!(age(&metrics), Some(100.0));
        look(&metrics, &[(0, 12)], &[(0, 20)]);
        assert_eq!(age(&metrics), Some(90.0), "somebody else goes on");
    }

    #[test]
    fn first_record_is_asked_for_where_nothing_else_tells_its_age() {
        let metrics = Metrics::new();
        look(&metrics, &[(0, 5), (1, 7)], &[(0, 8), (1, 7)]);
        assert!(metrics.partitions.wanted().is_empty(), "it may be moving");
        look(&metrics, &[(0, 5), (1, 7)], &[(0, 8), (1, 9)]);
        assert_eq!(metrics.partitions.wanted(), [(ZERO, Offset(5))], "of 1 the look before tells");
        metrics.partitions.first_came(ZERO, Offset(5), Some(ago(7_200)));
        assert_eq!((metrics.partitions.wanted(), age(&metrics)), (vec![], Some(7_200.0)));
        look(&metrics, &[(0, 6), (1, 7)], &[(0, 8), (1, 9)]);
        assert_eq!(age(&metrics), None, "that was another record");
        look(&metrics, &[(0, 6), (1, 7)], &[(0, 8), (1, 9)]);
        assert_eq!(metrics.partitions.wanted(), [(ZERO, Offset(6))]);
        metrics.partitions.first_came(ZERO, Offset(6), None);
        assert!(metrics.partitions.wanted().is_empty(), "it has no timestamp");
    }
}
