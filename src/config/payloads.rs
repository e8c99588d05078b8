//! Whether rejected records keep what `[privacy]` keeps nowhere else.

use super::sections::{Config, KeptIp};

/// What is told to whoever may not know it.
pub(crate) struct Remark {
    /// What is kept.
    pub(crate) fact: &'static str,
    /// What would keep less.
    pub(crate) advice: &'static str,
}

/// A word about rejected records where they hold addresses or queries that are kept nowhere else.
///
/// Both settings are right by themselves: a record that nobody can read is of use to whoever mends it, and who asks for
/// privacy may not think of it.
pub(crate) fn remark_on_payloads(config: &Config) -> Option<Remark> {
    let keeps_less = config.privacy.ip != KeptIp::Full || config.privacy.strip_query;
    (keeps_less && config.rejects.keep_payload).then_some(Remark {
        fact: "rejected records are stored whole, with the addresses and URLs of visitors in them, whatever [privacy] says",
        advice: "rejects.keep_payload = false stores the reason only",
    })
}
