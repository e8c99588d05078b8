//! Events that were stored without a location because nobody could tell in time: found, and filled in later. Rollups stay as
//! they are: what was counted under no place stays there.
//!
//! One instance of a schema does it at a time, or each would ask for what the others ask for; and it does so on a
//! connection of its own, or a day that somebody holds could keep one from the commits.

use std::time::Duration;

use hitstream_domain::geo::{GeoSource, GeoStatus, Location};
use hitstream_domain::time::EventTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::connect_with;
use super::locks::repair_lock;
use super::session::{PostgresSettings, bounded_config, classify};
use super::types::Timestamp;
use crate::packed::Day;
use crate::store::StoreError;

/// Where events are.
const TABLES: [&str; 2] = ["processed_events", "processed_events_overflow"];

/// As the partial indexes have it ([`GeoStatus::is_transient`]).
const WAITS: &str = "geo_status IN ('quota', 'timeout', 'error')";

/// So many waiting events are looked at for the addresses with most of them: an outage may leave millions.
const LOOKED_AT: u32 = 10_000;

/// Waiting events are counted as far as that, in each table.
const COUNTED: u32 = 100_000;

/// Whoever holds a row or a table for longer is not waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// For a visitor with millions of events in a day.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);

/// Events of one visitor on one day that wait for a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvents {
    /// The address as stored.
    pub ip: String,
    /// The day of the events.
    pub day: Day,
    /// How many they are.
    pub hits: u32,
}

/// The right to repair, for as long as this lives.
pub struct RepairSession(Client);

impl RepairSession {
    /// Connects and takes the right; `None` where another instance has it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin(settings: &PostgresSettings) -> Result<Option<Self>, StoreError> {
        let config = bounded_config(settings, LOCK_TIMEOUT, STATEMENT_TIMEOUT);
        let client = connect_with(config, &settings.tls).await;
        let client = client.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        // The session's: it goes with the connection, whatever becomes of this process.
        let take = "SELECT pg_try_advisory_lock($1)";
        let taken = client.query_one(take, &[&repair_lock(&settings.schema)]).await;
        let is_taken: bool = taken.map_err(|error| classify(&error))?.get(0);
        Ok(is_taken.then_some(Self(client)))
    }

    /// Visitors and days whose events wait for a location, those with most among the events looked at first; none of
    /// these visitors.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn waiting_events(
        &self,
        limit: usize,
        but_not: &[String],
    ) -> Result<Vec<WaitingEvents>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let of = |table: &str| {
            format!(
                "(SELECT ip, event_time FROM {table} WHERE {WAITS} AND ip <> ALL($2) LIMIT {LOOKED_AT})"
            )
        };
        let query = format!(
            "SELECT ip, date_trunc('day', event_time, 'UTC'), count(*) FROM ({} UNION ALL {}) waiting \
             GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $1",
            of(TABLES[0]),
            of(TABLES[1])
        );
        let rows = self.0.query(&query, &[&limit, &but_not]).await;
        let rows = rows.map_err(|error| classify(&error))?;
        let read = |row: &Row| WaitingEvents {
            ip: row.get(0),
            day: Day::of(row.get::<_, Timestamp>(1).0),
            hits: u32::try_from(row.get::<_, i64>(2)).unwrap_or(u32::MAX),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// How many events wait for a location, of each table at most 100,000.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_waiting(&self) -> Result<i64, StoreError> {
        let [here, beside] = TABLES.map(|table| {
            format!("(SELECT count(*) FROM (SELECT FROM {table} WHERE {WAITS} LIMIT {COUNTED}) w)")
        });
        let counted = self.0.query_one(&format!("SELECT {here} + {beside}"), &[]).await;
        Ok(counted.map_err(|error| classify(&error))?.get(0))
    }

    /// Fills in what is now known of them; returns how many events that were.
    ///
    /// # Errors
    /// `Refused` where the location cannot be stored, else `Unavailable`.
    pub async fn fill_in(
        &self,
        events: &WaitingEvents,
        found: &Result<(Location, GeoSource), GeoStatus>,
    ) -> Result<u64, StoreError> {
        let nowhere = Location::default();
        let (at, source, status) = match found {
            Ok((location, source)) => (location, Some(source.as_str()), None),
            Err(status) => (&nowhere, None, Some(status.as_str())),
        };
        let day: (EventTime, EventTime) = (events.day.start(), events.day.next().start());
        let asn = at.asn.map(i64::from);
        let parameters: &[&(dyn ToSql + Sync)] = &[
            &events.ip,
            &Timestamp(day.0),
            &Timestamp(day.1),
            &source,
            &status,
            &at.country_code.as_deref(),
            &at.country.as_deref(),
            &at.region.as_deref(),
            &at.city.as_deref(),
            &at.latitude,
            &at.longitude,
            &at.time_zone.as_deref(),
            &asn,
            &at.as_name.as_deref(),
        ];
        let mut repaired = 0;
        for table in TABLES {
            let update = format!(
                "UPDATE {table} SET geo_source = $4, geo_status = $5, country_code = $6, country = $7, region = $8, city = $9, \
                 latitude = $10, longitude = $11, time_zone = $12, asn = $13, as_name = $14 \
                 WHERE hashtextextended(ip, 0) = hashtextextended($1, 0) AND ip = $1 AND event_time >= $2 AND event_time < $3 AND {WAITS}"
            );
            let updated = self.0.execute(&update, parameters).await;
            repaired += updated.map_err(|error| classify(&error))?;
        }
        Ok(repaired)
    }
}
