//! Laws: what holds for every input and every schedule, judged by a naive model.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests and their helpers may")]

mod algebra;
mod instance;
mod model;
mod schedule;
mod store;
mod time;
mod topic;

use proptest::prelude::*;

use crate::model::{added, outcome, total};
use crate::schedule::{case, run};

proptest! {
    // A failing case is a long schedule: a thousand tries make it short enough to read.
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 1_000, ..ProptestConfig::default() })]

    /// DESIGN section 3: counts are a pure function of each partition's content and order.
    #[test]
    fn no_schedule_changes_a_row(case in case()) {
        let store = run(&case, false);
        let expected = outcome(&case.topic, &case.rules);
        let (finals, open) = expected.final_and_open(&case.rules);
        prop_assert_eq!(&store.late, &expected.late);
        prop_assert_eq!(&store.finals, &finals);
        prop_assert_eq!(&store.open, &open);
        prop_assert_eq!(&store.rejected, &expected.rejected);
        let ledger = store.ledger();
        let records: usize = case.topic.iter().map(Vec::len).sum();
        prop_assert_eq!(ledger.records, i64::try_from(records).unwrap());
        // The frontier is the least watermark: a hit on time in its partition cannot lie behind it.
        prop_assert_eq!(ledger.diverted, 0);
    }

    /// A partition that wakes behind the frontier may find its hits late; none is lost, doubled or moved to another key.
    #[test]
    fn idle_claims_only_turn_hits_on_time_into_late_ones(case in case()) {
        let store = run(&case, true);
        let expected = outcome(&case.topic, &case.rules);
        let kept = added(&store.finals, &store.open);
        prop_assert_eq!(added(&kept, &store.late), added(&expected.on_time, &expected.late));
        for (key, hits) in &expected.late {
            prop_assert!(store.late.get(key) >= Some(hits), "{:?}", key);
        }
        let diverted = total(&store.late) - total(&expected.late);
        prop_assert_eq!(store.ledger().diverted, i64::try_from(diverted).unwrap());
        prop_assert_eq!(&store.rejected, &expected.rejected);
    }
}
