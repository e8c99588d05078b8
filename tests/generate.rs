//! `generate`: the same again from the same seed, and an expectation that topic, model and tables all meet.

use crate::support::bench::assert_same;
use crate::support::scratch::Folder;
use crate::support::{Bench, expected, kafka};

const TRAFFIC: [&str; 9] = [
    "generate",
    "--create-topic",
    "--count",
    "20000",
    "--start",
    "2026-01-01T00:00:00Z",
    "--step",
    "100ms",
    "--json",
];

/// What lies in the topic, timestamps aside.
fn content(bench: &Bench) -> Vec<(i32, i64, Option<Vec<u8>>)> {
    let records = kafka::read(&bench.kafka_url, &bench.topic);
    records.into_iter().map(|r| (r.partition, r.offset, r.value)).collect()
}

#[test]
fn same_seed_gives_the_same_bytes_in_the_same_partitions() {
    for key in ["host", "ip", "none"] {
        let contents = ["7", "7", "8"].map(|seed| {
            let bench = Bench::new("seed")?;
            let more = [
                "--partitions",
                "3",
                "--seed",
                seed,
                "--key",
                key,
                "--late",
                "5%",
                "--malformed",
                "5%",
            ];
            let summary = bench.done(&[&TRAFFIC[..], &more].concat()).json();
            assert_eq!((&summary["records"], &summary["partitions"]), (&20_000.into(), &3.into()));
            Some(content(&bench))
        });
        let [Some(one), Some(same), Some(other)] = contents else { return };
        assert!(one == same, "the same seed by {key}");
        assert!(one != other, "another seed by {key}");
        assert_eq!(one.len(), 20_000);
        assert!((0..3).all(|partition| one.iter().any(|(at, ..)| *at == partition)));
    }
}

/// Generates, compares expectation, model and tables; tells how many pairs are late.
fn compare(partitions: &str, size: i64, slide: i64, more: &[&str]) -> Option<i64> {
    let folder = Folder::new();
    let file = folder.path("expected.json");
    let bench = Bench::new("expected")?
        .with("HITSTREAM_WINDOW__SIZE", format!("{size}s"))
        .with("HITSTREAM_WINDOW__SLIDE", format!("{slide}s"))
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_FLUSH__MAX_KEYS", 2_000);
    let always = ["--partitions", partitions, "--expected", file.to_str().unwrap()];
    let summary = bench.done(&[&TRAFFIC[..], &always, more].concat()).json();
    bench.run_until_end();
    let expected = expected::expected(&file);
    let model = bench.model(size, slide);
    assert_same("expected on time, by the model", &expected.on_time, &model.on_time);
    assert_same("expected late, by the model", &expected.late, &model.late);
    assert_eq!((expected.rejected, expected.accepted), (model.rejected, model.accepted));
    assert_eq!(summary["expected"]["rejected"], expected.rejected);
    assert_eq!(summary["expected"]["counted"], expected.accepted);
    bench.assert_equals(&expected);
    Some(expected.late.values().sum())
}

#[test]
fn expectation_is_met_by_topic_model_and_tables() {
    for partitions in ["1", "3", "12"] {
        let Some(late) = compare(partitions, 300, 300, &[]) else { return };
        assert_eq!(late, 0, "20 s of disorder are within a minute of delay");
        let hard = ["--late", "4%", "--malformed", "4%", "--disorder", "2m", "--key", "host"];
        assert!(compare(partitions, 300, 300, &hard).unwrap() > 500);
    }
}

#[test]
fn expectation_is_met_with_sliding_windows() {
    for (partitions, size, slide) in [("1", 300, 60), ("3", 100, 30), ("12", 600, 200)] {
        let hard = ["--late", "2%", "--malformed", "2%", "--disorder", "90s", "--key", "ip"];
        let Some(late) = compare(partitions, size, slide, &hard) else { return };
        assert!(late > 500, "{late} late");
    }
}

#[test]
fn expectation_needs_a_topic_of_its_own() {
    let Some(bench) = Bench::new("expected_twice") else { return };
    let folder = Folder::new();
    let file = folder.path("expected.json");
    let arguments =
        ["generate", "--create-topic", "--count", "10", "--expected", file.to_str().unwrap()];
    bench.done(&arguments);
    let again = bench.hitstream(&arguments).finish();
    assert_eq!(again.code, Some(64), "{again}");
    assert!(again.stderr.contains("has held records before"), "{again}");
    assert_eq!(expected::expected(&file).accepted, 10, "the first expectation is still there");
}
