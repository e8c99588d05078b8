//! What the tables say, all from one snapshot that locks nothing.

use hitstream_actors::writer::postgres::{FrontierReport, ROW_MISSING, read_frontier};
use hitstream_domain::progress::{Ledger, Offset, PartitionId};
use hitstream_domain::rollup::WEB_TRAFFIC;
use hitstream_domain::time::EventTime;
use tokio_postgres::{Client, Error, IsolationLevel, Row, Transaction};

use crate::cli::CliError;
use crate::config::Config;
use crate::database;

/// Everything that is told.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) frontier: FrontierReport,
    /// Seconds since the frontier last moved.
    pub(super) frontier_age: f64,
    /// What the schema belongs to.
    pub(super) topic: String,
    pub(super) group: String,
    /// Those of the newest incarnation, by number.
    pub(super) partitions: Vec<Progress>,
    /// The earliest windows that are still among the open ones.
    pub(super) windows: Vec<OpenWindow>,
    /// How many there are in all.
    pub(super) windows_total: i64,
    /// Over all partitions and incarnations.
    pub(super) ledger: Ledger,
}

/// How far one partition is.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) partition: PartitionId,
    pub(super) topic_id: String,
    pub(super) next: Offset,
    /// Who committed last, and how many seconds ago; `None` before the first commit.
    pub(super) last_commit: Option<(String, f64)>,
}

/// One window of the open table.
#[derive(Debug)]
pub(super) struct OpenWindow {
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    pub(super) rows: i64,
    pub(super) hits: i64,
    /// Whether a later one was moved to the final rows.
    pub(super) is_passed_over: bool,
}

/// Most windows that are told of one by one.
const WINDOWS: i64 = 20;

const PIPELINE: &str = "SELECT topic, consumer_group, extract(epoch FROM now() - updated_at)::float8 FROM pipeline, frontier";

const PROGRESS: &str = "SELECT partition, topic_id, next_offset, owner, extract(epoch FROM now() - updated_at)::float8 \
     FROM partition_progress WHERE incarnation = (SELECT max(incarnation) FROM partition_progress) ORDER BY partition";

const LEDGER: &str = "SELECT coalesce(sum(records), 0)::bigint, coalesce(sum(accepted), 0)::bigint, \
     coalesce(sum(rejected), 0)::bigint, coalesce(sum(sanitised), 0)::bigint, coalesce(sum(stored), 0)::bigint, \
     coalesce(sum(counted), 0)::bigint, coalesce(sum(late), 0)::bigint, coalesce(sum(diverted), 0)::bigint, \
     coalesce(sum(lost), 0)::bigint FROM partition_progress";

/// Reads all in one read-only snapshot: a commit is in it whole or not at all.
pub(crate) async fn read(config: &Config, client: &mut Client) -> Result<Facts, CliError> {
    database::must_have_tables(config, client).await?;
    let facts = read_snapshot(client).await;
    let facts = facts.map_err(|error| database::query_failure(config, &error))?;
    facts.map_err(|there_is_progress| {
        if there_is_progress {
            CliError::Mismatch(ROW_MISSING.to_owned())
        } else {
            database::no_pipeline(config)
        }
    })
}

/// The facts, or whether there is progress although the row is gone that says whose.
async fn read_snapshot(client: &mut Client) -> Result<Result<Facts, bool>, Error> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let snapshot = builder.read_only(true).start().await?;
    let Some(frontier) = read_frontier(&snapshot).await? else {
        let progress = snapshot.query_opt("SELECT FROM partition_progress LIMIT 1", &[]).await?;
        return Ok(Err(progress.is_some()));
    };
    let pipeline = snapshot.query_one(PIPELINE, &[]).await?;
    let ledger = snapshot.query_one(LEDGER, &[]).await?;
    let partitions = snapshot.query(PROGRESS, &[]).await?;
    let (windows, windows_total) = windows(&snapshot).await?;
    Ok(Ok(Facts {
        frontier,
        topic: pipeline.get(0),
        group: pipeline.get(1),
        frontier_age: age(&pipeline, 2),
        partitions: partitions.iter().map(progress).collect(),
        windows,
        windows_total,
        ledger: Ledger {
            records: ledger.get(0),
            accepted: ledger.get(1),
            rejected: ledger.get(2),
            sanitised: ledger.get(3),
            stored: ledger.get(4),
            counted: ledger.get(5),
            late: ledger.get(6),
            diverted: ledger.get(7),
            lost: ledger.get(8),
        },
    }))
}

fn progress(row: &Row) -> Progress {
    let owner: Option<String> = row.get(3);
    Progress {
        partition: PartitionId(row.get(0)),
        topic_id: row.get(1),
        next: Offset(row.get(2)),
        last_commit: owner.map(|owner| (owner, age(row, 4))),
    }
}

/// A commit that was under way when the snapshot was taken may be newer than that.
fn age(row: &Row, column: usize) -> f64 {
    row.get::<_, f64>(column).max(0.0)
}

/// The earliest windows, and how many there are.
async fn windows(snapshot: &Transaction<'_>) -> Result<(Vec<OpenWindow>, i64), Error> {
    let name = WEB_TRAFFIC.name;
    let micros = |column: &str| format!("(extract(epoch FROM {column}) * 1000000)::bigint");
    // The later rows of a table that only grows are its last: to read it from its first would take long.
    snapshot.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let query = format!(
        "SELECT {}, {}, rows, hits, total, window_end <= f AND EXISTS \
           (SELECT FROM aggregated_{name} AS later WHERE later.window_start > open.window_start) \
         FROM (SELECT window_start, window_end, count(*) AS rows, sum(num_hits)::bigint AS hits, count(*) OVER () AS total \
               FROM open_{name} GROUP BY window_start, window_end ORDER BY window_end, window_start LIMIT {WINDOWS}) AS open, \
              frontier ORDER BY window_end, window_start",
        micros("window_start"),
        micros("window_end"),
    );
    let rows = snapshot.query(&query, &[]).await?;
    let window = |row: &Row| OpenWindow {
        start: EventTime::from_micros(row.get(0)),
        end: EventTime::from_micros(row.get(1)),
        rows: row.get(2),
        hits: row.get(3),
        is_passed_over: row.get(5),
    };
    let total = rows.first().map_or(0, |row| row.get(4));
    Ok((rows.iter().map(window).collect(), total))
}
