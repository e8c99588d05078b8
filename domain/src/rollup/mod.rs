//! Rollups: sums of hits per window and key, a commutative monoid under addition.

mod delta;
mod key;
mod presum;

pub use delta::{Delta, KeyHasher, Row, Tally};
pub use key::{KeyParts, RowKey, encode_key, host_hash, row_key};
pub use presum::{Pairs, Presum};

/// A column that a rollup groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The site.
    Host,
    /// Where the visitor came from.
    Referrer,
    /// The country where the visitor is, ISO 3166-1 alpha-2.
    CountryCode,
    /// The region or state where the visitor is.
    Region,
    /// The city where the visitor is.
    City,
}

impl Dimension {
    /// The column's name in the rollup's tables.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Referrer => "referrer",
            Self::CountryCode => "country_code",
            Self::Region => "region",
            Self::City => "city",
        }
    }
}

/// One rollup: a family of an open, a final and a late table and a live view, all grouped alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollup {
    /// What its tables are called after `open_`, `aggregated_`, `late_` and `live_`.
    pub name: &'static str,
    /// The columns beside the window; the first is always the host, which shards and distributes.
    pub dimensions: &'static [Dimension],
}

/// Hits per host and referrer: the table that today's Spark job writes.
pub const WEB_TRAFFIC: Rollup =
    Rollup { name: "web_traffic", dimensions: &[Dimension::Host, Dimension::Referrer] };

/// Hits per host and the country of the visitor.
pub const WEB_TRAFFIC_BY_COUNTRY: Rollup = Rollup {
    name: "web_traffic_by_country",
    dimensions: &[Dimension::Host, Dimension::CountryCode],
};

/// Hits per host and the city of the visitor.
pub const WEB_TRAFFIC_BY_CITY: Rollup = Rollup {
    name: "web_traffic_by_city",
    dimensions: &[Dimension::Host, Dimension::CountryCode, Dimension::Region, Dimension::City],
};

/// Every rollup, in the fixed order in which commits take their row locks. A new one is a line here and a migration.
///
/// The first is [`WEB_TRAFFIC`], which every hit is summed into where it is decoded; the others are summed once a hit's
/// visitor is located, where they are switched on.
pub const ROLLUPS: &[Rollup] = &[WEB_TRAFFIC, WEB_TRAFFIC_BY_COUNTRY, WEB_TRAFFIC_BY_CITY];
