//! What the demo shows: read from the tables and from Kafka, as `hitstream status` does, and a little more.

use std::time::Duration;

use anyhow::Result;
use hitstream_domain::time::EventTime;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::config::Config;
use crate::frontier::State;
use crate::status::{self, Answer};

/// Over what the busiest hosts are told.
const BUSY_OVER_SECONDS: f64 = 60.0;
const HOSTS: i64 = 3;

const IS_MADE: &str = "SELECT to_regclass('pipeline') IS NOT NULL";
const HAS_BEGUN: &str = "SELECT EXISTS (SELECT FROM pipeline)";
const ROWS: &str = "SELECT \
     (SELECT count(DISTINCT window_start) FROM open_web_traffic), (SELECT count(*) FROM open_web_traffic), \
     (SELECT count(DISTINCT window_start) FROM aggregated_web_traffic), (SELECT count(*) FROM aggregated_web_traffic)";
const BUSIEST: &str = "SELECT coalesce(host, '(none)'), sum(num_hits)::bigint FROM live_web_traffic \
     WHERE window_end > now() - $1 * interval '1 second' GROUP BY host ORDER BY 2 DESC, 1 LIMIT $2";

/// How far the pipeline is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Numbers {
    /// Records committed.
    pub(super) records: i64,
    /// Records in Kafka that are not committed.
    pub(super) lag: i64,
    /// Since when the first of them waits, in seconds; `None` where none does, or it cannot be told.
    pub(super) oldest: Option<f64>,
    pub(super) late: i64,
    pub(super) rejected: i64,
    /// Windows that end at or before this are final.
    pub(super) frontier: Option<EventTime>,
    /// How far that is behind the clock.
    pub(super) behind: Option<Duration>,
    pub(super) watermarks: Watermarks,
    pub(super) open_windows: i64,
    pub(super) open_rows: i64,
    pub(super) final_windows: i64,
    pub(super) final_rows: i64,
    /// Hosts with their hits.
    pub(super) busiest: Vec<(String, i64)>,
}

/// The partitions' watermarks, in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watermarks {
    pub(super) partitions: usize,
    /// Partitions that have had no hit.
    pub(super) without_hit: usize,
    /// Partitions that are proven to be idle.
    pub(super) idle: usize,
    /// Partitions whose watermark is the least of those that are not idle.
    pub(super) held_by: Vec<i32>,
    /// That least one.
    pub(super) least: Option<EventTime>,
    /// The greatest of all.
    pub(super) newest: Option<EventTime>,
}

impl Watermarks {
    fn of(answer: &Answer<'_>) -> Self {
        let mut all = Self { held_by: answer.held_by.clone(), ..Self::default() };
        for partition in &answer.partitions {
            let watermark = partition.watermark.map(|moment| moment.0);
            all.partitions += 1;
            all.without_hit += usize::from(watermark.is_none());
            all.idle += usize::from(partition.state == State::Idle);
            if partition.state == State::Holds {
                all.least = watermark;
            }
            all.newest = all.newest.max(watermark);
        }
        all
    }
}

/// Reads numbers again and again.
pub(super) struct Reader<'a> {
    config: &'a Config,
    runtime: Runtime,
    client: Client,
    has_begun: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn connect(config: &'a Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let (client, connection) = config.postgres.client().connect(NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        })?;
        Ok(Self { config, runtime, client, has_begun: false })
    }

    /// Reads them; `None` as long as the pipeline has not begun.
    pub(super) fn read(&mut self) -> Result<Option<Numbers>> {
        let Self { config, runtime, client, has_begun } = self;
        let read = runtime.block_on(async {
            if !*has_begun && !begun(client).await? {
                return Ok(None);
            }
            *has_begun = true;
            let facts = status::read_facts(config, client).await?;
            let rows = client.query_one(ROWS, &[]).await?;
            let busiest = client.query(BUSIEST, &[&BUSY_OVER_SECONDS, &HOSTS]).await?;
            anyhow::Ok(Some((facts, rows, busiest)))
        })?;
        let Some((facts, rows, busiest)) = read else { return Ok(None) };
        let answer = status::beside_kafka(config, &facts)?;
        let frontier = answer.frontier.map(|moment| moment.0);
        let micros = |frontier: EventTime| facts.frontier.now.as_micros() - frontier.as_micros();
        let behind = frontier.and_then(|frontier| u64::try_from(micros(frontier)).ok());
        let waits = answer.partitions.iter().filter(|partition| partition.lag_records > Some(0));
        Ok(Some(Numbers {
            records: answer.ledger.records,
            lag: answer.lag_records.unwrap_or_default(),
            oldest: waits.filter_map(|partition| partition.oldest_unread_seconds).reduce(f64::max),
            late: answer.ledger.late + answer.ledger.diverted,
            rejected: answer.ledger.rejected,
            frontier,
            behind: behind.map(Duration::from_micros),
            watermarks: Watermarks::of(&answer),
            open_windows: rows.get(0),
            open_rows: rows.get(1),
            final_windows: rows.get(2),
            final_rows: rows.get(3),
            busiest: busiest.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }))
    }
}

/// Whether the pipeline has made its tables and entered itself.
async fn begun(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(IS_MADE, &[]).await?.get(0)
        && client.query_one(HAS_BEGUN, &[]).await?.get(0))
}
