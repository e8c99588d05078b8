//! A topic that is deleted, or deleted and created again, while it is read.

use std::time::Duration;

use hitstream_actors::source::{PartitionRange, TopicDescription};
use hitstream_actors::store::{Store, StoreError, TopicProgress};
use hitstream_actors::writer::postgres::{
    PipelineSettings, PostgresSettings, PostgresStore, TlsSettings,
};
use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;

use crate::support::hit::Hit;
use crate::support::process::{Running, wait_until};
use crate::support::traffic::committed;
use crate::support::{Bench, kafka};

/// Records of the first topic, and of each partition of the next: more, so that reading on in it is possible.
const FIRST: i64 = 10;
const NEXT: i64 = 500;

/// A bench whose instance has read a topic of two partitions.
fn reading(name: &str, settings: &[(&str, &str)]) -> Option<(Bench, Running)> {
    let mut bench = Bench::new(name)?.with("HITSTREAM_FLUSH__INTERVAL", "100ms");
    for (name, value) in settings {
        bench = bench.with(name, value);
    }
    bench.create_topic(2);
    (0..2).for_each(|partition| send(&bench, partition, FIRST));
    let running = bench.hitstream(&["run"]).start();
    wait_until("the topic is read", || committed(&bench) == 2 * FIRST);
    Some((bench, running))
}

fn send(bench: &Bench, partition: i32, hits: i64) {
    let hits: Vec<_> = (0..hits).map(|second| Hit::at(second).host("h").record()).collect();
    bench.send(partition, &hits);
}

fn delete(bench: &Bench) {
    kafka::delete(&bench.kafka_url, &bench.topic);
    wait_until("deleted", || !kafka::exists(&bench.kafka_url, &bench.topic));
}

/// While the instance is frozen: when it wakes it fetches from where it was, and there are records.
fn recreate(bench: &Bench, reader: &Running) {
    reader.signal("STOP");
    delete(bench);
    bench.create_topic(2);
    (0..2).for_each(|partition| send(bench, partition, NEXT));
    reader.signal("CONT");
}

#[test]
fn recreated_topic_is_not_read_on_as_if_it_were_the_same() {
    let Some((bench, running)) = reading("recreated_live", &[]) else { return };
    recreate(&bench, &running);
    let ended = running.finish();
    assert_eq!(ended.code, Some(64), "{ended}");
    assert!(ended.stderr.contains("was deleted and created again"), "{ended}");
    assert_eq!(committed(&bench), 2 * FIRST, "nothing of the next topic is in the tables");
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 2 * FIRST);
}

#[test]
fn recreated_topic_is_read_from_its_start_where_loss_is_accepted() {
    let settings = [("HITSTREAM_KAFKA__ON_DATA_LOSS", "continue")];
    let Some((bench, running)) = reading("recreated_on", &settings) else { return };
    recreate(&bench, &running);
    wait_until("both are read", || committed(&bench) == 2 * (FIRST + NEXT));
    running.stop();
    bench.clean_audit();
    let all = "SELECT count(DISTINCT (incarnation, partition, \"offset\")) FROM processed_events";
    assert_eq!(bench.count(all), 2 * (FIRST + NEXT));
    assert_eq!(
        bench.count("SELECT sum(num_hits)::bigint FROM live_web_traffic"),
        2 * (FIRST + NEXT)
    );
}

/// The store, and the topic as brokers may describe it.
fn open(bench: &Bench, topic_id: &str) -> Result<TopicProgress, StoreError> {
    let postgres = PostgresSettings {
        config: bench.database_url().parse().unwrap(),
        tls: TlsSettings::default(),
        schema: "public".to_owned(),
        pool_size: 1,
        instance: "test".to_owned(),
    };
    let minute = Duration::from_secs(60);
    let rules = TimeRules {
        window: WindowSpec::new(5 * minute, 5 * minute).unwrap(),
        delay: minute,
        max_future_skew: minute,
    };
    let pipeline = PipelineSettings {
        topic: bench.topic.clone(),
        group: "group".to_owned(),
        rules,
        idle_timeout: minute,
        max_days: 1,
        start_at_latest: false,
        accept_data_loss: true,
    };
    let range = PartitionRange { partition: PartitionId(0), low: Offset(0), high: Offset(9) };
    let topic = TopicDescription {
        cluster_id: String::new(),
        topic_id: topic_id.to_owned(),
        partitions: vec![range],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { PostgresStore::new(postgres, pipeline).open_topic(&topic).await })
}

#[test]
fn late_news_of_a_former_topic_starts_no_incarnation_anew() {
    let Some(bench) = Bench::new("late_news") else { return };
    bench.done(&["migrate"]);
    let incarnation = |id: &str| open(&bench, id).map(|progress| progress.incarnation);
    let progress = "UPDATE partition_progress SET next_offset = 5 \
         WHERE incarnation = (SELECT max(incarnation) FROM partition_progress)";
    assert_eq!(incarnation("a"), Ok(0));
    bench.sql().execute(progress, &[]).unwrap();
    assert_eq!(incarnation("b"), Ok(1));
    // Nothing was read of b yet: whoever described a may be right, and nothing is lost by that.
    assert_eq!((incarnation("a"), incarnation("b")), (Ok(0), Ok(1)));
    bench.sql().execute(progress, &[]).unwrap();
    let late = incarnation("a").unwrap_err();
    assert!(
        matches!(&late, StoreError::Unavailable(said) if said.contains("former topic")),
        "{late}"
    );
    // A topic between the two that nobody has heard of before: it goes once the present one is described again.
    assert_eq!((incarnation("c"), incarnation("b")), (Ok(2), Ok(1)));
    assert_eq!(bench.count("SELECT max(incarnation)::bigint FROM partition_progress"), 1);
    assert_eq!(bench.count("SELECT next_offset FROM partition_progress WHERE incarnation = 1"), 5);
}

#[test]
fn deleted_topic_is_no_readiness_and_leaves_what_was_read() {
    let Some((bench, mut running)) = reading("deleted_live", &[]) else { return };
    delete(&bench);
    wait_until("that is said", || {
        running.stderr().contains("does not exist any more: nothing is left to read")
    });
    assert!(running.is_running());
    running.stop();
    assert_eq!(committed(&bench), 2 * FIRST);
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 2 * FIRST);
}
