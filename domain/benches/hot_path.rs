//! The hot path as a `PartitionConsumer` walks it, from a record's value to its sum, and the merge of sums after it.
//! Throughput is in hits and in rows per second.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "benchmarks and their helpers may")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hitstream_domain::decode::Decoder;
use hitstream_domain::rollup::{Delta, KeyHasher, Presum, Tally, encode_key};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::{TimeRules, Watermark};
use hitstream_domain::window::WindowSpec;

const KEYS: [(&str, usize); 3] =
    [("1k keys", 1_000), ("100k keys", 100_000), ("1M keys", 1_000_000)];
const SHARDS: usize = 2;
/// 2023-11-14T22:15:00Z, where a window starts.
const START_SECONDS: usize = 1_700_000_100;

/// Values of about 230 bytes, of which each has a key of its own, one after another in one buffer: a million vectors
/// would measure the allocator's memory.
struct Values {
    bytes: String,
    ends: Vec<usize>,
}

impl Values {
    fn new(keys: usize) -> Self {
        let (mut bytes, mut ends) = (String::new(), Vec::with_capacity(keys));
        for n in 0..keys {
            // Neighbours in a topic are not neighbours in a table.
            let key = n * 7_919 % keys;
            write!(
                bytes,
                r#"{{"url":"/presentations/{n}/kibana-search.png","referrer":"http://semicomplete.com/presentations/{}/","user_agent":"Mozilla/5.0 (Macintosh) Chrome/32.0","host":"www{}.semicomplete.com","ip":"83.149.9.216","event_time":{}}}"#,
                key / 100,
                key % 100,
                START_SECONDS + n % 300
            )
            .unwrap();
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let value = self.bytes.as_bytes().get(start..end);
            start = end;
            value
        })
    }
}

fn rules(slide: u64) -> TimeRules {
    TimeRules {
        window: WindowSpec::new(Duration::from_secs(300), Duration::from_secs(slide)).unwrap(),
        delay: Duration::from_secs(300),
        max_future_skew: Duration::from_secs(300),
    }
}

/// All keys are known after the first round, as they are within an epoch.
fn record_to_sum(c: &mut Criterion) {
    let mut group = c.benchmark_group("record to sum");
    group.sample_size(10);
    for (name, keys) in KEYS {
        let values = Values::new(keys);
        group.throughput(Throughput::Elements(keys as u64));
        for (windows, rules) in [("tumbling", rules(300)), ("sliding by a fifth", rules(60))] {
            if windows != "tumbling" && keys != 1_000 {
                continue; // five million rows measure the machine's memory
            }
            let now = EventTime::from_micros(START_SECONDS as i64 * 1_000_000);
            let mut decoder = Decoder::default();
            let mut watermark = Watermark::new(None, rules.delay);
            let mut sums = Presum::new(KeyHasher::default(), SHARDS);
            group.bench_function(BenchmarkId::new(windows, name), |b| {
                b.iter(|| {
                    for value in values.iter() {
                        let event = decoder.decode(Some(value)).unwrap();
                        rules.check_skew(event.event_time, Some(event.event_time), now).unwrap();
                        let placement = watermark.place(event.event_time, &rules.window);
                        black_box(sums.add(event.host, [event.referrer], placement));
                    }
                });
            });
        }
    }
    group.finish();
}

fn delta(hasher: &KeyHasher, keys: usize) -> Delta {
    let mut delta = Delta::new(hasher.clone());
    let mut key = Vec::new();
    for n in 0..keys {
        key.clear();
        let host = format!("www{}.semicomplete.com", n % 100);
        let referrer = format!("http://semicomplete.com/presentations/{}/", n / 100);
        encode_key([Some(&*host), Some(&*referrer)], &mut key);
        delta.add(EventTime::from_micros(0), &key, Tally::one(false));
    }
    delta
}

/// One consumer's sums into a shard that knows their keys already, and into one that knows none.
fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    group.sample_size(10);
    for (name, keys) in KEYS {
        let hasher = KeyHasher::default();
        let part = delta(&hasher, keys);
        group.throughput(Throughput::Elements(keys as u64));
        let mut known = part.clone();
        group.bench_function(BenchmarkId::new("known", name), |b| {
            b.iter(|| known.merge(black_box(&part)));
        });
        group.bench_function(BenchmarkId::new("new", name), |b| {
            b.iter(|| {
                let mut sums = Delta::new(hasher.clone());
                sums.merge(black_box(&part));
                sums
            });
        });
    }
    group.finish();
}

criterion_group!(benches, record_to_sum, merge);
criterion_main!(benches);
