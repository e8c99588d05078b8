//! Tables that tell who visitors are, and that a change of settings forbids: emptied for good.

use super::session::classify;
use super::{PostgresStore, begin};
use crate::store::StoreError;

/// A dump may hold the table for hours: nobody shall queue up behind us meanwhile.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// A table beside the results that tells who visitors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateTable {
    /// `ip_locations`: whole addresses, with what an HTTP provider said of them.
    Locations,
    /// `ip_hash_keys`: what addresses are hashed with.
    HashKeys,
}

impl PrivateTable {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Locations => "ip_locations",
            Self::HashKeys => "ip_hash_keys",
        }
    }
}

impl PostgresStore {
    /// Empties a table, and its file, where also rows that were deleted before stay for weeks; tells whether there was
    /// anything in that.
    ///
    /// # Errors
    /// `Unavailable`, also while somebody holds the table.
    pub async fn empty(&self, table: PrivateTable) -> Result<bool, StoreError> {
        let name = table.name();
        let mut connection = self.connection().await?;
        let transaction = begin(&mut connection).await?;
        // Also the look at its size waits for whoever holds it.
        transaction.batch_execute(LOCK_TIMEOUT).await.map_err(|error| classify(&error))?;
        let size = format!("SELECT pg_relation_size('{name}') > 0");
        let row = transaction.query_one(&size, &[]).await.map_err(|error| classify(&error))?;
        let holds_any = row.get(0);
        if holds_any {
            let empty = format!("TRUNCATE {name}");
            transaction.batch_execute(&empty).await.map_err(|error| classify(&error))?;
        }
        transaction.commit().await.map_err(|error| classify(&error))?;
        Ok(holds_any)
    }
}
