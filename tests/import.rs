//! `import`: every format, packing and way in; what cannot be read is named and counted.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::process::wait_until;
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

/// The records in the topic's one partition.
fn end_offset(bench: &Bench) -> i64 {
    kafka::end_offset(&bench.kafka_url, &bench.topic)
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
        assert!(finished.stdout.starts_with("1 record,"), "{finished}");
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
fn json_lines_that_are_no_object_are_named_counted_sent_and_strictly_a_failure() {
    let Some(bench) = Bench::new("import_json_faults") else { return };
    bench.create_topic(1);
    let folder = Folder::new();
    let path = file(&folder, "hits.jsonl", [JSON, "[1]", "foo", "", JSON].join("\n").as_bytes());
    let path = path.to_str().unwrap();

    let lax = bench.hitstream(&["import", "--json", path]).finish();
    assert_eq!(lax.code, Some(0), "{lax}");
    for word in [
        format!("{path}:2: is JSON, but no object, sent as it stands: [1]\n"),
        format!("{path}:3: is not valid JSON, sent as it stands: foo\n"),
    ] {
        assert!(lax.stderr.contains(&word), "no {word:?} in {lax}");
    }
    let summary = lax.json();
    assert_eq!((&summary["lines"], &summary["records"]), (&4.into(), &4.into()));
    assert_eq!((&summary["no_json_object"], &summary["unparsable"]), (&2.into(), &0.into()));
    assert_eq!(summary["stopped"], Value::Null);

    let strict = bench.hitstream(&["import", "--strict", path]).finish();
    assert_eq!(strict.code, Some(1), "{strict}");
    let word = "2 lines are no JSON object; sent unchanged, for the pipeline to reject";
    assert!(strict.stdout.contains(word), "{strict}");
    assert_eq!(kafka::read(&bench.kafka_url, &bench.topic).len(), 8, "nothing is left out");
}

#[test]
fn record_too_large_for_the_topic_is_named() {
    let Some(bench) = Bench::new("import_too_large") else { return };
    let bench = bench.with("HITSTREAM_KAFKA__PROPERTIES__MESSAGE_MAX_BYTES", 1_000);
    bench.create_topic(1);
    // The line alone would do, with its key it is too long.
    let long = format!(r#"{{"host":"{}","x":"{}"}}"#, "h".repeat(100), "x".repeat(850));
    let folder = Folder::new();
    let path = file(&folder, "hits.jsonl", [JSON, &long, JSON].join("\n").as_bytes());
    let path = path.to_str().unwrap();
    let finished =
        bench.hitstream(&["import", "--key", "host", "--strict", "--json", path]).finish();
    assert_eq!(finished.code, Some(1), "{finished}");
    let bytes = long.len() + 100;
    let word = format!(
        "{path}:2: record of {bytes} bytes is larger than message.max.bytes (1000), left out: "
    );
    assert!(finished.stderr.contains(&word), "no {word:?} in {finished}");
    let summary = finished.json();
    assert_eq!((&summary["too_large"], &summary["records"]), (&1.into(), &2.into()));
}

#[test]
fn cut_off_file_is_told_of_with_the_last_line_that_was_sent() {
    let Some(bench) = Bench::new("import_cut_off") else { return };
    bench.create_topic(1);
    let folder = Folder::new();
    let lines: String =
        (0..50_000).map(|at: u64| format!("{{\"n\":{}}}\n", at.pow(3) % 99_991)).collect();
    let packed = gzip(&lines);
    let path = file(&folder, "cut.jsonl.gz", packed.get(..packed.len() / 2).unwrap());
    let finished = bench.hitstream(&["import", path.to_str().unwrap()]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    let sent = kafka::read(&bench.kafka_url, &bench.topic).len();
    assert!((1..50_000).contains(&sent), "{sent}");
    let word = format!(
        "cut.jsonl.gz: incomplete deflate stream, after line {sent}; what was read until then is in the topic"
    );
    assert!(finished.stderr.contains(&word), "no {word:?} in {finished}");

    let nothing = file(&folder, "nothing.gz", packed.get(..5).unwrap());
    let finished = bench.hitstream(&["import", nothing.to_str().unwrap()]).finish();
    assert_eq!(finished.code, Some(64), "{finished}");
    assert!(finished.stderr.contains("; nothing of it was sent"), "{finished}");
}

#[test]
fn signal_ends_an_import_with_everything_sent_that_was_read() {
    for signal in ["TERM", "INT"] {
        let Some(bench) = Bench::new("import_signal") else { return };
        bench.create_topic(1);
        let folder = Folder::new();
        let path = file(&folder, "hits.jsonl", format!("{JSON}\n").repeat(20_000).as_bytes());
        let files = [path.to_str().unwrap(); 500];
        let running = bench.hitstream(&[&["import", "--json"][..], &files].concat()).start();
        wait_until("records come", || end_offset(&bench) > 0);
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{finished}");
        let summary = finished.json();
        let [files, lines, records, last, left] = [
            &summary["files"],
            &summary["lines"],
            &summary["records"],
            &summary["stopped"]["line"],
            &summary["stopped"]["files_left"],
        ]
        .map(|number| number.as_i64().unwrap());
        assert_eq!(summary["stopped"]["file"], path.to_str().unwrap());
        assert_eq!((lines, files), ((files - 1) * 20_000 + last, 500 - left), "{summary}");
        assert_eq!((records, end_offset(&bench)), (lines, lines), "{summary}");
        assert!(lines < 500 * 20_000, "{summary}");
    }
}

#[test]
fn signal_ends_an_import_that_waits_for_a_pipe() {
    let Some(bench) = Bench::new("import_pipe") else { return };
    bench.create_topic(1);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let folder = Folder::new();
    let unread = file(&folder, "unread.log", COMBINED.as_bytes());
    let mut hitstream = bench.hitstream(&["import", "-", unread.to_str().unwrap()]);
    let running = hitstream.stdin_from(reader).start();
    writer.write_all(format!("{JSON}\n{JSON}\n{{\"not yet").as_bytes()).unwrap();
    wait_until("records come", || end_offset(&bench) == 2);
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stdout.starts_with("2 records, "), "{finished}");
    let word = "stopped by a signal after line 2 of standard input; the rest was not sent, nor 1 further file\n";
    assert!(finished.stdout.contains(word), "no {word:?} in {finished}");
    assert_eq!(end_offset(&bench), 2);
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
        (&partitions, "exists with 1 partition, not 3"),
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
