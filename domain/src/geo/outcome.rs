//! What asking for a place came to: who answered, or why nobody did.

use std::fmt;

/// Who named a place. An answer from a cache names the provider that it first came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GeoSource {
    /// The local database.
    Database,
    /// The HTTP API of IP2Location.io.
    Ip2Location,
}

impl GeoSource {
    /// All sources, in the order of the enum.
    pub const ALL: [Self; 2] = [Self::Database, Self::Ip2Location];

    /// The name stored in `processed_events.geo_source`, used in settings and as metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Ip2Location => "ip2location",
        }
    }
}

impl fmt::Display for GeoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The closed set of reasons for which an event has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GeoStatus {
    /// The address is of a private network, the machine itself or a single link.
    Private,
    /// The address is set aside for something else than visitors: documentation, multicast and the like.
    Reserved,
    /// The text is no address.
    InvalidIp,
    /// Every provider was asked, and none knows the address.
    NotFound,
    /// The budget of requests was spent.
    Quota,
    /// No answer came before `enrich.deadline`.
    Timeout,
    /// A provider failed.
    Error,
    /// No provider is switched on.
    Disabled,
}

impl GeoStatus {
    /// All reasons, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Private,
        Self::Reserved,
        Self::InvalidIp,
        Self::NotFound,
        Self::Quota,
        Self::Timeout,
        Self::Error,
        Self::Disabled,
    ];

    /// The name stored in `processed_events.geo_status` and used as metric label.
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

    /// Whether asking again later may bring a place: what repair looks for.
    ///
    /// `disabled` is no such reason: an operator's choice is not overturned behind their back.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Quota | Self::Timeout | Self::Error)
    }
}

impl fmt::Display for GeoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_provider_may_yet_answer_is_transient() {
        let transient: Vec<_> = GeoStatus::ALL
            .into_iter()
            .filter(|s| s.is_transient())
            .map(GeoStatus::as_str)
            .collect();
        assert_eq!(transient, ["quota", "timeout", "error"]);
    }
}
