//! `import`: every format, packing and way in; what cannot be read is named and counted.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::scratch::Folder;
use crate::support::{Bench, kafka};

const COMBINED: &str = r#"203.0.113.9 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "http://r.example/" "agent""#;
const COMMON: &str = r#"203.0.113.9 - - [17/May/2015:10:05:03 +0000] "GET /b HTTP/1.0" 304 -"#;
const VHOST: &str =
    r#"v.example:443 203.0.113.9 - - [17/May/2015:12:05:03 +0200] "GET /c HTTP/1.1" 200 1 "-" "-""#;
const ABSOLUTE: &str = r#"203.0.113.9 - - [17/May/2015:10:05:03 +0000] "GET http://u.example/d HTTP/1.1" 200 1 "-" "-""#;
const JSON: &str = r#"{ "event_time":"2015-05-17T10:05:03Z", "host":"j.example" }"#;

fn file(folder: &Folder, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The topic's values, from one partition and so in order.
fn values(bench: &Bench) -> Vec<Value> {
    let records = kafka::read(&bench.kafka_url, &bench.topic);
    records.iter().map(|r| serde_json::from_slice(r.value.as_ref().unwrap()).unwrap()).collect()
}

#[test]
fn each_format_and_packing_is_told_by_itself() {
    let Some(bench) = Bench::new("import_formats") else { return };
    let folder = Folder::new();
    let files = [
        file(&folder, "combined.log", format!("{COMBINED}\n\n{ABSOLUTE}\r\n").as_bytes()),
        file(&folder, "common.log.gz", &gzip(COMMON)),
        file(&folder, "vhost", &zstd::encode_all(VHOST.as_bytes(), 1).unwrap()),
        file(&folder, "hits.jsonl", JSON.as_bytes()),
    ];
    let import = ["import", "--create-topic", "--partitions", "1", "--host", "h.example", "--json"];
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let summary = bench.done(&[&import[..], &files].concat()).json();
    assert_eq!((&summary["files"], &summary["lines"]), (&4.into(), &5.into()));
    assert_eq!((&summary["records"], &summary["unparsable"]), (&5.into(), &0.into()));
    assert_eq!((&summary["partitions"], &summary["without_host"]), (&1.into(), &0.into()));

    let found = values(&bench);
    let column = |name: &str| found.iter().map(|value| value[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("host"), ["h.example", "u.example", "h.example", "v.example", "j.example"]);
    assert_eq!(column("event_time")[..4], ["2015-05-17T10:05:03.000Z"; 4]);
    let null = Value::Null;
    assert_eq!(column("referrer")[0], "http://r.example/");
    assert_eq!(column("referrer")[2], null);
    assert_eq!(column("url")[..4], ["/a", "http://u.example/d", "/b", "/c"]);
    assert_eq!(column("user_agent")[0], "agent");
    assert_eq!(column("ip")[..4], ["203.0.113.9"; 4]);
    let headers: Value = serde_json::from_str(found[2]["headers"].as_str().unwrap()).unwrap();
    assert_eq!(
        headers,
        serde_json::json!({"method":"GET","protocol":"HTTP/1.0","status":304,"bytes":null})
    );
    // A JSON line is sent as it stands.
    let last = kafka::read(&bench.kafka_url, &bench.topic).pop().unwrap();
    assert_eq!(last.value.unwrap(), JSON.as_bytes());

    let audit = bench.run_until_end();
    assert_eq!((&audit["accepted"], &audit["rejected"]), (&5.into(), &0.into()));
}

#[test]
fn standard_input_is_read_packed_or_not() {
    let Some(bench) = Bench::new("import_stdin") else { return };
    bench.create_topic(1);
    for input in [COMBINED.as_bytes().to_vec(), gzip(JSON)] {
        let finished = bench.hitstream(&["import", "-"]).stdin(&input).finish();
        assert_eq!(finished.code, Some(0), "{finished}");
        assert!(finished.stdout.starts_with("1 records"), "{finished}");
    }
    assert_eq!(values(&bench).len(), 2);
}

#[test]
fn lines_that_cannot_be_read_are_named_counted_and_strictly_a_failure() {
    let Some(bench) = Bench::new("import_faults") else { return };
    bench.create_topic(1);
    let folder = Folder::new();
    let wrong_time = COMBINED.replace("17/May", "17/Mai");
    let lines = [COMBINED, "no log line", &wrong_time, "", COMMON].join("\n");
    let path = file(&folder, "access.log", lines.as_bytes());
    let path = path.to_str().unwrap();

    let lax = bench.hitstream(&["import", "--json", path]).finish();
    assert_eq!(lax.code, Some(0), "{lax}");
    for word in [
        format!("{path}:2: has no time in brackets: no log line"),
        format!("{path}:3: has a time that is not like [17/May/2015:10:05:03 +0000]"),
    ] {
        assert!(lax.stderr.contains(&word), "no {word:?} in {lax}");
    }
    let summary = lax.json();
    assert_eq!((&summary["lines"], &summary["records"]), (&4.into(), &2.into()));
    assert_eq!((&summary["unparsable"], &summary["without_host"]), (&2.into(), &2.into()));
    assert_eq!(summary["unparsable_by_reason"]["has no time in brackets"], 1);

    let strict = bench.hitstream(&["import", "--strict", path]).finish();
    assert_eq!(strict.code, Some(1), "{strict}");
    assert!(strict.stdout.contains("2 of 4 lines could not be read"), "{strict}");
    assert_eq!(values(&bench).len(), 4, "what could be read is there, strictly or not");
}

#[test]
fn mistakes_are_answered_before_anything_is_sent() {
    let Some(bench) = Bench::new("import_mistakes") else { return };
    let folder = Folder::new();
    let good = file(&folder, "good.log", COMBINED.as_bytes());
    let (good, missing) = (good.to_str().unwrap().to_owned(), folder.path("missing.log"));
    let no_topic = bench.hitstream(&["import", &good]).finish();
    assert_eq!(no_topic.code, Some(64), "{no_topic}");
    assert!(no_topic.stderr.contains("--create-topic"), "{no_topic}");

    bench.create_topic(1);
    let partitions = ["import", "--create-topic", "--partitions", "3", &good];
    let bzip2 = file(&folder, "log.bz2", b"BZh91AY&SY");
    for (arguments, word) in [
        (&["import", &good, missing.to_str().unwrap()][..], "missing.log"),
        (&["import", "/"], "directory"),
        (&partitions, "exists with 1 partitions, not 3"),
        (&["import", bzip2.to_str().unwrap()], "bzip2"),
        (&["import"], "FILE"),
        (&["import", "--format", "clf", &good], "combined"),
    ] {
        let finished = bench.hitstream(arguments).finish();
        assert_eq!(finished.code, Some(64), "{arguments:?}: {finished}");
        assert!(finished.stderr.contains(word), "no {word:?} in {finished}");
    }
    assert_eq!(values(&bench), [] as [Value; 0]);
}
