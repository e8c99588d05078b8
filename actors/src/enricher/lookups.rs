//! Counts looks at where visitors are: in an array for each hit, in metrics for each batch.

use hitstream_domain::geo::{GeoSource, GeoStatus};
use prometheus::IntCounterVec;

/// Who answered: the places of the label `provider`.
const PROVIDERS: [&str; 4] = ["none", "cache", "database", "ip2location"];
/// What came of it: `located`, then the statuses.
const OUTCOMES: usize = 1 + GeoStatus::ALL.len();

/// Who answered a look, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LookupOutcome {
    provider: usize,
    outcome: usize,
}

impl LookupOutcome {
    pub(super) fn located(source: GeoSource) -> Self {
        let provider = PROVIDERS.iter().position(|name| *name == source.as_str());
        Self { provider: provider.unwrap_or(0), outcome: 0 }
    }

    pub(super) fn unlocated(status: GeoStatus) -> Self {
        let at = GeoStatus::ALL.iter().position(|known| *known == status);
        Self { provider: 0, outcome: at.map_or(0, |at| at + 1) }
    }

    /// The same, found in the cache. That nobody knows is nobody's answer, also from there.
    pub(super) fn cached(self) -> Self {
        let provider = if self.outcome == 0 { 1 } else { self.provider };
        Self { provider, ..self }
    }
}

/// Looks since the last flush.
#[derive(Debug, Default)]
pub(super) struct Lookups([[u64; OUTCOMES]; PROVIDERS.len()]);

impl Lookups {
    /// Counts `hits` hits with this outcome.
    pub(super) fn add(&mut self, of: LookupOutcome, hits: u64) {
        let cell = self.0.get_mut(of.provider).and_then(|outcomes| outcomes.get_mut(of.outcome));
        if let Some(cell) = cell {
            *cell += hits;
        }
    }

    /// Adds them to the metric.
    pub(super) fn flush(&mut self, metric: &IntCounterVec) {
        for (provider, outcomes) in PROVIDERS.iter().zip(std::mem::take(&mut self.0)) {
            for (at, hits) in outcomes.into_iter().enumerate().filter(|(_, hits)| *hits > 0) {
                let status = at.checked_sub(1).and_then(|at| GeoStatus::ALL.get(at));
                let outcome = status.map_or("located", |status| status.as_str());
                metric.with_label_values(&[*provider, outcome]).inc_by(hits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn hits_are_counted_by_who_answered_and_what() {
        let (mut lookups, metrics) = (Lookups::default(), Metrics::new());
        lookups.add(LookupOutcome::located(GeoSource::Database), 2);
        lookups.add(LookupOutcome::located(GeoSource::Database).cached(), 3);
        lookups.add(LookupOutcome::unlocated(GeoStatus::Private).cached(), 5);
        lookups.flush(&metrics.geo_lookups);
        lookups.flush(&metrics.geo_lookups);
        for (labels, hits) in
            [(["database", "located"], 2), (["cache", "located"], 3), (["none", "private"], 5)]
        {
            assert_eq!(metrics.geo_lookups.with_label_values(&labels).get(), hits, "{labels:?}");
        }
    }
}
