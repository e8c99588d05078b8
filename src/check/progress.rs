//! How far the tables are, against what Kafka still has.

use hitstream_actors::source::TopicDescription;
use hitstream_domain::progress::{Offset, PartitionId};
use tokio_postgres::{Client, Row};

use super::report::Finding;
use crate::cli::CliError;
use crate::cli::words::count;
use crate::config::{Config, OnDataLoss};
use crate::{database, topic};

const PROGRESS: &str = "SELECT partition, topic_id, next_offset FROM partition_progress \
     WHERE incarnation = (SELECT max(incarnation) FROM partition_progress) ORDER BY partition";

/// Compares.
pub(super) async fn check(
    config: &Config,
    client: &Client,
    topic: &TopicDescription,
) -> Result<Vec<Finding>, CliError> {
    let rows = client.query(PROGRESS, &[]).await;
    let rows = rows.map_err(|error| database::query_failure(config, &error))?;
    // A running pipeline has read on since the topic was described: where it seems to have read more than there is, what
    // Kafka has now decides.
    let now;
    let topic = if rows.iter().any(|row| is_past_end(row, topic)) {
        now = topic::describe_aside(config).await;
        match &now {
            Ok(topic) => topic,
            Err(error) => return Ok(vec![Finding::failed("progress", error)]),
        }
    } else {
        topic
    };
    if rows.iter().any(|row| !topic.may_have_id(row.get(1))) {
        let detail = "the topic was deleted and created again since it was last read".to_owned();
        return Ok(vec![loss(config, detail)]);
    }
    let mut findings = Vec::new();
    let mut unread = 0;
    for row in &rows {
        let (partition, next) = (PartitionId(row.get(0)), Offset(row.get(2)));
        let Some(range) = topic.partitions.iter().find(|range| range.partition == partition) else {
            let detail = format!("Kafka has no partition {partition}, but the tables do");
            findings.push(Finding::fail(
                "progress",
                detail,
                "point KAFKA_URL to the cluster that was read",
            ));
            continue;
        };
        unread += (range.high.0 - next.0.max(range.low.0)).max(0);
        if next < range.low {
            let gone = format!("offsets {next} to {}", range.low.0 - 1);
            let detail =
                format!("partition {partition}: Kafka deleted {gone} before they were read");
            findings.push(loss(config, detail));
        }
        if next > range.high {
            let detail = format!(
                "partition {partition} was read up to offset {next}, but Kafka's records end at {}",
                range.high
            );
            findings.push(loss(config, detail));
        }
    }
    if findings.is_empty() {
        let detail = format!("{} left to read", count(unread, "offset is", "offsets are"));
        findings.push(Finding::ok("progress", detail));
    }
    Ok(findings)
}

/// Whether a row is of a partition whose records end before what was read of it.
fn is_past_end(row: &Row, topic: &TopicDescription) -> bool {
    let (partition, next) = (PartitionId(row.get(0)), Offset(row.get(2)));
    topic.partitions.iter().any(|range| range.partition == partition && next > range.high)
}

/// A run stops there, unless it may go on.
fn loss(config: &Config, detail: String) -> Finding {
    match config.kafka.on_data_loss {
        OnDataLoss::Fail => Finding::fail(
            "progress",
            detail,
            "set kafka.on_data_loss = \"continue\" if that is meant, else use another schema or database",
        ),
        OnDataLoss::Continue => Finding::warn(
            "progress",
            detail,
            "nothing: kafka.on_data_loss = \"continue\" goes on without them",
        ),
    }
}
