//! Geolocation: what there is to locate visitors with. The file is read whole, as a run would read it.

use hitstream_actors::enricher::database::{Database, DatabaseError};
use hitstream_domain::time::EventTime;

use super::report::Finding;
use crate::cli::moment::Moment;
use crate::config::{Config, GeoProvider};

/// Tries the local database, if one is to be asked.
pub(super) fn check(config: &Config) -> Finding {
    let enrich = &config.enrich;
    if !enrich.providers.contains(&GeoProvider::Database) {
        let asked = if enrich.providers.is_empty() { "nobody is asked" } else { "no database" };
        return Finding::ok("geo", asked.to_owned());
    }
    if enrich.database.as_os_str().is_empty() {
        return match Database::embedded() {
            Ok(database) => found("the built-in database", &database),
            Err(error) => unusable(&error),
        };
    }
    match Database::open(&enrich.database) {
        Ok(database) => found(&enrich.database.display().to_string(), &database),
        Err(error) => unusable(&error),
    }
}

fn found(place: &str, database: &Database) -> Finding {
    let micros = i64::try_from(database.built_at()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let built = Moment(EventTime::from_micros(micros));
    Finding::ok("geo", format!("{place}: {}, built {built}", database.kind()))
}

/// Its text says what is wrong, and in its last part what to do.
fn unusable(error: &DatabaseError) -> Finding {
    let text = error.to_string();
    let (detail, advice) = text.rsplit_once("; ").unwrap_or((&text, "check enrich.database"));
    Finding::fail("geo", detail.to_owned(), advice)
}
