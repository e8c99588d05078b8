//! The real [`LocationStore`]: answers and budget of an HTTP provider, in two tables beside the pipeline's. Each call is
//! one statement of its own; none of them takes a lock that the commit protocol knows, or a connection that a commit
//! could want: whoever holds these tables, for a dump or to mend them, holds up no commit.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bb8_postgres::bb8::Pool;
use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::geo::{GeoSource, Location};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::manager::Manager;
use super::session::{
    Connection, Failures, PostgresSettings, bounded_config, bounded_pool, classify, connection,
};
use crate::enricher::ip2location::{Budget, Grant, LocationStore};
use crate::store::StoreError;

const FIND: &str = "SELECT ip, country_code, country, region, city, latitude, longitude, time_zone, asn, as_name \
     FROM ip_locations WHERE ip = ANY($1) AND located_at > now() - make_interval(secs => $2)";

const KEEP: &str = "INSERT INTO ip_locations AS kept \
       (ip, country_code, country, region, city, latitude, longitude, time_zone, asn, as_name, source) \
     SELECT *, $11 FROM unnest($1::inet[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], \
       $8::text[], $9::bigint[], $10::text[]) \
     ON CONFLICT (ip) DO UPDATE SET country_code = excluded.country_code, country = excluded.country, \
       region = excluded.region, city = excluded.city, latitude = excluded.latitude, longitude = excluded.longitude, \
       time_zone = excluded.time_zone, asn = excluded.asn, as_name = excluded.as_name, source = excluded.source, \
       located_at = excluded.located_at";

/// Takes and tells what it took in one step, so that instances cannot take the same.
const RESERVE: &str = "INSERT INTO geo_budget AS b (provider, period, period_start, used, last_grant) \
     SELECT $1, $2, date_trunc($2, now() AT TIME ZONE 'UTC')::date, least($3::bigint, $4::bigint), \
       least($3, $4) \
     ON CONFLICT (provider, period, period_start) DO UPDATE SET \
       used = b.used + greatest(0, least($3, $4 - b.used)), last_grant = greatest(0, least($3, $4 - b.used)), \
       updated_at = now() \
     RETURNING last_grant, greatest(0, $4 - used), \
       extract(epoch FROM period_start + ('1 ' || period)::interval - clock_timestamp() AT TIME ZONE 'UTC')::float8, \
       period_start - date '2000-01-01'";

/// Into the period that it was taken from, which may be over.
const GIVE_BACK: &str = "UPDATE geo_budget SET used = greatest(0, used - $4), updated_at = now() \
     WHERE provider = $1 AND period = $2 AND period_start = date '2000-01-01' + $3::integer";

/// In small batches, so that nobody waits for long; what another instance has in hand is left to it.
const FORGET: &str = "DELETE FROM ip_locations WHERE ip IN (SELECT ip FROM ip_locations \
       WHERE located_at <= now() - make_interval(secs => $1) ORDER BY located_at LIMIT 1000 FOR UPDATE SKIP LOCKED)";

/// Connections: one to look up with while another keeps.
const CONNECTIONS: u32 = 2;
/// Nobody waits longer for a table or row that somebody else holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Nor for any statement: what nobody waits for any more must not keep a connection from the next.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// PostgreSQL's intervals end somewhere; a century is for ever.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Answers and budget in the schema of a pipeline, over at most two connections of their own.
#[derive(Clone)]
pub struct PostgresLocations {
    pool: Pool<Manager>,
    failures: Failures,
}

impl PostgresLocations {
    /// Connects when it is first used; the connections live on the runtime that uses them.
    pub fn new(settings: &PostgresSettings) -> Self {
        let config = bounded_config(settings, LOCK_TIMEOUT, STATEMENT_TIMEOUT);
        let (pool, failures) = bounded_pool(config, &settings.tls, CONNECTIONS);
        Self { pool, failures }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        connection(&self.pool, &self.failures).await
    }

    async fn find(
        &self,
        addresses: &[IpAddr],
        keep_for: Duration,
    ) -> Result<Vec<(IpAddr, Location)>, StoreError> {
        let connection = self.connection().await?;
        let rows = connection.query(FIND, &[&addresses, &seconds(keep_for)]).await;
        let rows = rows.map_err(|error| classify(&error))?;
        let located: Result<Vec<_>, _> = rows.iter().map(located).collect();
        Ok(located.map_err(|error| classify(&error))?.into_iter().flatten().collect())
    }

    async fn keep(&self, answers: &[(IpAddr, Location)]) -> Result<(), StoreError> {
        // Sorted, so that two instances do not deadlock.
        let mut answers: Vec<&(IpAddr, Location)> = answers.iter().collect();
        answers.sort_by_key(|(ip, _)| *ip);
        let text = |of: fn(&Location) -> &Option<Arc<str>>| -> Vec<Option<&str>> {
            answers.iter().map(|(_, at)| of(at).as_deref()).collect()
        };
        let degrees = |of: fn(&Location) -> Option<f64>| -> Vec<Option<f64>> {
            answers.iter().map(|(_, at)| of(at)).collect()
        };
        let addresses: Vec<IpAddr> = answers.iter().map(|(ip, _)| *ip).collect();
        let asns: Vec<Option<i64>> = answers.iter().map(|(_, at)| at.asn.map(i64::from)).collect();
        let connection = self.connection().await?;
        let kept = connection
            .execute(
                KEEP,
                &[
                    &addresses,
                    &text(|at| &at.country_code),
                    &text(|at| &at.country),
                    &text(|at| &at.region),
                    &text(|at| &at.city),
                    &degrees(|at| at.latitude),
                    &degrees(|at| at.longitude),
                    &text(|at| &at.time_zone),
                    &asns,
                    &text(|at| &at.as_name),
                    &GeoSource::Ip2Location.as_str(),
                ],
            )
            .await;
        kept.map(|_| ()).map_err(|error| classify(&error))
    }

    async fn reserve(&self, budget: Budget, wanted: u64) -> Result<Grant, StoreError> {
        let (provider, period) = (GeoSource::Ip2Location.as_str(), budget.period.name());
        let (wanted, count) = (whole(wanted), whole(budget.count.get()));
        let connection = self.connection().await?;
        let row = connection.query_one(RESERVE, &[&provider, &period, &wanted, &count]).await;
        let read = |row: Row| -> Result<Grant, tokio_postgres::Error> {
            let number = |column| row.try_get(column).map(|n: i64| n.unsigned_abs());
            let ends_in: f64 = row.try_get(2)?;
            let ends_in = Duration::try_from_secs_f64(ends_in).unwrap_or_default();
            Ok(Grant { granted: number(0)?, left: number(1)?, ends_in, period: row.try_get(3)? })
        };
        row.and_then(read).map_err(|error| classify(&error))
    }

    async fn give_back(&self, budget: Budget, rest: Grant) -> Result<(), StoreError> {
        let (provider, period) = (GeoSource::Ip2Location.as_str(), budget.period.name());
        let connection = self.connection().await?;
        let parameters: &[&(dyn ToSql + Sync)] =
            &[&provider, &period, &rest.period, &whole(rest.granted)];
        let given = connection.execute(GIVE_BACK, parameters).await;
        given.map(|_| ()).map_err(|error| classify(&error))
    }

    async fn forget(&self, keep_for: Duration) -> Result<u64, StoreError> {
        let connection = self.connection().await?;
        let forgotten = connection.execute(FORGET, &[&seconds(keep_for)]).await;
        forgotten.map_err(|error| classify(&error))
    }
}

impl LocationStore for PostgresLocations {
    fn find<'a>(
        &'a self,
        addresses: &'a [IpAddr],
        keep_for: Duration,
    ) -> BoxFuture<'a, Result<Vec<(IpAddr, Location)>, StoreError>> {
        self.find(addresses, keep_for).boxed()
    }

    fn keep<'a>(
        &'a self,
        answers: &'a [(IpAddr, Location)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.keep(answers).boxed()
    }

    fn reserve(&self, budget: Budget, wanted: u64) -> BoxFuture<'_, Result<Grant, StoreError>> {
        self.reserve(budget, wanted).boxed()
    }

    fn give_back(&self, budget: Budget, rest: Grant) -> BoxFuture<'_, Result<(), StoreError>> {
        self.give_back(budget, rest).boxed()
    }

    fn forget(&self, keep_for: Duration) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.forget(keep_for).boxed()
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(duration: Duration) -> f64 {
    duration.min(FOR_EVER).as_secs_f64()
}

/// As the answers of all providers are, whoever wrote into the table; one without a country is none.
fn located(row: &Row) -> Result<Option<(IpAddr, Location)>, tokio_postgres::Error> {
    let text = |column| row.try_get(column).map(|text: Option<&str>| text.map(Arc::from));
    let asn: Option<i64> = row.try_get(8)?;
    let location = Location {
        country_code: text(1)?,
        country: text(2)?,
        region: text(3)?,
        city: text(4)?,
        latitude: row.try_get(5)?,
        longitude: row.try_get(6)?,
        time_zone: text(7)?,
        asn: asn.and_then(|asn| u32::try_from(asn).ok()),
        as_name: text(9)?,
    };
    let ip = row.try_get(0)?;
    let location = location.tidy().filter(|location| location.country_code.is_some());
    Ok(location.map(|location| (ip, location)))
}
