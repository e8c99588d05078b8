//! The key of the day that addresses are hashed with: made by whoever needs it first, gone the day after.

use hitstream_domain::privacy::DailyKey;
use tokio_postgres::{Error, Transaction};

use super::session::classify;
use super::{PostgresStore, begin};
use crate::store::StoreError;

const IS_CURRENT: &str =
    "SELECT count(*) = 1 AND bool_and(day = (now() AT TIME ZONE 'UTC')::date) FROM ip_hash_keys";
/// Deleted rows would stay in the table's file for weeks; this takes another file. Nobody else can make a key meanwhile.
const LOCK: &str = "LOCK TABLE ip_hash_keys IN ACCESS EXCLUSIVE MODE";
const FORGET: &str = "TRUNCATE ip_hash_keys";
/// Of PostgreSQL's own strong random numbers.
const MAKE: &str = "INSERT INTO ip_hash_keys SELECT (now() AT TIME ZONE 'UTC')::date, \
     sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')) \
     ON CONFLICT DO NOTHING";
const READ: &str = "SELECT key FROM ip_hash_keys WHERE day = (now() AT TIME ZONE 'UTC')::date";

impl PostgresStore {
    /// Today's key by PostgreSQL's clock; with the first of a day those before are gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn daily_key(&self) -> Result<DailyKey, StoreError> {
        let mut connection = self.connection().await?;
        let transaction = begin(&mut connection).await?;
        let failed = |error: Error| classify(&error);
        if !is_current(&transaction).await? {
            transaction.execute(LOCK, &[]).await.map_err(failed)?;
            // Another instance may have been first.
            if !is_current(&transaction).await? {
                for statement in [FORGET, MAKE] {
                    transaction.execute(statement, &[]).await.map_err(failed)?;
                }
            }
        }
        let row = transaction.query_opt(READ, &[]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let key = row.and_then(|row| row.get::<_, Vec<u8>>(0).try_into().ok());
        let missing = || StoreError::Unavailable("ip_hash_keys has no key for today".to_owned());
        key.map(DailyKey::new).ok_or_else(missing)
    }
}

/// Whether there is today's key and no other.
async fn is_current(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let row = transaction.query_one(IS_CURRENT, &[]).await.map_err(|error| classify(&error))?;
    Ok(row.get::<_, Option<bool>>(0).unwrap_or(false))
}
