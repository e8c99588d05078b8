//! The golden records, and the documentation of where hitstream differs from Spark.

#[path = "../examples/golden/explained.rs"]
mod explained;
#[path = "../examples/golden/judge.rs"]
mod judge;

use explained::{EXPLAINED, Expected, RULES};
use hitstream_domain::reject::RejectReason;

#[test]
fn every_record_agrees_with_spark_or_is_explained() {
    let verdict = judge::judge(EXPLAINED).unwrap();
    assert_eq!(verdict.records, 189);
    assert_eq!(verdict.unexplained, Vec::<String>::new());
    assert_eq!(verdict.differences.len(), EXPLAINED.len());
    for judge::Difference { id, rule, spark, hitstream } in verdict.differences {
        assert_ne!(spark, hitstream, "{id}: the difference does not show: {}", rule.input);
    }
}

#[test]
fn wrong_missing_and_stale_explanations_fail() {
    let rejected = Expected::Rejected(RejectReason::InvalidJson);
    let unexplained = |list: Vec<_>| judge::judge(list.leak()).unwrap().unexplained;
    for stale in ["ok", "malformed_no_comma", "not in the file"] {
        let mut list = EXPLAINED.to_vec();
        list.push((stale, RULES[0], rejected));
        let faults = unexplained(list);
        assert!(matches!(&faults[..], [fault] if fault.starts_with(stale)), "{faults:?}");
    }
    for change in [None, Some(Expected::Rejected(RejectReason::Refused)), Some(Expected::Time(0))] {
        let mut list = EXPLAINED.to_vec();
        let (id, rule, _) = list.remove(20);
        list.extend(change.map(|expected| (id, rule, expected)));
        let faults = unexplained(list);
        assert!(matches!(&faults[..], [fault] if fault.starts_with(id)), "{faults:?}");
    }
}

#[test]
fn documentation_lists_every_rule_and_every_rule_has_a_record() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SEMANTICS.md"))
            .unwrap();
    for rule in RULES {
        let row =
            format!("| {} | {} | {} | {} |", rule.input, rule.spark, rule.hitstream, rule.reason);
        assert!(page.contains(&row), "docs/SEMANTICS.md lacks the row\n{row}");
        assert!(EXPLAINED.iter().any(|(_, of, _)| *of == rule), "no record shows: {}", rule.input);
    }
    for reason in RejectReason::ALL {
        assert!(
            page.contains(&format!("| `{reason}` |")),
            "docs/SEMANTICS.md lacks the reason {reason}"
        );
    }
}
