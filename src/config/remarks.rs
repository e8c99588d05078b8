//! Settings that are right by themselves, and together may not be what was meant.

use super::sections::{Config, GeoProvider, KeptIp};

/// What is told to whoever may not know it.
pub(crate) struct Remark {
    /// What is so.
    pub(crate) fact: &'static str,
    /// What would make it otherwise.
    pub(crate) advice: &'static str,
}

/// What is to be told of these settings.
pub(crate) fn remarks(config: &Config) -> impl Iterator<Item = Remark> {
    [on_payloads(config), on_an_idle_key(config), on_an_idle_database(config)].into_iter().flatten()
}

/// A word about rejected records where they hold addresses or queries that are kept nowhere else: a record that nobody
/// can read is of use to whoever mends it, and who asks for privacy may not think of it.
fn on_payloads(config: &Config) -> Option<Remark> {
    let keeps_less = config.privacy.ip != KeptIp::Full || config.privacy.strip_query;
    (keeps_less && config.rejects.keep_payload).then_some(Remark {
        fact: "rejected records are stored whole, with the addresses and URLs of visitors in them, whatever [privacy] says",
        advice: "rejects.keep_payload = false stores the reason only",
    })
}

/// A word about a key that nobody asks with, as where variables are those of a former job.
fn on_an_idle_key(config: &Config) -> Option<Remark> {
    let is_asked = config.enrich.providers.contains(&GeoProvider::Ip2Location);
    (!is_asked && !config.enrich.ip2location.key.is_empty()).then_some(Remark {
        fact: "IP2Location.io is not asked, though there is a key for it (IP_CODING_KEY)",
        advice: "enrich.providers = [\"database\", \"ip2location\"] asks it where the database knows nothing",
    })
}

/// A word about a file that nobody looks into, be it there or not.
fn on_an_idle_database(config: &Config) -> Option<Remark> {
    let is_read = config.enrich.providers.contains(&GeoProvider::Database);
    (!is_read && !config.enrich.database.as_os_str().is_empty()).then_some(Remark {
        fact: "enrich.database is set and not read: \"database\" is not in enrich.providers",
        advice: "put \"database\" into enrich.providers to have it read, or leave enrich.database out",
    })
}
