//! The key of the day that addresses are hashed with: made by whoever needs it first, gone the day after.

use hitstream_domain::privacy::DailyKey;
use tokio_postgres::Error;

use super::session::classify;
use super::{PostgresStore, begin};
use crate::store::StoreError;

const FORGET: &str = "DELETE FROM ip_hash_keys WHERE day < (now() AT TIME ZONE 'UTC')::date";
/// Of PostgreSQL's own strong random numbers.
const MAKE: &str = "INSERT INTO ip_hash_keys SELECT (now() AT TIME ZONE 'UTC')::date, \
     sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')) \
     ON CONFLICT DO NOTHING";
const READ: &str = "SELECT key FROM ip_hash_keys WHERE day = (now() AT TIME ZONE 'UTC')::date";

impl PostgresStore {
    /// Today's key by PostgreSQL's clock; those of days before are deleted.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn daily_key(&self) -> Result<DailyKey, StoreError> {
        let mut connection = self.connection().await?;
        let transaction = begin(&mut connection).await?;
        let failed = |error: Error| classify(&error);
        for statement in [FORGET, MAKE] {
            transaction.execute(statement, &[]).await.map_err(failed)?;
        }
        let row = transaction.query_opt(READ, &[]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let key = row.and_then(|row| row.get::<_, Vec<u8>>(0).try_into().ok());
        let missing = || StoreError::Unavailable("ip_hash_keys has no key for today".to_owned());
        key.map(DailyKey::new).ok_or_else(missing)
    }
}
