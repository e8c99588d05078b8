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
}

impl Dimension {
    /// The column's name in the rollup's tables.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Referrer => "referrer",
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

/// Every rollup, in the fixed order in which commits take their row locks. A new one is a line here and a migration.
pub const ROLLUPS: &[Rollup] = &[WEB_TRAFFIC];
