//! What the tables say, all from one snapshot.

use hitstream_actors::writer::postgres::ROW_MISSING;
use hitstream_domain::progress::{Ledger, Offset, PartitionId};
use hitstream_domain::rollup::{ROLLUPS, Rollup, WEB_TRAFFIC};
use hitstream_domain::time::EventTime;
use tokio_postgres::{Client, Error, IsolationLevel, Row, Transaction};

use crate::cli::CliError;
use crate::config::Config;
use crate::database;

/// Everything that is compared.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `frontier.f`; `None` before the first window is final.
    pub(super) frontier: Option<EventTime>,
    /// Size and slide in microseconds; `None` where they have been changed since the first hit, or nothing ever ran.
    pub(super) window: Option<(i64, i64)>,
    pub(super) partitions: Vec<PartitionFacts>,
    pub(super) rollups: Vec<RollupFacts>,
}

/// One partition of one incarnation of the topic.
#[derive(Clone, Debug)]
pub(super) struct PartitionFacts {
    pub(super) incarnation: i32,
    pub(super) partition: PartitionId,
    pub(super) topic_id: String,
    pub(super) start: Offset,
    pub(super) next: Offset,
    pub(super) ledger: Ledger,
    pub(super) rejects: Stored,
    pub(super) events: Stored,
}

/// Rows of a table that stand for single records of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    pub(super) rows: i64,
    pub(super) distinct: i64,
    /// Rows whose offset was never read, by the partition's progress.
    pub(super) strays: i64,
}

/// The tables of one rollup.
#[derive(Clone, Debug)]
pub(super) struct RollupFacts {
    pub(super) name: &'static str,
    /// Sums of `num_hits`.
    pub(super) final_hits: i64,
    pub(super) open_hits: i64,
    pub(super) late_hits: i64,
    /// Keys that have several rows among the final and open ones, or among the late ones.
    pub(super) keys_twice: i64,
    /// Final rows of windows that the frontier has not passed.
    pub(super) final_too_early: i64,
    /// What was summed into it by its own ledger; `None` for the first rollup, which is the partitions' ledger.
    pub(super) booked: Option<RollupLedger>,
    /// Windows whose sums are other than those of the first rollup.
    pub(super) windows_apart: i64,
}

/// (record, window) pairs by a rollup's own ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RollupLedger {
    pub(super) counted: i64,
    pub(super) late: i64,
    pub(super) refused: i64,
}

const PROGRESS: &str = "SELECT incarnation, partition, topic_id, start_offset, next_offset, records, accepted, rejected, \
     sanitised, stored, counted, late, diverted, lost FROM partition_progress ORDER BY incarnation, partition";

/// Reads all in one read-only snapshot: a commit is in it whole or not at all.
pub(super) async fn read(config: &Config, client: &mut Client) -> Result<Facts, CliError> {
    database::must_have_tables(config, client).await?;
    let facts = read_snapshot(client).await;
    let facts = facts.map_err(|error| database::query_failure(config, &error))?;
    facts.ok_or_else(|| CliError::Mismatch(ROW_MISSING.to_owned()))
}

/// `None` where a row is gone that is there for good.
async fn read_snapshot(client: &mut Client) -> Result<Option<Facts>, Error> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let snapshot = builder.read_only(true).start().await?;
    // The view is part of what a migration makes; nothing else here would miss it.
    snapshot.query("SELECT FROM live_web_traffic LIMIT 0", &[]).await?;
    let once = "SELECT CASE WHEN isfinite(f) THEN (extract(epoch FROM f) * 1000000)::bigint END FROM frontier WHERE EXISTS (SELECT FROM pipeline) \
         OR NOT EXISTS (SELECT FROM partition_progress)";
    let Some(frontier) = snapshot.query_opt(once, &[]).await? else { return Ok(None) };
    let mut facts = Facts {
        frontier: frontier.get::<_, Option<i64>>(0).map(EventTime::from_micros),
        window: window(&snapshot).await?,
        ..Facts::default()
    };
    for row in snapshot.query(PROGRESS, &[]).await? {
        facts.partitions.push(partition(&row));
    }
    for (incarnation, partition, stored) in stored(&snapshot, &["rejected_events"]).await? {
        if let Some(found) = facts.find(incarnation, partition) {
            found.rejects = stored;
        }
    }
    let tables = ["processed_events", "processed_events_overflow"];
    for (incarnation, partition, stored) in stored(&snapshot, &tables).await? {
        if let Some(found) = facts.find(incarnation, partition) {
            found.events = stored;
        }
    }
    for rollup in ROLLUPS {
        facts.rollups.push(read_rollup(&snapshot, rollup).await?);
    }
    Ok(Some(facts))
}

impl Facts {
    fn find(&mut self, incarnation: i32, partition: i32) -> Option<&mut PartitionFacts> {
        self.partitions
            .iter_mut()
            .find(|facts| facts.incarnation == incarnation && facts.partition.0 == partition)
    }
}

async fn window(snapshot: &Transaction<'_>) -> Result<Option<(i64, i64)>, Error> {
    let query = "SELECT window_size, window_slide FROM pipeline, frontier \
         WHERE note IS NULL OR note NOT LIKE '%closed by hand%'";
    let row = snapshot.query_opt(query, &[]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

fn partition(row: &Row) -> PartitionFacts {
    PartitionFacts {
        incarnation: row.get(0),
        partition: PartitionId(row.get(1)),
        topic_id: row.get(2),
        start: Offset(row.get(3)),
        next: Offset(row.get(4)),
        ledger: Ledger {
            records: row.get(5),
            accepted: row.get(6),
            rejected: row.get(7),
            sanitised: row.get(8),
            stored: row.get(9),
            counted: row.get(10),
            late: row.get(11),
            diverted: row.get(12),
            lost: row.get(13),
        },
        rejects: Stored::default(),
        events: Stored::default(),
    }
}

/// Counts rows by partition; a row of a partition without progress is a stray of the lowest one.
async fn stored(
    snapshot: &Transaction<'_>,
    tables: &[&str],
) -> Result<Vec<(i32, i32, Stored)>, Error> {
    let rows: Vec<String> = tables
        .iter()
        .map(|table| format!("SELECT incarnation, partition, \"offset\" FROM {table}"))
        .collect();
    let query = format!(
        "WITH lowest AS (SELECT incarnation, partition FROM partition_progress ORDER BY 1, 2 LIMIT 1) \
         SELECT coalesce(p.incarnation, l.incarnation), coalesce(p.partition, l.partition), count(*), \
                count(DISTINCT (r.incarnation, r.partition, r.\"offset\")), \
                count(*) FILTER (WHERE p.partition IS NULL OR r.\"offset\" < p.start_offset OR r.\"offset\" >= p.next_offset) \
         FROM ({}) r LEFT JOIN partition_progress p USING (incarnation, partition) CROSS JOIN lowest l GROUP BY 1, 2",
        rows.join(" UNION ALL ")
    );
    let rows = snapshot.query(&query, &[]).await?;
    let count = |row: &Row| {
        let stored = Stored { rows: row.get(2), distinct: row.get(3), strays: row.get(4) };
        (row.get(0), row.get(1), stored)
    };
    Ok(rows.iter().map(count).collect())
}

const ROLLUP_LEDGER: &str = "SELECT coalesce(sum(counted), 0)::bigint, coalesce(sum(late), 0)::bigint, \
     coalesce(sum(refused), 0)::bigint FROM rollup_ledger WHERE rollup = $1";

async fn read_rollup(snapshot: &Transaction<'_>, rollup: &Rollup) -> Result<RollupFacts, Error> {
    let name = rollup.name;
    let columns: Vec<&str> = rollup.dimensions.iter().map(|d| d.column()).collect();
    let columns = columns.join(", ");
    let sum =
        |table: &str| format!("SELECT coalesce(sum(num_hits), 0)::bigint FROM {table}_{name}");
    let twice = |rows: &str| {
        format!(
            "SELECT count(*) FROM (SELECT FROM ({rows}) r GROUP BY window_start, window_end, {columns} \
             HAVING count(*) > 1) twice"
        )
    };
    let keys =
        |table: &str| format!("SELECT window_start, window_end, {columns} FROM {table}_{name}");
    let live = twice(&format!("{} UNION ALL {}", keys("aggregated"), keys("open")));
    let late = twice(&keys("late"));
    let early = format!("SELECT count(*) FROM aggregated_{name}, frontier WHERE window_end > f");
    let query = format!(
        "SELECT ({}), ({}), ({}), ({live}) + ({late}), ({early})",
        sum("aggregated"),
        sum("open"),
        sum("late")
    );
    let row = snapshot.query_one(&query, &[]).await?;
    let (booked, windows_apart) = if *rollup == WEB_TRAFFIC {
        (None, 0)
    } else {
        let (booked, apart) = read_beside_web_traffic(snapshot, name).await?;
        (Some(booked), apart)
    };
    Ok(RollupFacts {
        name,
        final_hits: row.get(0),
        open_hits: row.get(1),
        late_hits: row.get(2),
        keys_twice: row.get(3),
        final_too_early: row.get(4),
        booked,
        windows_apart,
    })
}

/// What was booked of a rollup, and how many of its windows hold other sums than web_traffic's.
async fn read_beside_web_traffic(
    snapshot: &Transaction<'_>,
    name: &str,
) -> Result<(RollupLedger, i64), Error> {
    let apart = format!(
        "SELECT count(*) FROM ({}) a FULL JOIN ({}) b USING (kind, window_start, window_end) \
         WHERE a.hits IS DISTINCT FROM b.hits",
        windows(WEB_TRAFFIC.name),
        windows(name)
    );
    let booked = snapshot.query_one(ROLLUP_LEDGER, &[&name]).await?;
    let apart = snapshot.query_one(&apart, &[]).await?.get(0);
    let booked =
        RollupLedger { counted: booked.get(0), late: booked.get(1), refused: booked.get(2) };
    Ok((booked, apart))
}

/// The hits of each window, open and final ones apart from late ones.
fn windows(name: &str) -> String {
    let of = |kind: &str, table: &str| {
        format!("SELECT '{kind}' AS kind, window_start, window_end, num_hits FROM {table}_{name}")
    };
    format!(
        "SELECT kind, window_start, window_end, sum(num_hits) AS hits FROM ({} UNION ALL {} UNION ALL {}) rows \
         GROUP BY 1, 2, 3",
        of("live", "aggregated"),
        of("live", "open"),
        of("late", "late")
    )
}
