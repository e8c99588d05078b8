//! Windows, the frontier, and times as they are decoded.

use std::time::Duration;

use hitstream_domain::decode::Decoder;
use hitstream_domain::frontier::{PartitionClock, frontier};
use hitstream_domain::time::EventTime;
use hitstream_domain::window::{Window, WindowSpec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::model::{Rules, window_starts};

/// Partitions that differ by little, and the instants that claims are compared with.
fn clocks() -> impl Strategy<Value = Vec<PartitionClock>> {
    let clock = (prop::option::of(0..20_i64), prop::option::of(0..5_i64));
    prop::collection::vec(clock, 0..5).prop_map(|clocks| {
        let clock = |(max, until): (Option<i64>, Option<i64>)| PartitionClock {
            max_event_time: max.map(EventTime::from_micros),
            idle_until: until.map(EventTime::from_micros),
        };
        clocks.into_iter().map(clock).collect()
    })
}

/// DESIGN section 3, word by word.
fn naive_frontier(clocks: &[PartitionClock], delay: i64, now: Option<i64>) -> Option<i64> {
    let is_idle = |clock: &PartitionClock| {
        clock.idle_until.is_some_and(|until| now.is_some_and(|now| now < until.as_micros()))
    };
    let all_idle = clocks.iter().all(is_idle);
    let mut watermarks: Vec<Option<i64>> = clocks
        .iter()
        .filter(|clock| all_idle || !is_idle(clock))
        .map(|clock| clock.max_event_time.map(|max| max.as_micros() - delay))
        .collect();
    watermarks.sort_unstable(); // none is −infinity
    let wanted = if all_idle { watermarks.last() } else { watermarks.first() };
    wanted.copied().flatten()
}

fn micros(t: i64) -> Duration {
    Duration::from_micros(t.unsigned_abs())
}

proptest! {
    #[test]
    fn hit_is_in_every_window_that_holds_it(
        (slide, size) in (1..50_i64).prop_flat_map(|size| (1..=size, Just(size))),
        t in prop_oneof![-500..500_i64, any::<i32>().prop_map(i64::from)],
    ) {
        let spec = WindowSpec::new(micros(size), micros(slide)).unwrap();
        let expected = window_starts(t, &Rules { size, slide, delay: 0, skew: 0, now: 0 });
        let expected: Vec<_> = expected
            .into_iter()
            .map(|start| Window {
                start: EventTime::from_micros(start),
                end: EventTime::from_micros(start + size),
            })
            .collect();
        prop_assert_eq!(spec.windows_of(EventTime::from_micros(t)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn frontier_is_the_least_watermark_not_idle_or_else_the_greatest(
        clocks in clocks(),
        delay in 0..5_i64,
        now in prop::option::of(0..5_i64),
    ) {
        let found = frontier(&clocks, micros(delay), now.map(EventTime::from_micros));
        let expected = naive_frontier(&clocks, delay, now).map(EventTime::from_micros);
        prop_assert_eq!(found, expected.unwrap_or(EventTime::NEG_INFINITY));
        let reversed: Vec<_> = clocks.into_iter().rev().collect();
        prop_assert_eq!(frontier(&reversed, micros(delay), now.map(EventTime::from_micros)), found);
    }

    #[test]
    fn frontier_never_goes_back_while_watermarks_grow(
        before in clocks(),
        growth in prop::collection::vec(prop::option::of(0..20_i64), 5),
        delay in 0..5_i64,
        now in prop::option::of(0..5_i64),
    ) {
        let grown = before.iter().zip(growth).map(|(clock, max)| PartitionClock {
            max_event_time: clock.max_event_time.max(max.map(EventTime::from_micros)),
            ..*clock
        });
        let grown: Vec<_> = grown.collect();
        let at = |clocks: &[PartitionClock]| {
            frontier(clocks, micros(delay), now.map(EventTime::from_micros))
        };
        prop_assert!(at(&before) <= at(&grown));
    }

    #[test]
    fn whatever_is_decoded_can_be_stored(
        garbage in prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..100)),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..6),
    ) {
        let hit = br#"{"event_time":"1700000000.5","host":"h\u00e9\ud83c\udf89","referrer":"\/","url":{"a":[1,null]},
            "user_agent":"\u0000","ip":"192.0.2.1","headers":"{\"a\":\"\\u0000\"}","x":[[[{}]]]}"#;
        let mut value = garbage.unwrap_or_else(|| hit.to_vec());
        for (at, byte, kind) in changes {
            let at = at.index(value.len() + 1);
            match kind {
                0 => value.insert(at, byte),
                1 => value.truncate(at.max(value.len() / 2)),
                2 if at < value.len() => drop(value.remove(at)),
                _ => value.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        let mut decoder = Decoder::default();
        match decoder.decode(Some(&value)) {
            Ok(event) => {
                // 2200-12-31 is the last day.
                prop_assert!((0..7_289_654_400_000_000).contains(&event.event_time.as_micros()));
                for text in [event.host, event.referrer].into_iter().flatten() {
                    prop_assert!(!text.contains('\0'));
                }
                for text in [event.url, event.user_agent, event.ip, event.headers].into_iter().flatten() {
                    prop_assert!(!text.to_str().contains('\0'));
                }
            }
            Err(reject) => prop_assert!(!reject.detail.contains('\0')),
        }
    }

    #[test]
    fn watermark_of_a_restarted_reader_is_that_of_one_that_never_stopped(
        times in prop::collection::vec(select((-50..50_i64).collect::<Vec<_>>()), 1..20),
        stop in any::<Index>(),
        delay in 0..20_i64,
    ) {
        use hitstream_domain::watermark::Watermark;
        let windows = WindowSpec::new(micros(10), micros(4)).unwrap();
        let places = |watermark: &mut Watermark, times: &[i64]| -> Vec<(Window, bool)> {
            let place = |t: &i64| watermark.place(EventTime::from_micros(*t), &windows);
            times.iter().flat_map(place).collect()
        };
        let (before, after) = times.split_at(stop.index(times.len()));
        let mut steady = Watermark::new(None, micros(delay));
        let mut stopped = steady;
        let all = places(&mut steady, &times);
        let mut pieces = places(&mut stopped, before);
        let mut resumed = Watermark::new(stopped.max_event_time(), micros(delay));
        pieces.extend(places(&mut resumed, after));
        prop_assert_eq!(pieces, all);
        prop_assert_eq!(resumed, steady);
    }
}

#[test]
fn frontier_without_partitions_is_the_beginning_of_time() {
    assert_eq!(frontier(&[], Duration::ZERO, None), EventTime::NEG_INFINITY);
}
