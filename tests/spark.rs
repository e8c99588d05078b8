//! Equal to Spark: the real logs, in every form, spread and pace, give the rows that Apache Spark gave.

use std::io::Read;

use crate::support::bench::assert_same;
use crate::support::{Bench, Counts, Key, data, model};

/// A real log.
struct Log {
    name: &'static str,
    host: &'static str,
    /// Whether nothing in it comes late, whatever partition it is in.
    ordered: bool,
}

const ELASTIC: Log = Log { name: "elastic_apache", host: "www.semicomplete.com", ordered: true };
const NASA: Log = Log { name: "nasa_1995", host: "www.ksc.nasa.gov", ordered: false };

/// `flush.interval` and `flush.max_keys`, from the shortest to the longest.
const PACES: [(&str, u32); 6] =
    [("50ms", 10), ("10s", 200_000), ("200ms", 100), ("50ms", 200_000), ("1s", 10), ("1s", 1_000)];

/// What Spark answered.
fn spark(log: &Log) -> Option<Counts> {
    let path = data(&format!("{}.spark.csv.gz", log.name))?;
    let mut csv = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut csv)
        .unwrap();
    let mut rows = Counts::new();
    for line in csv.lines().skip(1) {
        let fields = split(line);
        let [start, _, host, referrer, hits] = &fields[..] else { panic!("{line}") };
        let text = |field: &str| (field != "\\N").then(|| field.to_owned());
        let start: jiff::Timestamp = start.parse().unwrap();
        let key = Key {
            window_start: start.as_microsecond(),
            host: text(host),
            referrer: text(referrer),
        };
        assert_eq!(rows.insert(key, hits.parse().unwrap()), None, "{line}");
    }
    Some(rows)
}

/// Splits a line of CSV with quotes, which are doubled inside.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

/// Imports a log for each number of partitions and key, and counts it, each time at another pace.
fn compare(log: &Log, extension: &str, first_pace: usize) {
    let Some(expected) = spark(log) else { return };
    let Some(file) = data(&format!("{}.{extension}", log.name)) else { return };
    let spreads = [1, 3, 12].iter().flat_map(|n| ["host", "ip", "none"].map(|key| (*n, key)));
    for (at, (partitions, key)) in spreads.enumerate() {
        let (interval, max_keys) = PACES[(first_pace + at) % PACES.len()];
        eprintln!("{}: {partitions} partitions by {key}, {interval}, {max_keys} keys", log.name);
        let Some(bench) = Bench::new("spark") else { return };
        let bench = bench
            .with("HITSTREAM_FLUSH__INTERVAL", interval)
            .with("HITSTREAM_FLUSH__MAX_KEYS", max_keys)
            .with("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "1m");
        let (file, partitions) = (file.to_str().unwrap(), partitions.to_string());
        let import = ["import", "--create-topic", "--partitions", &partitions, "--key", key];
        bench.done(&[&import[..], &["--host", log.host, file]].concat());
        bench.run_until_end();
        let tables = bench.tables();
        assert_same("all, by Spark", &model::add(&tables.on_time, &tables.late), &expected);
        if log.ordered {
            assert!(tables.late.is_empty(), "{} late rows", tables.late.len());
        }
        let model = bench.model(300, 300);
        assert_same("the model, by Spark", &model.all(), &expected);
        bench.assert_equals(&model);
    }
}

#[test]
fn ordered_log_gives_the_rows_of_spark() {
    compare(&ELASTIC, "log.gz", 0);
}

#[test]
fn ordered_json_lines_give_the_rows_of_spark() {
    compare(&ELASTIC, "jsonl.zst", 2);
}

#[test]
fn disordered_log_gives_the_rows_of_spark_on_time_or_late() {
    compare(&NASA, "log.gz", 4);
}

#[test]
fn disordered_json_lines_give_the_rows_of_spark_on_time_or_late() {
    compare(&NASA, "jsonl.zst", 5);
}

#[test]
fn sliding_windows_are_those_of_the_model() {
    for (size, slide) in [(300, 60), (100, 30), (3600, 1200)] {
        for log in [&ELASTIC, &NASA] {
            let Some(file) = data(&format!("{}.jsonl.zst", log.name)) else { return };
            let Some(bench) = Bench::new("sliding") else { return };
            let bench = bench
                .with("HITSTREAM_WINDOW__SIZE", format!("{size}s"))
                .with("HITSTREAM_WINDOW__SLIDE", format!("{slide}s"))
                .with("HITSTREAM_FLUSH__MAX_KEYS", 100);
            bench.done(&["import", "--create-topic", "--partitions", "3", file.to_str().unwrap()]);
            bench.run_until_end();
            bench.assert_equals(&bench.model(size, slide));
        }
    }
}
