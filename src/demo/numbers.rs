//! What the demo shows: read from the tables and from Kafka, as anybody could.

use std::time::Duration;

use anyhow::Result;
use hitstream_domain::time::EventTime;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::config::Config;
use crate::topic;

/// Over what the busiest hosts are told.
const BUSY_OVER_SECONDS: f64 = 60.0;
const HOSTS: i64 = 3;

const NUMBERS: &str = "SELECT \
     coalesce(sum(next_offset - start_offset), 0)::bigint, coalesce(sum(late + diverted), 0)::bigint, \
     coalesce(sum(rejected), 0)::bigint, \
     (SELECT CASE WHEN isfinite(f) THEN (extract(epoch FROM f) * 1000000)::bigint END FROM frontier), \
     (SELECT count(DISTINCT window_start) FROM open_web_traffic), (SELECT count(*) FROM open_web_traffic), \
     (SELECT count(DISTINCT window_start) FROM aggregated_web_traffic), (SELECT count(*) FROM aggregated_web_traffic), \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
     FROM partition_progress";
const BUSIEST: &str = "SELECT coalesce(host, '(none)'), sum(num_hits)::bigint FROM live_web_traffic \
     WHERE window_end > now() - $1 * interval '1 second' GROUP BY host ORDER BY 2 DESC, 1 LIMIT $2";

/// How far the pipeline is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    /// Records committed.
    pub(super) records: i64,
    /// Records in Kafka that are not committed.
    pub(super) lag: i64,
    pub(super) late: i64,
    pub(super) rejected: i64,
    /// Windows that end at or before this are final.
    pub(super) frontier: Option<EventTime>,
    /// How far that is behind the clock.
    pub(super) behind: Option<Duration>,
    pub(super) open_windows: i64,
    pub(super) open_rows: i64,
    pub(super) final_windows: i64,
    pub(super) final_rows: i64,
    /// Hosts with their hits.
    pub(super) busiest: Vec<(String, i64)>,
}

/// Reads numbers again and again.
pub(super) struct Reader<'a> {
    config: &'a Config,
    runtime: Runtime,
    client: Client,
}

impl<'a> Reader<'a> {
    pub(super) fn connect(config: &'a Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let (client, connection) = config.postgres.client().connect(NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        })?;
        Ok(Self { config, runtime, client })
    }

    /// Reads them; `None` as long as the pipeline has made no tables.
    pub(super) fn read(&self) -> Result<Option<Numbers>> {
        let read = self.runtime.block_on(async {
            let made = "SELECT to_regclass('partition_progress') IS NOT NULL";
            if !self.client.query_one(made, &[]).await?.get::<_, bool>(0) {
                return Ok(None);
            }
            let numbers = self.client.query_one(NUMBERS, &[]).await?;
            let busiest = self.client.query(BUSIEST, &[&BUSY_OVER_SECONDS, &HOSTS]).await?;
            Ok::<_, tokio_postgres::Error>(Some((numbers, busiest)))
        })?;
        let Some((row, busiest)) = read else { return Ok(None) };
        let topic = topic::describe(self.config)?;
        let sent: i64 = topic.partitions.iter().map(|range| range.high.0).sum();
        let (records, frontier): (i64, Option<i64>) = (row.get(0), row.get(3));
        let now: i64 = row.get(8);
        let behind = frontier.and_then(|micros| u64::try_from(now - micros).ok());
        Ok(Some(Numbers {
            records,
            lag: (sent - records).max(0),
            late: row.get(1),
            rejected: row.get(2),
            frontier: frontier.map(EventTime::from_micros),
            behind: behind.map(Duration::from_micros),
            open_windows: row.get(4),
            open_rows: row.get(5),
            final_windows: row.get(6),
            final_rows: row.get(7),
            busiest: busiest.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }))
    }
}
