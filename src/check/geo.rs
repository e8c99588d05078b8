//! Geolocation: who there is to locate visitors. A file is read whole, as a run would read it; a service is asked once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hitstream_actors::enricher::database::{Database, DatabaseError};
use hitstream_actors::enricher::ip2location::{
    Ip2Location, Ip2LocationError, Ip2LocationSettings, MemoryLocations,
};
use hitstream_actors::metrics::Metrics;
use hitstream_domain::geo::{GeoStatus, Location};
use hitstream_domain::time::EventTime;

use super::report::Finding;
use crate::cli::moment::Moment;
use crate::config::{Config, GeoProvider, masked_url};
use crate::wiring;

/// An address that every service knows.
const WELL_KNOWN: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

/// Tries each provider.
pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let providers = &config.enrich.providers;
    if providers.is_empty() {
        findings.push(Finding::ok("geo", "nobody is asked where visitors are".to_owned()));
    }
    findings.extend(providers.iter().map(|provider| match provider {
        GeoProvider::Database => database(config),
        GeoProvider::Ip2Location => service(config),
    }));
}

fn database(config: &Config) -> Finding {
    let file = &config.enrich.database;
    let (place, opened) = if file.as_os_str().is_empty() {
        ("the built-in database".to_owned(), Database::embedded())
    } else {
        (file.display().to_string(), Database::open(file))
    };
    match opened {
        Ok(database) => found(config, &place, &database),
        Err(error) => unusable(&error),
    }
}

/// One request, which the budget does not count. A run starts whatever comes of it.
fn service(config: &Config) -> Finding {
    let settings = wiring::ip2location(config);
    let place = format!("IP2Location.io at {}", masked_url(&settings.base_url));
    let advice = "events are stored without a location meanwhile; see docs/ENRICHMENT.md, \"What failures do\"";
    match ask(settings) {
        Err(error) => {
            let advice = "set enrich.ip2location right; config/hitstream.toml describes it";
            Finding::fail("geo", error.to_string(), advice)
        }
        Ok(Ok(_) | Err(GeoStatus::NotFound)) => Finding::ok("geo", format!("{place} answers")),
        Ok(Err(GeoStatus::Quota)) => {
            let said = format!("{place} refuses the key, or the account has no credit left");
            Finding::warn("geo", said, advice)
        }
        Ok(Err(_)) => Finding::warn("geo", format!("{place} gives no answer"), advice),
    }
}

fn ask(settings: Ip2LocationSettings) -> Result<Result<Location, GeoStatus>, Ip2LocationError> {
    let settings = Ip2LocationSettings { retries: 0, budget: None, keep_for: None, ..settings };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Ok(Err(GeoStatus::Error)) };
    runtime.block_on(async {
        let store = Arc::new(MemoryLocations::default());
        let service = Ip2Location::start(settings, store, Metrics::new())?;
        Ok(service.locate(WELL_KNOWN, 1).await)
    })
}

fn found(config: &Config, place: &str, database: &Database) -> Finding {
    let micros = i64::try_from(database.built_at()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let built = Moment(EventTime::from_micros(micros));
    let detail = format!("{place}: {}, built {built}", database.kind());
    let asks_a_service = config.enrich.providers.contains(&GeoProvider::Ip2Location);
    if config.rollups.by_city && !asks_a_service && is_of_countries(database.kind()) {
        return Finding::warn(
            "geo",
            format!("{detail}; it knows no cities, which rollups.by_city = true counts by"),
            "set enrich.database to a database of cities, add \"ip2location\" to enrich.providers, or leave rollups.by_city out",
        );
    }
    Finding::ok("geo", detail)
}

/// All makers have the word in the database's type, such as `GeoLite2-Country`.
fn is_of_countries(kind: &str) -> bool {
    let kind = kind.to_lowercase();
    kind.contains("country") && !kind.contains("city")
}

/// Its text says what is wrong, and in its last part what to do.
fn unusable(error: &DatabaseError) -> Finding {
    let text = error.to_string();
    let (detail, advice) = text.rsplit_once("; ").unwrap_or((&text, "check enrich.database"));
    Finding::fail("geo", detail.to_owned(), advice)
}
