//! The stream of records: each a pure function of the options and its number.

use std::num::NonZeroU32;

use super::malformed::Malformed;
use super::model::Hit;
use super::partition::partition_of;
use super::random::{Random, Share};
use super::render::{Draft, Renderer};
use super::timestamp::TimeForm;
use crate::produce::KeyBy;

/// The last microsecond of the year 2199: the input contract takes times up to here.
pub(crate) const LAST_MICROS: i64 = 7_258_118_399_999_999;

/// What the traffic is like. The same options give the same records, byte by byte, in the same partitions.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// Chooses one of 2⁶⁴ streams.
    pub(crate) seed: u64,
    /// The event time of the first record, in microseconds since 1970, before disorder.
    pub(crate) start_micros: i64,
    /// How event time advances.
    pub(crate) step: Step,
    /// Partitions of the topic.
    pub(crate) partitions: NonZeroU32,
    /// What records are keyed by.
    pub(crate) key: KeyBy,
    /// Distinct sites.
    pub(crate) hosts: NonZeroU32,
    /// Distinct referrers beside none, `""` and `-`.
    pub(crate) referrers: NonZeroU32,
    /// Distinct visitor addresses.
    pub(crate) visitors: NonZeroU32,
    /// Event times lie up to this far behind the clock of the stream.
    pub(crate) disorder_micros: u64,
    /// The share of hits that are set back.
    pub(crate) late: Share,
    /// How far those are set back.
    pub(crate) late_by_micros: u64,
    /// The share of records that are no hits.
    pub(crate) malformed: Share,
}

/// The advance of event time from one record to the next: `micros` for every `records`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) micros: u64,
    pub(crate) records: u64,
}

impl Step {
    /// How far event time has come after `count` records.
    pub(crate) fn after(self, count: u64) -> i64 {
        let micros = u128::from(count) * u128::from(self.micros) / u128::from(self.records.max(1));
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}

/// One record, ready for Kafka, and what it means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The partition it goes to.
    pub(crate) partition: u32,
    /// Its key, if it has one.
    pub(crate) key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// The hit that the value says; `None` for a malformed record.
    pub(crate) hit: Option<Hit>,
}

/// Makes records one after another, for ever.
#[derive(Debug)]
pub(crate) struct Generator {
    traffic: Traffic,
    renderer: Renderer,
    next: u64,
    value: Vec<u8>,
}

impl Generator {
    /// Makes the names that `traffic` asks for and stands before its first record.
    pub(crate) fn new(traffic: Traffic) -> Self {
        let renderer = Renderer::new(traffic.hosts, traffic.referrers, traffic.visitors);
        Self { traffic, renderer, next: 0, value: Vec::with_capacity(4_096) }
    }

    /// What the records are like.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The host of this number, as hits name it.
    pub(crate) fn host(&self, number: u32) -> &str {
        text(self.renderer.hosts.texts.get(number))
    }

    /// The referrer of this number, as hits name it.
    pub(crate) fn referrer(&self, number: u32) -> &str {
        text(self.renderer.referrers.texts.get(number))
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Record<'_> {
        let mut random = Random::of(self.traffic.seed, self.next);
        let draft = self.draft(&mut random);
        self.next += 1;

        let fault = if random.chance(self.traffic.malformed) {
            Malformed::ALL.get(random.below(Malformed::ALL.len() as u64) as usize).copied()
        } else {
            None
        };
        self.value.clear();
        self.renderer.render(&draft, fault, &mut random, &mut self.value);

        let key = match self.traffic.key {
            KeyBy::Host => draft.host.map(|host| self.renderer.hosts.texts.get(host)),
            KeyBy::Ip => Some(self.renderer.addresses.get(draft.visitor)),
            KeyBy::None => None,
        };
        let partitions = self.traffic.partitions.get();
        let partition = match self.traffic.key {
            KeyBy::Host | KeyBy::Ip => partition_of(key.unwrap_or_default(), partitions),
            KeyBy::None => random.below(u64::from(partitions)) as u32,
        };
        Record {
            partition,
            key,
            value: (fault != Some(Malformed::Tombstone)).then_some(self.value.as_slice()),
            hit: match fault {
                None => {
                    Some(Hit { micros: draft.micros, host: draft.host, referrer: draft.referrer })
                }
                Some(_) => None,
            },
        }
    }

    /// Draws who comes when, from where, to which site.
    fn draft(&self, random: &mut Random) -> Draft {
        let Traffic { disorder_micros, late, late_by_micros, .. } = self.traffic;
        let mut micros =
            self.traffic.start_micros.saturating_add(self.traffic.step.after(self.next));
        micros = micros.saturating_sub_unsigned(random.below(disorder_micros.saturating_add(1)));
        if random.chance(late) {
            micros = micros.saturating_sub_unsigned(late_by_micros);
        }
        let form = match random.below(100) {
            0..5 => TimeForm::Seconds,
            5..50 => TimeForm::Millis,
            50..92 => TimeForm::Micros,
            92..96 => TimeForm::Spaced,
            _ => TimeForm::Offset,
        };
        let host = (random.below(100) != 0).then(|| self.renderer.hosts.popularity.pick(random));
        let referrers = self.traffic.referrers.get();
        let referrer = match random.below(100) {
            0..25 => None,
            25..30 => Some(referrers),
            30..35 => Some(referrers + 1),
            _ => Some(self.renderer.referrers.popularity.pick(random)),
        };
        let visitor = self.renderer.visitors.pick(random);
        Draft { host, referrer, visitor, micros: form.keep(micros.clamp(0, LAST_MICROS)), form }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::reading::read;
    use super::*;

    const START: i64 = 1_431_857_100_000_000;

    /// The digest of the first 1,000 records of [`traffic`].
    const GOLDEN: u64 = 2_786_500_725_978_177_562;

    fn traffic() -> Traffic {
        let number = |number| NonZeroU32::new(number).unwrap();
        Traffic {
            seed: 42,
            start_micros: START,
            step: Step { micros: 10_000, records: 1 },
            partitions: number(3),
            key: KeyBy::None,
            hosts: number(200),
            referrers: number(2_000),
            visitors: number(5_000),
            disorder_micros: 20_000_000,
            late: Share::percent(5),
            late_by_micros: 900_000_000,
            malformed: Share::percent(2),
        }
    }

    /// FNV-1a over everything that reaches Kafka.
    fn digest(traffic: Traffic, records: usize) -> u64 {
        let mut generator = Generator::new(traffic);
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for _ in 0..records {
            let record = generator.next();
            add(&record.partition.to_le_bytes());
            for part in [record.key, record.value] {
                add(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
                add(part.unwrap_or_default());
            }
        }
        digest
    }

    #[test]
    fn first_thousand_records_of_a_seed_never_change() {
        assert_eq!(
            digest(traffic(), 1_000),
            GOLDEN,
            "changed records break every stored expectation"
        );
    }

    #[test]
    fn seed_key_and_start_each_matter() {
        let all = [
            traffic(),
            Traffic { seed: 43, ..traffic() },
            Traffic { key: KeyBy::Host, ..traffic() },
            Traffic { key: KeyBy::Ip, ..traffic() },
            Traffic { start_micros: START + 1, ..traffic() },
        ];
        assert_eq!(
            all.map(|traffic| digest(traffic, 100)).into_iter().collect::<HashSet<_>>().len(),
            5
        );
    }

    #[test]
    fn every_record_says_what_its_hit_says() {
        let mut generator = Generator::new(traffic());
        let names = Generator::new(traffic());
        for _ in 0..20_000 {
            let record = generator.next();
            let said = record.hit.map(|hit| {
                let host = hit.host.map(|host| names.host(host).to_owned());
                (hit.micros, host, hit.referrer.map(|referrer| names.referrer(referrer).to_owned()))
            });
            let shown = String::from_utf8_lossy(record.value.unwrap_or_default());
            assert_eq!(read(record.value), said, "{shown}");
            assert!(record.partition < 3);
        }
    }

    #[test]
    fn no_malformed_kind_reads_as_a_hit() {
        let renderer = Generator::new(traffic()).renderer;
        let draft = Draft {
            host: Some(1),
            referrer: Some(1),
            visitor: 1,
            micros: START,
            form: TimeForm::Micros,
        };
        let mut value = Vec::new();
        renderer.render(&draft, None, &mut Random::of(1, 1), &mut value);
        assert!(read(Some(&value)).is_some());
        for kind in Malformed::ALL {
            value.clear();
            renderer.render(&draft, Some(kind), &mut Random::of(1, 1), &mut value);
            let read = read((kind != Malformed::Tombstone).then_some(&value));
            assert_eq!(read, None, "{kind:?}: {}", String::from_utf8_lossy(&value));
        }
    }

    #[test]
    fn shares_and_sizes_are_what_was_asked_for() {
        let mut generator = Generator::new(traffic());
        let (mut malformed, mut late, mut bytes, mut nulls, mut hosts) =
            (0, 0, 0, 0, HashSet::new());
        for number in 0..100_000 {
            let clock = START + number * 10_000;
            let record = generator.next();
            bytes += record.value.map_or(0, <[u8]>::len);
            let Some(hit) = record.hit else {
                malformed += 1;
                continue;
            };
            let behind = clock - hit.micros;
            assert!((0..=921_000_000).contains(&behind), "{behind}");
            late += i32::from(behind > 900_000_000);
            nulls += i32::from(hit.referrer.is_none());
            hosts.insert(hit.host);
        }
        assert!((1_850..2_150).contains(&malformed), "{malformed}");
        assert!((4_600..5_200).contains(&late), "{late}");
        assert!((24_000..25_100).contains(&nulls), "{nulls}");
        assert_eq!(hosts.len(), 201);
        assert!((400..500).contains(&(bytes / 100_000)), "{}", bytes / 100_000);
    }

    #[test]
    fn keys_choose_partitions_and_no_key_spreads_evenly() {
        let mut generator = Generator::new(Traffic { key: KeyBy::Host, ..traffic() });
        for _ in 0..1_000 {
            let record = generator.next();
            assert_eq!(record.partition, partition_of(record.key.unwrap_or_default(), 3));
        }
        let mut spread = [0; 3];
        let mut generator = Generator::new(traffic());
        for _ in 0..30_000 {
            let record = generator.next();
            assert_eq!(record.key, None);
            spread[record.partition as usize] += 1;
        }
        assert!(spread.iter().all(|count| (9_600..10_400).contains(count)), "{spread:?}");
    }

    #[test]
    fn event_times_stay_within_the_contract_at_its_edges() {
        for start_micros in [0, LAST_MICROS] {
            let mut generator = Generator::new(Traffic { start_micros, ..traffic() });
            let times: Vec<i64> =
                (0..1_000).filter_map(|_| generator.next().hit).map(|hit| hit.micros).collect();
            assert!(times.iter().all(|time| (0..=LAST_MICROS).contains(time)));
        }
    }
}
