//! Where each partition that this instance reads stands, looked at when somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::time::EventTime;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};

use super::kinds::Kind;
use super::reference::Described;
use crate::clock;
use crate::stall::Standing;

/// The partitions of this instance. All clones are one.
#[derive(Clone, Debug)]
pub struct Partitions {
    states: Arc<Mutex<BTreeMap<PartitionId, State>>>,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    next_offset: IntGaugeVec,
    watermark: GaugeVec,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// The next offset as committed.
    next: Offset,
    /// The end, as the brokers told it last with what they sent.
    end: Option<Offset>,
    /// The Kafka timestamp of the last committed record; before there is one, when reading began.
    last: Option<EventTime>,
    watermark: Option<EventTime>,
}

impl State {
    fn lag(&self) -> i64 {
        self.end.map_or(0, |end| (end.0 - self.next.0).max(0))
    }

    /// Seconds since the last committed record came to Kafka, while there are others behind it.
    fn lag_seconds(&self, now: EventTime) -> f64 {
        match self.last {
            Some(last) if self.lag() > 0 => (seconds(now) - seconds(last)).max(0.0),
            _ => 0.0,
        }
    }
}

/// The series, in the order in which they are made.
pub(super) const SERIES: [Described; 4] = [
    Described {
        name: "hitstream_partition_lag_records",
        kind: "IntGaugeVec",
        labels: &["partition"],
        help: "Records in Kafka that are not committed yet, of each partition that this instance reads.",
    },
    Described {
        name: "hitstream_partition_lag_seconds",
        kind: "GaugeVec",
        labels: &["partition"],
        help: "Time since the last committed record came to Kafka, while others wait behind it; else 0.",
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
];

impl Kind for Partitions {
    fn make(_: &str, _: &str, _: &[&str]) -> prometheus::Result<Self> {
        let [records, lag, next, watermark] = SERIES;
        let opts = |of: &Described| Opts::new(of.name, of.help);
        Ok(Self {
            states: Arc::default(),
            lag_records: IntGaugeVec::new(opts(&records), records.labels)?,
            lag_seconds: GaugeVec::new(opts(&lag), lag.labels)?,
            next_offset: IntGaugeVec::new(opts(&next), next.labels)?,
            watermark: GaugeVec::new(opts(&watermark), watermark.labels)?,
        })
    }
}

impl Partitions {
    fn states(&self) -> MutexGuard<'_, BTreeMap<PartitionId, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is read from here on.
    pub fn begin(&self, partition: PartitionId, next: Offset, watermark: Option<EventTime>) {
        let state = State { next, end: None, last: Some(clock::now()), watermark };
        self.states().insert(partition, state);
    }

    /// The brokers tell where a partition ends.
    pub fn ends(&self, partition: PartitionId, end: Offset) {
        if let Some(state) = self.states().get_mut(&partition) {
            state.end = Some(end);
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
        if let Some(state) = self.states().get_mut(&partition) {
            *state = State {
                next,
                last: last.or(state.last),
                watermark: watermark.or(state.watermark),
                ..*state
            };
        }
    }

    /// A partition is let go.
    pub fn end(&self, partition: PartitionId) {
        self.states().remove(&partition);
    }

    /// None is read any more: a generation ends.
    pub fn clear(&self) {
        self.states().clear();
    }

    /// How many are read.
    pub fn count(&self) -> usize {
        self.states().len()
    }

    /// How far each is committed, and what waits behind it.
    pub fn standing(&self) -> Vec<Standing> {
        let standing = |(partition, state): (&PartitionId, &State)| Standing {
            partition: *partition,
            next: state.next,
            lag: state.end.map(|_| state.lag()),
        };
        self.states().iter().map(standing).collect()
    }

    /// Records of all partitions that are not committed yet.
    pub fn lag(&self) -> i64 {
        self.states().values().map(State::lag).sum()
    }
}

impl Collector for Partitions {
    fn desc(&self) -> Vec<&Desc> {
        let Self { lag_records, lag_seconds, next_offset, watermark, .. } = self;
        let mut desc = lag_records.desc();
        desc.extend(lag_seconds.desc());
        desc.extend(next_offset.desc());
        desc.extend(watermark.desc());
        desc
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Self { lag_records, lag_seconds, next_offset, watermark, .. } = self;
        let (states, now) = (self.states(), clock::now());
        lag_records.reset();
        lag_seconds.reset();
        next_offset.reset();
        watermark.reset();
        for (partition, state) in &*states {
            let label = &[partition.to_string()];
            lag_records.with_label_values(label).set(state.lag());
            lag_seconds.with_label_values(label).set(state.lag_seconds(now));
            next_offset.with_label_values(label).set(state.next.0);
            if let Some(at) = state.watermark {
                watermark.with_label_values(label).set(seconds(at));
            }
        }
        let mut families = lag_records.collect();
        families.extend(lag_seconds.collect());
        families.extend(next_offset.collect());
        families.extend(watermark.collect());
        families
    }
}

/// Seconds since 1970, as Prometheus has instants.
pub(crate) fn seconds(at: EventTime) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_in_seconds_is_the_age_of_what_was_committed_last_while_more_waits() {
        let at = |second: i64| EventTime::from_micros(second * 1_000_000);
        let state =
            State { next: Offset(5), end: Some(Offset(5)), last: Some(at(10)), watermark: None };
        assert_eq!((state.lag(), state.lag_seconds(at(17))), (0, 0.0));
        let behind = State { end: Some(Offset(8)), ..state };
        assert_eq!((behind.lag(), behind.lag_seconds(at(17))), (3, 7.0));
    }
}
