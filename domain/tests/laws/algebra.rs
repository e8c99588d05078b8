//! Sums are a commutative monoid, and keys say exactly what they are made of.

use std::collections::BTreeMap;

use hitstream_domain::rollup::{Delta, KeyHasher, KeyParts, Tally, encode_key};
use hitstream_domain::time::EventTime;
use proptest::prelude::*;
use proptest::sample::select;

type Entry = (i64, &'static [u8], u64, u64);

/// Few windows and keys, so that most meet; some keys begin like others or are those in another order.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let keys: Vec<&[u8]> = vec![b"", b"a", b"ab", b"ba", b"a\0", b"\0a"];
    prop::collection::vec((-1..2_i64, select(keys), 0..5_u64, 0..5_u64), 0..20)
}

fn delta(hasher: &KeyHasher, entries: &[Entry]) -> Delta {
    let mut delta = Delta::new(hasher.clone());
    for &(start, key, on_time, late) in entries {
        delta.add(EventTime::from_micros(start), key, Tally { on_time, late });
    }
    delta
}

fn merged(a: &Delta, b: &Delta) -> Delta {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

fn rows(delta: &Delta) -> BTreeMap<(i64, Vec<u8>), (u64, u64)> {
    let row = |row: hitstream_domain::rollup::Row<'_>| {
        ((row.window_start.as_micros(), row.key.to_vec()), (row.tally.on_time, row.tally.late))
    };
    let rows: BTreeMap<_, _> = delta.rows().map(row).collect();
    assert_eq!((rows.len(), rows.is_empty()), (delta.len(), delta.is_empty()));
    assert!((0..delta.len()).map(|at| delta.row(at)).eq(delta.rows().map(Some)));
    rows
}

proptest! {
    #[test]
    fn deltas_are_a_commutative_monoid(a in entries(), b in entries(), c in entries()) {
        let hasher = KeyHasher::default();
        let [of_a, of_b, of_c] = [&a, &b, &c].map(|entries| delta(&hasher, entries));
        let nothing = Delta::new(hasher.clone());
        prop_assert_eq!(rows(&merged(&of_a, &of_b)), rows(&merged(&of_b, &of_a)));
        let left = merged(&merged(&of_a, &of_b), &of_c);
        prop_assert_eq!(rows(&left), rows(&merged(&of_a, &merged(&of_b, &of_c))));
        prop_assert_eq!(rows(&merged(&of_a, &nothing)), rows(&of_a));
        prop_assert_eq!(rows(&merged(&nothing, &of_a)), rows(&of_a));

        let mut sums = BTreeMap::<_, (u64, u64)>::new();
        for (start, key, on_time, late) in [a, b, c].concat() {
            let sum = sums.entry((start, key.to_vec())).or_default();
            *sum = (sum.0 + on_time, sum.1 + late);
        }
        prop_assert_eq!(rows(&left), sums);
    }

    /// A function with an inverse is injective.
    #[test]
    fn key_parts_are_the_inverse_of_encoding(
        parts in prop::collection::vec(prop::option::of("[\\x00-\\x03aé]{0,4}|.{250,260}"), 0..5),
        before in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let parts: Vec<Option<&str>> = parts.iter().map(Option::as_deref).collect();
        let mut encoded = before.clone();
        encode_key(parts.iter().copied(), &mut encoded);
        prop_assert!(encoded.starts_with(&before), "encoding appends");
        let read: Vec<_> = KeyParts::new(&encoded[before.len()..]).collect();
        prop_assert_eq!(read, parts);
    }

    #[test]
    fn reading_what_is_no_key_ends_without_a_panic(bytes in prop::collection::vec(0..6_u8, 0..40)) {
        prop_assert!(KeyParts::new(&bytes).count() <= bytes.len() / 4);
    }
}
