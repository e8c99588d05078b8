//! The kinds of metrics, each made and registered from its name, help and labels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram as HistogramSample, Metric, MetricFamily, MetricType};
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds of durations and latencies, in seconds.
const SECONDS: [f64; 18] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
    1_800.0, 7_200.0,
];

/// A kind of metric.
pub(super) trait Kind: Collector + Clone + 'static {
    /// One of that kind.
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

macro_rules! kinds {
    ($($plain:ident)*; $($labelled:ident)*) => {
        $(impl Kind for $plain {
            fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
                Self::with_opts(Opts::new(name, help))
            }
        })*
        $(impl Kind for $labelled {
            fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
                Self::new(Opts::new(name, help), labels)
            }
        })*
    };
}

kinds!(IntCounter Counter IntGauge Gauge; IntCounterVec IntGaugeVec GaugeVec);

impl Kind for Histogram {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    }
}

impl Kind for HistogramVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
    }
}

impl Kind for MaybeGauge {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Ok(Self(IntGaugeVec::new(Opts::new(name, help), &[])?))
    }
}

impl Kind for BulkHistogram {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), Default::default())?;
        Ok(Self(Arc::new(BulkCells {
            desc,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_micros: AtomicU64::new(0),
        })))
    }
}

/// A gauge that is absent while its value is not known: a zero would be one.
#[derive(Clone, Debug)]
pub struct MaybeGauge(IntGaugeVec);

impl MaybeGauge {
    /// Tells the value, or that it is not known.
    pub fn set(&self, value: Option<i64>) {
        match value {
            Some(value) => self.0.with_label_values::<&str>(&[]).set(value),
            None => self.0.reset(),
        }
    }

    /// The value, where it is known.
    pub fn get(&self) -> Option<i64> {
        let families = self.0.collect();
        let known = families.first()?.get_metric().first()?;
        Some(known.get_gauge().get_value() as i64)
    }
}

impl Collector for MaybeGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

/// A histogram of durations that takes many equal ones at once: one atomic addition for a thousand records.
#[derive(Clone, Debug)]
pub struct BulkHistogram(Arc<BulkCells>);

#[derive(Debug)]
struct BulkCells {
    desc: Desc,
    /// Observations up to each bound, not cumulated, and behind the last.
    counts: [AtomicU64; SECONDS.len() + 1],
    sum_micros: AtomicU64,
}

impl BulkHistogram {
    /// Adds `count` observations of the same duration.
    pub fn observe(&self, duration: Duration, count: u64) {
        let seconds = duration.as_secs_f64();
        let at = SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(cell) = self.0.counts.get(at) {
            cell.fetch_add(count, Relaxed);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.sum_micros.fetch_add(micros.saturating_mul(count), Relaxed);
    }
}

impl Collector for BulkHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut cumulated = 0;
        let mut buckets = Vec::with_capacity(SECONDS.len());
        for (bound, cell) in SECONDS.iter().zip(&self.0.counts) {
            cumulated += cell.load(Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulated);
            buckets.push(bucket);
        }
        let behind = self.0.counts.last().map_or(0, |cell| cell.load(Relaxed));
        let mut sample = HistogramSample::default();
        sample.set_bucket(buckets);
        sample.set_sample_count(cumulated + behind);
        sample.set_sample_sum(self.0.sum_micros.load(Relaxed) as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(sample);
        let mut family = MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// One metric of this kind in the registry.
#[expect(
    clippy::expect_used,
    reason = "names and labels are constants, each registered once in a new registry"
)]
pub(super) fn registered<K: Kind>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> K {
    let metric = K::make(name, help, labels).expect("the name of a metric is valid");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};

    #[test]
    fn value_that_is_not_known_is_absent() {
        let registry = Registry::new();
        let gauge: MaybeGauge = registered(&registry, "g", "G.", &[]);
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert_eq!(text(), "");
        gauge.set(Some(0));
        assert!(text().ends_with("\ng 0\n"), "{}", text());
        gauge.set(None);
        assert_eq!(text(), "");
    }

    #[test]
    fn many_equal_observations_count_as_many() {
        let registry = Registry::new();
        let histogram: BulkHistogram = registered(&registry, "h_seconds", "H.", &[]);
        histogram.observe(Duration::from_millis(150), 1_000);
        histogram.observe(Duration::from_secs(100_000), 1);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "h_seconds_bucket{le=\"0.1\"} 0",
            "h_seconds_bucket{le=\"0.2\"} 1000",
            "h_seconds_bucket{le=\"7200\"} 1000",
            "h_seconds_bucket{le=\"+Inf\"} 1001",
            "h_seconds_sum 100150",
            "h_seconds_count 1001",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
