//! What a scrape says of the partitions, after this or that was told of them.

use super::*;
use crate::metrics::Metrics;

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
    assert!(records(&metrics, "partition").is_empty() && metrics.partitions.standing().is_empty());
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
