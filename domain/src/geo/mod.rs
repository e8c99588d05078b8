//! Where visitors are: what providers answer, and why nobody did.

use std::sync::Arc;

/// Where an address is, as far as a provider knows. Texts are shared: caches hold the same cities many times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// ISO 3166-1 alpha-2.
    pub country_code: Option<Arc<str>>,
    /// The country's name in English.
    pub country: Option<Arc<str>>,
    /// Region or state.
    pub region: Option<Arc<str>>,
    /// City.
    pub city: Option<Arc<str>>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Time zone, as the provider has it.
    pub time_zone: Option<Arc<str>>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Autonomous system name.
    pub as_name: Option<Arc<str>>,
}

/// Who located an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GeoSource {
    /// The local database.
    Database,
    /// IP2Location.io.
    Ip2Location,
}

impl GeoSource {
    /// The name in `processed_events.geo_source`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Ip2Location => "ip2location",
        }
    }
}

/// Why nobody located an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GeoStatus {
    /// It is of a private network, and never sent out.
    Private,
    /// It is reserved for other uses, and never sent out.
    Reserved,
    /// It is no address.
    InvalidIp,
    /// No provider knows it.
    NotFound,
    /// The provider's budget is spent.
    Quota,
    /// No answer came in time.
    Timeout,
    /// The provider failed.
    Error,
    /// No provider is configured.
    Disabled,
}

impl GeoStatus {
    /// The name in `processed_events.geo_status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::InvalidIp => "invalid_ip",
            Self::NotFound => "not_found",
            Self::Quota => "quota",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::Disabled => "disabled",
        }
    }

    /// Whether asking again later may bring an answer.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Quota | Self::Timeout | Self::Error)
    }
}
