//! What a test of the pipeline is set up with: a topic, settings, runs, and the model's verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use hitstream_actors::enricher::{DailyKeyHandle, Providers};
use hitstream_actors::messages::Fatal;
use hitstream_actors::metrics::Metrics;
use hitstream_actors::readiness::Readiness;
use hitstream_actors::settings::{
    EnrichSettings, FlushLimits, KafkaSettings, KeepSettings, OnDataLoss, PoolSizes, Settings,
    StartAt,
};
use hitstream_actors::source::Source;
use hitstream_actors::store::Store;
use hitstream_actors::supervisor::{Blueprint, PipelineSupervisor};
use hitstream_domain::privacy::Privacy;
use hitstream_domain::progress::{Ledger, PartitionId};
use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::sync::oneshot;

use crate::memory_source::{MemorySource, Topic};
use crate::memory_store::{MemoryStore, Tables};
use crate::model::{self, Hit, Record, Rules, outcome, total};

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A topic, the rules it is read by, and where its sums go.
pub(crate) struct Stage {
    pub(crate) topic: Topic,
    pub(crate) rules: Rules,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) settings: Settings,
    pub(crate) providers: Providers,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
}

impl Stage {
    /// A random topic, the same for the same seed.
    pub(crate) fn new(seed: u8) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let (rules, topic) =
            crate::topic::rules_and_topic().new_tree(&mut runner).unwrap().current();
        // The pipeline reads the true clock, which is past every hit.
        let now = hitstream_actors::clock::now().as_micros();
        Self::with_topic(Rules { now, ..rules }, topic)
    }

    pub(crate) fn with_topic(rules: Rules, topic: Vec<Vec<Record>>) -> Self {
        let time_rules = time_rules(&rules);
        Self {
            topic: Arc::new(topic),
            rules,
            store: Arc::new(MemoryStore::new(time_rules)),
            settings: settings(time_rules),
            providers: Providers::default(),
            readiness: Readiness::default(),
            metrics: Metrics::new(),
        }
    }

    /// Every partition of the topic.
    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        (0..).map(PartitionId).take(self.topic.len()).collect()
    }

    /// A member that has all partitions.
    pub(crate) fn source(&self, batch: usize) -> Arc<MemorySource> {
        MemorySource::join(&self.topic, self.partitions(), batch)
    }

    /// Starts a pipeline.
    pub(crate) fn start(&self, source: &Arc<MemorySource>) -> Running {
        let blueprint = Blueprint {
            settings: self.settings.clone(),
            source: Arc::clone(source) as Arc<dyn Source>,
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            providers: self.providers.clone(),
            daily_key: DailyKeyHandle::default(),
            observers: Vec::new(),
            readiness: self.readiness.clone(),
            metrics: self.metrics.clone(),
        };
        let (tell, outcome) = oneshot::channel();
        Running { supervisor: PipelineSupervisor::new(blueprint, tell).start(), outcome }
    }

    /// How far a partition is committed.
    pub(crate) fn committed(&self, partition: i32) -> i64 {
        let progress = self.store.tables().progress;
        progress.get(&PartitionId(partition)).map_or(0, |(row, _)| row.next_offset.0)
    }

    /// Runs a pipeline to its end.
    pub(crate) async fn run(&self, source: &Arc<MemorySource>) {
        self.start(source).end().await.unwrap();
    }

    /// Whether the tables hold what the model says, windows made final included.
    pub(crate) fn check(&self) {
        self.check_against(&self.topic);
    }

    /// The same, where the truth about some records is another.
    pub(crate) fn check_against(&self, topic: &[Vec<Record>]) {
        let tables = self.store.tables();
        let (finals, open) = outcome(topic, &self.rules).final_and_open(&self.rules);
        assert_eq!(tables.finals, finals);
        assert_eq!(tables.open, open);
        self.check_sums(topic, &tables);
    }

    /// Whether everything is counted right, final or not.
    pub(crate) fn check_counts(&self) {
        let tables = self.store.tables();
        let kept = model::added(&tables.finals, &tables.open);
        assert_eq!(kept, outcome(&self.topic, &self.rules).on_time);
        self.check_sums(&self.topic, &tables);
    }

    fn check_sums(&self, topic: &[Vec<Record>], tables: &Tables) {
        let expected = outcome(topic, &self.rules);
        assert_eq!(tables.late, expected.late);
        let reasons = expected.rejected.iter().map(|(at, reason)| (*at, reason.to_string()));
        assert_eq!(tables.rejected, reasons.collect());
        let records = (0..).zip(topic).flat_map(|(partition, records)| {
            (0..).zip(records).map(move |(offset, record)| ((partition, offset), record))
        });
        let accepted = records.filter(|(at, _)| !expected.rejected.contains_key(at));
        if self.settings.store_events {
            let events = accepted.clone().map(|(at, record)| {
                let hit = record.truth.as_ref().unwrap();
                (at, (hit.host.clone(), hit.referrer.clone()))
            });
            assert_eq!(tables.events, events.collect());
        }
        // Wherever visitors are, each hit is somewhere, in every rollup.
        let mut by_host: BTreeMap<(i64, Option<String>), u64> = BTreeMap::new();
        for ((window, host, _), hits) in expected.on_time.iter().chain(&expected.late) {
            *by_host.entry((*window, host.clone())).or_default() += hits;
        }
        for rollup in &self.settings.enrich.rollups {
            let mut summed: BTreeMap<(i64, Option<String>), u64> = BTreeMap::new();
            for ((of, window, host, _), hits) in &tables.by_place {
                if of == rollup {
                    *summed.entry((*window, host.clone())).or_default() += hits;
                }
            }
            assert_eq!(summed, by_host, "{}", ROLLUPS[*rollup].name);
        }
        let mut ledger = Ledger::default();
        tables.progress.values().for_each(|(_, books)| ledger += *books);
        let count = |hits: u64| i64::try_from(hits).unwrap();
        let accepted = i64::try_from(accepted.count()).unwrap();
        assert_eq!((ledger.accepted, ledger.records), (accepted, accepted + ledger.rejected));
        assert_eq!(ledger.rejected, i64::try_from(expected.rejected.len()).unwrap());
        assert_eq!(ledger.counted, count(total(&expected.on_time)));
        assert_eq!((ledger.late, ledger.diverted), (count(total(&expected.late)), 0));
    }
}

/// A pipeline at work.
pub(crate) struct Running {
    pub(crate) supervisor: Addr<PipelineSupervisor>,
    outcome: oneshot::Receiver<Result<(), Fatal>>,
}

impl Running {
    /// How it ended.
    pub(crate) async fn end(self) -> Result<(), Fatal> {
        tokio::time::timeout(DEADLINE, self.outcome).await.unwrap().unwrap()
    }
}

/// A hit that is on time, with so many bytes beside what is counted.
pub(crate) fn hit(extra: usize) -> Record {
    let time = 1_700_000_000_000_000;
    let value = format!(r#"{{"event_time":{time},"host":"a","x":"{}"}}"#, "x".repeat(extra));
    let hit = Hit { time, host: Some("a".to_owned()), referrer: None };
    Record { value: Some(value.into_bytes()), timestamp: None, truth: Ok(hit) }
}

/// Windows of a minute, nothing late before its end.
pub(crate) fn minutes() -> Rules {
    let now = hitstream_actors::clock::now().as_micros();
    Rules { size: 60_000_000, slide: 60_000_000, delay: 0, skew: 1_000_000, now }
}

/// Waits for a condition of another thread's making.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while !condition() {
            look.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

fn time_rules(rules: &Rules) -> TimeRules {
    let span = |micros: i64| Duration::from_micros(micros.unsigned_abs());
    TimeRules {
        window: WindowSpec::new(span(rules.size), span(rules.slide)).unwrap(),
        delay: span(rules.delay),
        max_future_skew: span(rules.skew),
    }
}

/// Small pools, a fast rhythm, and an end.
fn settings(rules: TimeRules) -> Settings {
    Settings {
        kafka: KafkaSettings {
            properties: Vec::new(),
            topic: "hits".to_owned(),
            group: "group".to_owned(),
            start: StartAt::Earliest,
            on_data_loss: OnDataLoss::Fail,
        },
        rules,
        idle_timeout: Duration::from_secs(60),
        flush: FlushLimits {
            interval: Duration::from_millis(10),
            catch_up_interval: Duration::from_millis(50),
            max_keys: 1_000,
            max_events: 1_000,
            max_bytes: 1 << 20,
        },
        store_events: true,
        enrich: EnrichSettings {
            deadline: Duration::from_secs(1),
            cached_addresses: 100,
            rollups: vec![1, 2],
        },
        keep: Arc::new(KeepSettings { client: None, privacy: Privacy::default(), payloads: true }),
        pools: PoolSizes { threads: 2, window_shards: 2, enrichers: 2 },
        stall_timeout: DEADLINE,
        shutdown_timeout: DEADLINE,
        until_end: true,
        patience: None,
    }
}
