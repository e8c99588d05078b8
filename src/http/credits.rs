//! What the licences of geolocation data ask for on pages of whoever shows results (`docs/ENRICHMENT.md`, "Which files
//! work").

use hitstream_actors::enricher::Providers;

/// The words owed to the makers of these databases, by the types that their files name, as items of a list in HTML.
pub(super) fn items(providers: &Providers) -> String {
    let databases = providers.databases();
    let kinds = databases.iter().filter_map(|database| Some(database.upgrade()?.kind().to_owned()));
    kinds.filter_map(|kind| owed(&kind)).map(|words| format!("<li>{words}\n")).collect()
}

fn owed(kind: &str) -> Option<&'static str> {
    let kind = kind.to_lowercase();
    if kind.contains("dbip") || kind.contains("db-ip") {
        Some("<a href=\"https://db-ip.com\">IP Geolocation by DB-IP</a>")
    } else if kind.contains("geolite") {
        Some(
            "This product includes GeoLite2 Data created by MaxMind, available from https://www.maxmind.com.",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_named_by_what_their_files_call_themselves() {
        for (kind, maker) in [
            ("DBIP-City-Lite", "DB-IP"),
            ("ipv4_dbip_city", "DB-IP"),
            ("GeoLite2-Country", "MaxMind"),
        ] {
            assert!(owed(kind).unwrap().contains(maker), "{kind}");
        }
        assert_eq!((owed("GeoIP2-City"), owed("iptoasn-country")), (None, None));
    }
}
