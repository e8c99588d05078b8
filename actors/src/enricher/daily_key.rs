//! The key of the day, as enrichers share it.

use std::sync::{Arc, PoisonError, RwLock};

use hitstream_domain::privacy::DailyKey;

/// The key that addresses are hashed with today; all clones are one. While there is none, no address is kept.
#[derive(Clone, Debug, Default)]
pub struct DailyKeyHandle(Arc<RwLock<Option<DailyKey>>>);

impl DailyKeyHandle {
    /// The key in use.
    pub fn current(&self) -> Option<DailyKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up another day's, and forgets the one before.
    pub fn replace(&self, key: DailyKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }
}
