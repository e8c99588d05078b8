//! What a look at the frontier tells those who watch.

use std::time::Duration;

use hitstream_domain::time::EventTime;

use crate::clock;
use crate::metrics::{Metrics, seconds};
use crate::store::Survey;

/// Tells where the frontier is, who holds it there, and how far the furthest partition is.
pub(super) fn tell(metrics: &Metrics, survey: &Survey, delay: Duration) {
    tell_frontier(metrics, survey.frontier);
    let clocks = survey.partitions.iter().map(|(partition, _, clock)| (*partition, *clock));
    let newest = clocks.clone().filter_map(|(_, clock)| clock.max_event_time).max();
    if let Some(newest) = newest {
        metrics.newest_watermark.set(seconds(newest.minus(delay)));
    }
    metrics.frontier_holder.reset();
    let active = clocks.filter(|(_, clock)| !clock.is_idle(survey.now));
    let least = active.clone().map(|(_, clock)| clock.max_event_time).min();
    for (partition, clock) in active {
        if Some(clock.max_event_time) == least {
            metrics.frontier_holder.with_label_values(&[&partition.to_string()]).set(1);
        }
    }
}

/// Tells where the frontier is.
pub(super) fn tell_frontier(metrics: &Metrics, frontier: EventTime) {
    let at = seconds(frontier);
    if frontier > EventTime::NEG_INFINITY && at > metrics.frontier.get() {
        metrics.frontier.set(at);
        metrics.frontier_moved.set(seconds(clock::now()));
    }
}

#[cfg(test)]
mod tests {
    use hitstream_domain::frontier::PartitionClock;
    use hitstream_domain::progress::{Offset, PartitionId};

    use super::*;

    #[test]
    fn partitions_that_hold_the_frontier_are_named() {
        let at = |second: i64| EventTime::from_micros(second * 1_000_000);
        let partition = |number, max: Option<i64>, idle: Option<i64>| {
            let clock = PartitionClock { max_event_time: max.map(at), idle_until: idle.map(at) };
            (PartitionId(number), Offset(0), clock)
        };
        let survey = |partitions| Survey { frontier: at(40), now: at(1_000), partitions };
        let metrics = Metrics::new();
        let holders = || {
            let families = metrics.gather();
            let found = families.iter().find(|f| f.name() == "hitstream_frontier_holder");
            found.map_or(0, |family| family.get_metric().len())
        };
        let known = vec![partition(0, Some(100), None), partition(1, Some(50), None)];
        tell(&metrics, &survey(known), Duration::from_secs(10));
        assert_eq!((metrics.frontier.get(), metrics.newest_watermark.get()), (40.0, 90.0));
        assert_eq!((metrics.frontier_holder.with_label_values(&["1"]).get(), holders()), (1, 1));
        let idle = vec![partition(0, Some(100), None), partition(1, Some(50), Some(1_001))];
        tell(&metrics, &survey(idle), Duration::ZERO);
        assert_eq!((metrics.frontier_holder.with_label_values(&["0"]).get(), holders()), (1, 1));
    }
}
