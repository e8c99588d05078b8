//! From a record's value to an [`Event`], or to the reason why it is none.

use crate::event::Event;
use crate::reject::{Reject, RejectReason};

/// Decodes record values. Keeps a buffer for values that are not valid UTF-8; a well-formed value is borrowed from.
#[derive(Debug, Default)]
pub struct Decoder {
    repaired: String,
}

impl Decoder {
    /// Decodes one record value; `None` is a tombstone.
    ///
    /// # Errors
    /// The reason why the record is no hit (DESIGN section 2, `docs/SEMANTICS.md`).
    pub fn decode<'a>(&'a mut self, _value: Option<&'a [u8]>) -> Result<Event<'a>, Reject> {
        let _ = &self.repaired;
        Err(Reject::new(RejectReason::InvalidJson, "not built yet"))
    }
}
