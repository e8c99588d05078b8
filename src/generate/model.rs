//! What must come out, reckoned the naive way: one record after another, one hash map, and none of the pipeline's
//! code. It is the yardstick for the pipeline, so it has to be plain enough to be checked by eye.
//!
//! `on_time` and `late` go by the partition's own watermark. The pipeline adds to its late table what was on time in
//! its partition but came behind the frontier of all partitions; how much that is depends on when it commits. So,
//! for each (window, host, referrer): final + open + late of the pipeline = `on_time` + `late` of the model,
//! and late of the pipeline >= `late` of the model.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::timestamp::rfc3339;

/// What a well-formed record says. Host and referrer are numbers of names; `None` is the NULL group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Its event time, in microseconds since 1970.
    pub(crate) micros: i64,
    /// The site.
    pub(crate) host: Option<u32>,
    /// Where the visitor came from.
    pub(crate) referrer: Option<u32>,
}

/// The time rules that count, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) window_size: i64,
    pub(crate) window_slide: i64,
    pub(crate) watermark_delay: i64,
    pub(crate) max_future_skew: i64,
}

/// The hits of one group in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    on_time: u64,
    late: u64,
}

/// Start of the window, host, referrer.
type Group = (i64, Option<u32>, Option<u32>);

/// Counts records as they lie in the topic.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    records: u64,
    rejected: u64,
    max_seen: HashMap<u32, i64>,
    counts: HashMap<Group, Counts>,
}

impl Model {
    /// A model of an empty topic.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, records: 0, rejected: 0, max_seen: HashMap::new(), counts: HashMap::new() }
    }

    /// Counts the next record of `partition`; `hit` is `None` where the record is malformed. `kafka_micros` is the
    /// record's Kafka timestamp, against which the skew rule measures.
    pub(crate) fn record(&mut self, partition: u32, kafka_micros: i64, hit: Option<Hit>) {
        self.records += 1;
        let Some(hit) = hit.filter(|hit| hit.micros - kafka_micros <= self.rules.max_future_skew)
        else {
            self.rejected += 1;
            return;
        };

        // The watermark as it stood before this hit; without data there is none, and nothing is late.
        let max_seen = self.max_seen.get(&partition).copied();
        let watermark = max_seen.map(|max_seen| max_seen - self.rules.watermark_delay);

        // From the last window that the hit lies in, back to the first.
        let mut start = hit.micros.div_euclid(self.rules.window_slide) * self.rules.window_slide;
        while hit.micros < start + self.rules.window_size {
            let end = start + self.rules.window_size;
            let counts = self.counts.entry((start, hit.host, hit.referrer)).or_default();
            if watermark.is_some_and(|watermark| end <= watermark) {
                counts.late += 1;
            } else {
                counts.on_time += 1;
            }
            start -= self.rules.window_slide;
        }

        self.max_seen
            .insert(partition, max_seen.map_or(hit.micros, |max_seen| max_seen.max(hit.micros)));
    }

    /// Records counted so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Of these, how many were rejected.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Writes what must come out as JSON, one row a line, sorted by window, host and referrer (null first, then by
    /// bytes).
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn write<'a>(
        &self,
        host: impl Fn(u32) -> &'a str,
        referrer: impl Fn(u32) -> &'a str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut rows: Vec<(i64, Option<&str>, Option<&str>, Counts)> = self
            .counts
            .iter()
            .map(|(&(start, h, r), &counts)| (start, h.map(&host), r.map(&referrer), counts))
            .collect();
        rows.sort_unstable_by_key(|&(start, host, referrer, _)| (start, host, referrer));

        write!(out, "{{\"records\":{},\"rejected\":{},\"windows\":[", self.records, self.rejected)?;
        for (number, (start, host, referrer, counts)) in rows.into_iter().enumerate() {
            out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
            let Counts { on_time, late } = counts;
            serde_json::to_writer(
                &mut *out,
                &Row { window_start: rfc3339(start), host, referrer, on_time, late },
            )?;
        }
        out.write_all(b"\n]}\n")
    }
}

/// A row as it is written.
#[derive(Serialize)]
struct Row<'a> {
    window_start: String,
    host: Option<&'a str>,
    referrer: Option<&'a str>,
    on_time: u64,
    late: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    /// Far ahead of every event: the skew rule is out of the way.
    const KAFKA: i64 = 1_000_000 * MINUTE;

    fn rules(size: i64, slide: i64) -> Rules {
        Rules {
            window_size: size * MINUTE,
            window_slide: slide * MINUTE,
            watermark_delay: MINUTE,
            max_future_skew: 5 * MINUTE,
        }
    }

    fn hit(micros: i64) -> Option<Hit> {
        Some(Hit { micros, host: Some(0), referrer: None })
    }

    /// (window start in minutes, on time, late), sorted.
    fn rows(model: &Model) -> Vec<(i64, u64, u64)> {
        let mut rows: Vec<_> = model
            .counts
            .iter()
            .map(|(group, counts)| (group.0 / MINUTE, counts.on_time, counts.late))
            .collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn hit_is_late_when_its_window_ends_at_or_before_the_watermark() {
        let mut model = Model::new(rules(5, 5));
        model.record(0, KAFKA, hit(4 * MINUTE)); // window 0, first of all
        model.record(0, KAFKA, hit(6 * MINUTE - 1)); // window 5; watermark now 5:00 less 1 µs
        model.record(0, KAFKA, hit(MINUTE)); // window 0 ends at 5:00: still on time
        model.record(0, KAFKA, hit(6 * MINUTE)); // window 5; watermark now exactly 5:00
        model.record(0, KAFKA, hit(5 * MINUTE - 1)); // the last microsecond of window 0: late
        model.record(0, KAFKA, hit(5 * MINUTE)); // the first of window 5: on time
        assert_eq!(rows(&model), [(0, 2, 1), (5, 3, 0)]);
        assert_eq!((model.records(), model.rejected()), (6, 0));
    }

    #[test]
    fn each_partition_has_its_own_watermark() {
        let mut model = Model::new(rules(5, 5));
        model.record(0, KAFKA, hit(60 * MINUTE)); // partition 0 is far ahead
        model.record(1, KAFKA, hit(MINUTE)); // partition 1 has no watermark: on time
        model.record(0, KAFKA, hit(MINUTE)); // late
        model.record(1, KAFKA, hit(2 * MINUTE)); // on time
        assert_eq!(rows(&model), [(0, 2, 1), (60, 1, 0)]);
    }

    #[test]
    fn overlapping_windows_are_late_one_by_one() {
        let mut model = Model::new(rules(10, 5));
        model.record(0, KAFKA, hit(17 * MINUTE)); // windows 10 and 15; watermark 16:00
        model.record(0, KAFKA, hit(8 * MINUTE)); // window 5 ends 15:00, window 0 ends 10:00: both late
        model.record(0, KAFKA, hit(12 * MINUTE)); // window 10 ends 20:00: on time; window 5: late
        assert_eq!(rows(&model), [(0, 0, 1), (5, 0, 2), (10, 2, 0), (15, 1, 0)]);
    }

    #[test]
    fn windows_that_slide_unevenly_hold_a_hit_two_or_three_times() {
        let mut model = Model::new(rules(5, 2));
        model.record(0, KAFKA, hit(10 * MINUTE)); // [6,11) [8,13) [10,15)
        model.record(0, KAFKA, hit(11 * MINUTE)); // [8,13) [10,15); 11:00 is no longer in [6,11)
        model.record(0, KAFKA, hit(MINUTE)); // [-4,1) is over; [-2,3) [0,5): late
        assert_eq!(rows(&model), [(-2, 0, 1), (0, 0, 1), (6, 1, 0), (8, 2, 0), (10, 2, 0)]);
    }

    #[test]
    fn rejected_records_move_no_watermark() {
        let mut model = Model::new(rules(5, 5));
        model.record(0, 10 * MINUTE, None); // malformed
        model.record(0, 10 * MINUTE, hit(15 * MINUTE + 1)); // 1 µs too far ahead of its Kafka timestamp
        model.record(0, 10 * MINUTE, hit(MINUTE)); // on time: nothing was seen before
        model.record(0, 10 * MINUTE, hit(15 * MINUTE)); // exactly as far ahead as is allowed; watermark 14:00
        model.record(0, 10 * MINUTE, hit(2 * MINUTE)); // late
        assert_eq!(rows(&model), [(0, 1, 1), (15, 1, 0)]);
        assert_eq!((model.records(), model.rejected()), (5, 2));
    }

    #[test]
    fn file_is_sorted_with_null_first() {
        let mut model = Model::new(rules(5, 5));
        for (micros, host, referrer) in [
            (5 * MINUTE, Some(0), None),
            (0, Some(1), Some(2)),
            (0, Some(0), Some(1)),
            (0, None, Some(0)),
            (0, Some(0), None),
        ] {
            model.record(0, KAFKA, Some(Hit { micros, host, referrer }));
        }
        model.record(0, KAFKA, None);
        let mut out = Vec::new();
        let (hosts, referrers) = (["a.example", "b\".example"], ["", "-", "https://x.example/"]);
        model
            .write(|number| hosts[number as usize], |number| referrers[number as usize], &mut out)
            .unwrap();
        let expected = r#"{"records":6,"rejected":1,"windows":[
{"window_start":"1970-01-01T00:00:00Z","host":null,"referrer":"","on_time":1,"late":0},
{"window_start":"1970-01-01T00:00:00Z","host":"a.example","referrer":null,"on_time":1,"late":0},
{"window_start":"1970-01-01T00:00:00Z","host":"a.example","referrer":"-","on_time":1,"late":0},
{"window_start":"1970-01-01T00:00:00Z","host":"b\".example","referrer":"https://x.example/","on_time":1,"late":0},
{"window_start":"1970-01-01T00:05:00Z","host":"a.example","referrer":null,"on_time":1,"late":0}
]}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn empty_topic_makes_an_empty_file() {
        let mut out = Vec::new();
        Model::new(rules(5, 5)).write(|_| "", |_| "", &mut out).unwrap();
        assert_eq!(out, b"{\"records\":0,\"rejected\":0,\"windows\":[\n]}\n");
    }
}
