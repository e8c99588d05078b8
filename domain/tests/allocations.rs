//! The hot path allocates nothing in its steady state. In a binary of its own: the allocator counts.

#![allow(clippy::unwrap_used, reason = "tests and their helpers may")]
#![allow(
    unsafe_code,
    reason = "a global allocator is unsafe by its trait; this one only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use hitstream_domain::decode::Decoder;
use hitstream_domain::geo::address;
use hitstream_domain::privacy::{IpPrivacy, Privacy};
use hitstream_domain::rollup::{KeyHasher, Presum};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::{TimeRules, Watermark};
use hitstream_domain::window::WindowSpec;

struct Counting;

thread_local! {
    // Per thread, so that the test harness's own threads do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Well-formed hits of many shapes; their keys repeat, as in a steady state. None nests two levels: serde_json's stack
/// for skipping these allocates.
fn hits() -> Vec<Vec<u8>> {
    let agent =
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko)";
    let headers = r#""{\"method\":\"GET\",\"status\":200}""#;
    let mut hits = Vec::new();
    for n in 0..10 {
        for line in [
            format!(
                r#"{{"url":"/p/{n}","referrer":"https://r{n}.example/","user_agent":"{agent}","host":"h{n}.example","ip":"192.0.2.{n}","headers":{headers},"event_time":"2024-12-29T12:0{n}:00.000Z"}}"#
            ),
            format!(
                r#"{{"event_time":"2024-12-29 12:0{n}:00","host":"h{n}.example","referrer":null}}"#
            ),
            format!(
                r#"{{ "event_time" : 173547360{n}.25, "host" : {n}, "headers" : {{"a": "b", "c": 1}} }}"#
            ),
            format!(
                r#"{{"event_time":"2024-12-29T12:0{n}:00\u002B05:30","host":"b\u00fccher{n}","referrer":"https:\/\/r.example\/{n}"}}"#
            ),
            format!(
                r#"{{"event_time":"2024-12-29","host":{{"id": {n}}},"referrer":["a", "b"],"user_agent":"x\u0000y","other":true}}"#
            ),
        ] {
            hits.push(line.into_bytes());
        }
        hits.push(
            [br#"{"event_time":"1735473600123","host":"a"#, &[0xff, b'0' + n][..], br#""}"#]
                .concat(),
        );
    }
    hits
}

#[test]
fn decoding_a_million_hits_allocates_nothing() {
    let hits = hits();
    let mut decoder = Decoder::default();
    let mut decode_all = || {
        for hit in &hits {
            black_box(decoder.decode(Some(hit)).unwrap());
        }
    };
    decode_all(); // Lets the buffers grow.
    let rounds = 1_000_000_usize.div_ceil(hits.len());
    assert_eq!(allocations_of(|| (0..rounds).for_each(|_| decode_all())), 0);
    assert_ne!(allocations_of(|| drop(black_box(String::from("counted")))), 0);
}

/// Everything between a record and its delta, as a `PartitionConsumer` does it.
fn summing_a_million_hits_allocates(size: u64, slide: u64, delay: u64, shards: usize) -> u64 {
    let rules = TimeRules {
        window: WindowSpec::new(Duration::from_secs(size), Duration::from_secs(slide)).unwrap(),
        delay: Duration::from_secs(delay),
        max_future_skew: Duration::from_secs(300),
    };
    let now = EventTime::parse("2024-12-30").unwrap();
    let hits = hits();
    let mut decoder = Decoder::default();
    let mut watermark = Watermark::new(None, rules.delay);
    let mut sums = Presum::new(KeyHasher::default(), shards);
    let (mut on_time, mut late) = (0, 0);
    let mut sum_all = || {
        for hit in &hits {
            let event = decoder.decode(Some(hit)).unwrap();
            rules.check_skew(event.event_time, Some(event.event_time), now).unwrap();
            let placement = watermark.place(event.event_time, &rules.window);
            let pairs = sums.add(event.host, [event.referrer], placement);
            on_time += pairs.on_time;
            late += pairs.late;
        }
    };
    sum_all(); // Lets the buffers grow and the keys become known.
    let rounds = 1_000_000_usize.div_ceil(hits.len());
    let allocations = allocations_of(|| (0..rounds).for_each(|_| sum_all()));
    assert!(on_time > 0 && late > 0 && sums.len() > 30);
    assert_eq!(sums.take().iter().filter(|delta| !delta.is_empty()).count(), shards);
    allocations
}

#[test]
fn summing_a_million_hits_of_known_keys_allocates_nothing() {
    assert_eq!(summing_a_million_hits_allocates(60, 60, 60, 4), 0);
}

#[test]
fn summing_a_million_hits_in_sliding_windows_allocates_nothing() {
    assert_eq!(summing_a_million_hits_allocates(300, 120, 60, 4), 0);
}

#[test]
fn what_privacy_need_not_change_allocates_nothing() {
    let headers =
        r#"{"Accept": ["text/html", "*/*"], "X-Forwarded-Proto": "https", "Via": "1.1 a, 1.1 b"}"#;
    let privacy = Privacy { ip: IpPrivacy::Truncate, strip_query: true, client_header: None };
    let keep_all = || {
        assert!(black_box(privacy.headers(headers)).is_some());
        assert!(black_box(privacy.ip("203.0.113.0", None)).is_some());
        assert_eq!(black_box(privacy.url("/search?q")), "/search");
        assert!(black_box(address("[2a00:1450:4001::8a%1]:443")).is_ok());
    };
    assert_eq!(allocations_of(keep_all), 0);
}
