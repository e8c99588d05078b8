//! Geolocation: who there is to locate visitors. A file is read whole, as a run would read it; a service is asked once.

use std::net::{IpAddr, Ipv4Addr};

use hitstream_actors::enricher::database::{Database, DatabaseError};
use hitstream_actors::enricher::ip2location::{Ip2LocationSettings, Probe, probe};
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
            Finding::fail("geo", error, advice)
        }
        Ok(Probe::Answers) => Finding::ok("geo", format!("{place} answers")),
        Ok(other) => {
            let (said, what_to_do) = words(&other);
            Finding::warn("geo", format!("{place} {said}"), &format!("{what_to_do}; {advice}"))
        }
    }
}

fn ask(settings: Ip2LocationSettings) -> Result<Probe, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(probe(settings, WELL_KNOWN)).map_err(|error| error.to_string())
}

/// What the service does, and what to do about it.
fn words(probe: &Probe) -> (String, &'static str) {
    let wait = "try again later";
    match probe {
        Probe::Answers => ("answers".to_owned(), ""),
        Probe::Declines => {
            ("has no answer about 8.8.8.8".to_owned(), "see whether base_url is its address")
        }
        Probe::RefusesKey => (
            "refuses the key, or the account has no credit left".to_owned(),
            "check IP_CODING_KEY and the account",
        ),
        Probe::WantsRest(rest) => {
            let rest = rest.map_or_else(String::new, |seconds| format!(" for {seconds} s"));
            (format!("has had too many requests and wants none{rest} (HTTP status 429)"), wait)
        }
        Probe::Status(status @ 300..400) => (
            format!("sends requests elsewhere (HTTP status {status})"),
            "redirects are not followed: set base_url to where this one leads",
        ),
        Probe::Status(status @ 500..) => (format!("fails with HTTP status {status}"), wait),
        Probe::Status(status) => {
            (format!("answers with HTTP status {status}"), "see whether base_url is its address")
        }
        Probe::Unreadable => (
            "sends what is no answer of IP2Location.io".to_owned(),
            "see whether base_url is its address",
        ),
        Probe::Timeout => (
            "gives no answer within enrich.ip2location.timeout".to_owned(),
            "see whether a firewall is between",
        ),
        Probe::Network(reason) if reason.contains("CaUsedAsEndEntity") => (
            format!("has a certificate that is for issuing others: {reason}"),
            "give the server one that is not (basicConstraints CA:FALSE), and set enrich.ip2location.root_ca to its issuer's",
        ),
        Probe::Network(reason) if reason.contains("certificate") => (
            format!("has a certificate that is not trusted: {reason}"),
            "set enrich.ip2location.root_ca to that of whoever issued it, or see who is between",
        ),
        Probe::Network(reason) if reason.contains("response body") => (
            format!("breaks off its answer: {reason}"),
            "see what is between that ends connections",
        ),
        Probe::Network(reason) => (
            format!("is out of reach: {reason}"),
            "see whether base_url is its address, and the network",
        ),
    }
}

fn found(config: &Config, place: &str, database: &Database) -> Finding {
    let micros = i64::try_from(database.built_at()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let built = Moment(EventTime::from_micros(micros));
    let detail = format!("{place}: {}, built {built}", database.kind());
    let asks_a_service = config.enrich.providers.contains(&GeoProvider::Ip2Location);
    if !asks_a_service && is_of_networks(database.kind()) {
        return Finding::warn(
            "geo",
            format!("{detail}; it knows networks and no countries: every hit counts under none"),
            "set enrich.database to a database of countries or cities, or leave it out for the built-in one",
        );
    }
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

/// The same of databases that tell whose network an address is in, such as `GeoLite2-ASN`.
fn is_of_networks(kind: &str) -> bool {
    let kind = kind.to_lowercase();
    kind.contains("asn") && !kind.contains("country") && !kind.contains("city")
}

/// Its text says what is wrong, and in its last part what to do.
fn unusable(error: &DatabaseError) -> Finding {
    let text = error.to_string();
    let (detail, advice) = text.rsplit_once("; ").unwrap_or((&text, "check enrich.database"));
    Finding::fail("geo", detail.to_owned(), advice)
}
