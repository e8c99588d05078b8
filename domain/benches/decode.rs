//! The first step of the hot path: a record's value to an event, and a text to a time. Throughput is in elements per
//! second; events are about 488 bytes, as a browser's hit with its headers is.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hitstream_domain::decode::Decoder;
use hitstream_domain::time::EventTime;

const AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36";

/// A hundred hits that differ in every field. `headers` is a string with escapes, or an object.
fn values(headers: &str) -> Vec<Vec<u8>> {
    (0..100)
        .map(|n| {
            let (host, second) = (n % 7, n % 60);
            format!(
                r#"{{"url":"/presentations/logstash-monitorama-{n}/images/kibana-search.png","referrer":"http://semicomplete.com/presentations/logstash-{n}/","user_agent":"{AGENT}","host":"www{host}.semicomplete.com","ip":"83.149.{n}.216","headers":{headers},"event_time":"2024-12-29T12:01:{second:02}.000Z"}}"#
            )
            .into_bytes()
        })
        .collect()
}

fn decode(c: &mut Criterion) {
    let string = r#""{\"method\":\"GET\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":203023,\"accept\":\"*/*\"}""#;
    let object = r#"{"method":"GET","protocol":"HTTP/1.1","status":200,"bytes":203023,"accept":"*/*","x":"0123456789"}"#;
    let escaped_slashes =
        r#""x","referrer":"http:\/\/semicomplete.com\/presentations\/logstash\/","n":null"#;
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(100));
    for (name, headers) in [
        ("escaped headers", string),
        ("headers as object", object),
        ("escaped referrer", escaped_slashes),
    ] {
        let values = values(headers);
        eprintln!("{name}: {} bytes", values.first().map_or(0, Vec::len));
        let mut decoder = Decoder::default();
        group.bench_with_input(BenchmarkId::new("hot fields", name), &values, |b, values| {
            b.iter(|| {
                for value in values {
                    let event = decoder.decode(Some(value)).ok();
                    black_box(event.map(|e| (e.event_time, e.host, e.referrer)));
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("all fields", name), &values, |b, values| {
            b.iter(|| {
                for value in values {
                    let event = decoder.decode(Some(value)).ok();
                    black_box(event.map(|e| {
                        let cold = [e.url, e.user_agent, e.ip, e.headers];
                        (
                            e.event_time,
                            e.host,
                            e.referrer,
                            cold.map(|text| text.map(|t| t.to_str())),
                        )
                    }));
                }
            });
        });
    }
    group.finish();
}

fn event_time(c: &mut Criterion) {
    let mut group = c.benchmark_group("event time");
    group.throughput(Throughput::Elements(1));
    for text in [
        "2024-12-29T12:01:00Z",
        "2024-12-29T12:01:00.123Z",
        "2024-12-29T12:01:00.123456+05:30",
        "2024-12-29 12:01:00",
        "2024-12-29 9:5",
        "1735473660123",
    ] {
        group.bench_with_input(BenchmarkId::new("parse", text), text, |b, text| {
            b.iter(|| EventTime::parse(black_box(text)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, event_time);
criterion_main!(benches);
