//! *Rows first*: what this schema belongs to, and a progress row for every partition of the topic.

use std::collections::BTreeMap;

use hitstream_domain::progress::{Offset, PartitionId, PartitionProgress};
use hitstream_domain::watermark::TimeRules;
use tokio_postgres::{Client, Row, Transaction};

use super::commit::row_missing;
use super::locks::frontier_lock;
use super::session::classify;
use super::types::Timestamp;
use super::{PipelineSettings, PostgresStore, begin};
use crate::source::{PartitionRange, TopicDescription};
use crate::store::{StoreError, TopicProgress};

/// Inserts missing progress rows and reads all, holding K alone so that no frontier is computed without them.
pub(super) async fn open_topic(
    store: &PostgresStore,
    topic: &TopicDescription,
) -> Result<TopicProgress, StoreError> {
    let mut connection = store.connection().await?;
    let transaction = begin(&mut connection).await?;
    let lock = frontier_lock(&store.settings.schema);
    let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await;
    locked.map_err(|error| classify(&error))?;
    claim_schema(&transaction, &store.pipeline, topic).await?;
    let known = incarnations(&transaction).await?;
    let newest = known.last().filter(|newest| topic.may_have_id(&newest.topic_id));
    let same = known.iter().find(|known| topic.topic_id == known.topic_id);
    let incarnation = match newest.or(same) {
        _ if known.is_empty() => 0,
        Some(this) => {
            return_to(&transaction, this.number, &known).await?;
            this.number
        }
        None if store.pipeline.accept_data_loss => known.last().map_or(0, |last| last.number + 1),
        None => {
            return Err(StoreError::Mismatch(format!(
                "topic {:?} was deleted and created again since it was last read: its new records would be counted \
                 beside the old. If that is meant, set kafka.on_data_loss = \"continue\"; else use another schema or \
                 database",
                store.pipeline.topic
            )));
        }
    };
    let from_latest = known.is_empty() && store.pipeline.start_at_latest;
    insert_rows(&transaction, topic, incarnation, from_latest).await?;
    let partitions = read_rows(&transaction, incarnation).await?;
    transaction.commit().await.map_err(|error| classify(&error))?;
    Ok(TopicProgress { incarnation, partitions })
}

/// Writes what the schema belongs to, or compares with it.
async fn claim_schema(
    transaction: &Transaction<'_>,
    settings: &PipelineSettings,
    topic: &TopicDescription,
) -> Result<(), StoreError> {
    let (size, slide, delay) = rules_in_micros(&settings.rules);
    let insert = "INSERT INTO pipeline (cluster_id, topic, consumer_group, window_size, window_slide, watermark_delay) \
         SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM partition_progress) \
         ON CONFLICT (only_row) DO NOTHING";
    transaction
        .execute(
            insert,
            &[&topic.cluster_id, &settings.topic, &settings.group, &size, &slide, &delay],
        )
        .await
        .map_err(|error| classify(&error))?;
    let row = transaction.query_opt(PIPELINE, &[]).await.map_err(|error| classify(&error))?;
    belongs(&row.ok_or_else(row_missing)?, settings, &topic.cluster_id)
}

/// Compares what the schema belongs to with the settings, changing nothing; tells whether any pipeline has run.
pub(super) async fn check_pipeline(
    client: &Client,
    settings: &PipelineSettings,
    cluster_id: &str,
) -> Result<bool, StoreError> {
    let row = client.query_opt(PIPELINE, &[]).await.map_err(|error| classify(&error))?;
    if let Some(row) = row {
        return belongs(&row, settings, cluster_id).map(|()| true);
    }
    let progress = client.query_opt("SELECT FROM partition_progress LIMIT 1", &[]).await;
    match progress.map_err(|error| classify(&error))? {
        Some(_) => Err(row_missing()),
        None => Ok(false),
    }
}

const PIPELINE: &str = "SELECT cluster_id, topic, consumer_group, window_size, window_slide, watermark_delay FROM pipeline";

fn belongs(row: &Row, settings: &PipelineSettings, cluster_id: &str) -> Result<(), StoreError> {
    let (cluster, name, group): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let differs = |what: &str, here: &str, there: &str| {
        StoreError::Mismatch(format!(
            "this schema belongs to another pipeline: {what} is {here:?} here and {there:?} there. One schema holds one \
             pipeline: set postgres.schema (or the database) to one of its own"
        ))
    };
    if name != settings.topic {
        return Err(differs("the topic (kafka.topic)", &settings.topic, &name));
    }
    if group != settings.group {
        return Err(differs("the consumer group (kafka.group)", &settings.group, &group));
    }
    if !cluster.is_empty() && !cluster_id.is_empty() && cluster != cluster_id {
        return Err(differs("the Kafka cluster id", cluster_id, &cluster));
    }
    check_rules(settings, (row.get(3), row.get(4), row.get(5)))
}

/// Refuses time rules other than the schema's: windows already open were cut by those.
pub(super) fn check_rules(
    settings: &PipelineSettings,
    there: (i64, i64, i64),
) -> Result<(), StoreError> {
    let here = rules_in_micros(&settings.rules);
    let names = ["window.size", "window.slide", "watermark.delay"];
    let changed: Vec<String> = names
        .iter()
        .zip([(here.0, there.0), (here.1, there.1), (here.2, there.2)])
        .filter(|(_, (here, there))| here != there)
        .map(|(name, (here, there))| {
            format!("{name} is {} here and {} there", seconds(here), seconds(there))
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(StoreError::Mismatch(format!(
        "the time settings differ from those of the windows in the database: {}. Set them back, or stop all instances \
         and run `hitstream migrate --close-open` with the new settings: it makes every open window final as it stands",
        changed.join(", ")
    )))
}

/// Size, slide and delay as the pipeline row has them.
pub(super) fn rules_in_micros(rules: &TimeRules) -> (i64, i64, i64) {
    let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    (micros(rules.window.size()), micros(rules.window.slide()), micros(rules.delay))
}

fn seconds(micros: i64) -> String {
    format!("{} s", micros as f64 / 1e6)
}

/// One life of the topic, from a creation to a deletion.
struct Incarnation {
    number: i32,
    topic_id: String,
    has_progress: bool,
}

/// All that are known, oldest first.
async fn incarnations(transaction: &Transaction<'_>) -> Result<Vec<Incarnation>, StoreError> {
    let select = "SELECT incarnation, min(topic_id), bool_or(next_offset > start_offset) FROM partition_progress \
         GROUP BY incarnation ORDER BY incarnation";
    let rows = transaction.query(select, &[]).await.map_err(|error| classify(&error))?;
    let all = rows.iter().map(|row| Incarnation {
        number: row.get(0),
        topic_id: row.get(1),
        has_progress: row.get(2),
    });
    Ok(all.collect())
}

/// An id never comes back once another took its place. So where a newer incarnation has progress, whoever described the
/// topic was told of it late, by a broker or by being frozen meanwhile; where none has, it was the newer ones that were
/// made of late news, and they go.
async fn return_to(
    transaction: &Transaction<'_>,
    number: i32,
    known: &[Incarnation],
) -> Result<(), StoreError> {
    let newer = || known.iter().filter(|known| known.number > number);
    if newer().any(|newer| newer.has_progress) {
        return Err(StoreError::Unavailable(
            "the brokers describe a former topic of this name, deleted since".to_owned(),
        ));
    }
    if newer().count() > 0 {
        let delete = "DELETE FROM partition_progress WHERE incarnation > $1";
        transaction.execute(delete, &[&number]).await.map_err(|error| classify(&error))?;
    }
    Ok(())
}

async fn insert_rows(
    transaction: &Transaction<'_>,
    topic: &TopicDescription,
    incarnation: i32,
    from_latest: bool,
) -> Result<(), StoreError> {
    let start = |range: &PartitionRange| if from_latest { range.high.0 } else { range.low.0 };
    let partitions: Vec<i32> = topic.partitions.iter().map(|range| range.partition.0).collect();
    let starts: Vec<i64> = topic.partitions.iter().map(start).collect();
    let insert = "INSERT INTO partition_progress (incarnation, partition, topic_id, start_offset, next_offset) \
         SELECT $1, n.partition, $2, n.start, n.start FROM unnest($3::int[], $4::bigint[]) AS n(partition, start) \
         ON CONFLICT (incarnation, partition) DO NOTHING";
    transaction
        .execute(insert, &[&incarnation, &topic.topic_id, &partitions, &starts])
        .await
        .map_err(|error| classify(&error))?;
    Ok(())
}

async fn read_rows(
    transaction: &Transaction<'_>,
    incarnation: i32,
) -> Result<BTreeMap<PartitionId, PartitionProgress>, StoreError> {
    let select = "SELECT partition, start_offset, next_offset, max_event_time FROM partition_progress \
         WHERE incarnation = $1";
    let rows =
        transaction.query(select, &[&incarnation]).await.map_err(|error| classify(&error))?;
    let progress = rows.iter().map(|row| {
        let partition = PartitionId(row.get(0));
        let progress = PartitionProgress {
            partition,
            start_offset: Offset(row.get(1)),
            next_offset: Offset(row.get(2)),
            max_event_time: row.get::<_, Option<Timestamp>>(3).map(|t| t.0),
        };
        (partition, progress)
    });
    Ok(progress.collect())
}
