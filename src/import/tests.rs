//! The shared logs become the events that stand beside them, field by field.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// Gives the shared data, beside the repository or where `HITSTREAM_SHARED_DATA` says. Without it the test
/// is skipped, but not on CI.
fn shared_data() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    let data = std::env::var_os("HITSTREAM_SHARED_DATA").map_or(beside, PathBuf::from);
    if data.is_dir() {
        return Some(data);
    }
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "no shared data at {}", data.display());
    eprintln!("skipped: no shared data at {}; set HITSTREAM_SHARED_DATA", data.display());
    None
}

/// Translates a file to its records, as `import` sends them.
fn records(file: &Path, format: Format, host: Option<&str>) -> Vec<Vec<u8>> {
    let mut source = Source::open(file, 1 << 20, &Arc::default(), &Arc::default()).unwrap();
    let mut translator = Translator::new(format, host, file);
    let (mut line, mut record, mut records) = (Vec::new(), Vec::new(), Vec::new());
    while source.next_line(&mut line).unwrap().is_some() {
        records.push(
            match translator.translate(&line, &mut record, &mut Default::default()).unwrap() {
                Record::AsItStands | Record::Flawed(_) => line.clone(),
                Record::Translated => record.clone(),
            },
        );
    }
    records
}

/// Reads an event; a field that is null and one that is absent are the same.
fn event(record: &[u8]) -> Value {
    let mut event: Value = serde_json::from_slice(record).unwrap();
    event.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    event
}

fn compare(log: &str, lines: &str, host: &str, count: usize) {
    let Some(data) = shared_data() else { return };
    let from_log = records(&data.join(log), Format::Auto, Some(host));
    let from_lines = records(&data.join(lines), Format::Auto, None);
    assert_eq!((from_log.len(), from_lines.len()), (count, count));
    for (i, (ours, theirs)) in from_log.iter().zip(&from_lines).enumerate() {
        assert_eq!(event(ours), event(theirs), "{log}:{}", i + 1);
    }
}

#[test]
fn combined_log_becomes_the_events_beside_it() {
    compare("elastic_apache.log.gz", "elastic_apache.jsonl.zst", "www.semicomplete.com", 10_000);
}

#[test]
fn common_log_becomes_the_events_beside_it() {
    compare("nasa_1995.log.gz", "nasa_1995.jsonl.zst", "www.ksc.nasa.gov", 9_000);
}
