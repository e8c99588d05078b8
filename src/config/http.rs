//! `[http]` and `[health]`: where this instance can be asked how it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::secret::Secret;
use super::values::duration;

/// Fewer characters could be guessed.
pub(super) const LEAST_TOKEN: usize = 16;

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where HTTP is served.
    pub listen: Listen,
    /// What whoever asks has to know; empty is nothing.
    pub token: Secret,
    /// Whether other machines may ask without a token.
    pub allow_remote: bool,
}

/// `[health]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// How long nothing of a partition may be committed while records wait in it, beyond `flush.interval`.
    #[serde(with = "duration")]
    pub stall: Duration,
}

/// Where HTTP is served, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There; port 0 is any that is free.
    At(SocketAddr),
}

impl Listen {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text == "off" {
            return Some(Self::Off);
        }
        let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let local = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        local.or_else(|| text.parse().ok()).map(Self::At)
    }

    /// Whether other machines may reach it.
    pub(super) fn is_remote(self) -> bool {
        matches!(self, Self::At(address) if !address.ip().to_canonical().is_loopback())
    }

    /// Where this machine reaches it; `None` where nobody can know.
    pub fn from_here(self) -> Option<SocketAddr> {
        let Self::At(mut address) = self else { return None };
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => {
                address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
            }
            _ => {}
        }
        (address.port() != 0).then_some(address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.trim()).ok_or_else(|| {
            serde::de::Error::custom(
                "must be an address of this machine and a port, such as 127.0.0.1:8080 or 0.0.0.0:8080, or off",
            )
        })
    }
}

/// Whether a token can be sent in a header and is long enough.
pub(super) fn is_token(token: &str) -> bool {
    token.len() >= LEAST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_is_an_address_with_a_port_or_off() {
        for (text, shown, is_remote) in [
            ("", "off", false),
            ("off", "off", false),
            ("127.0.0.1:8080", "127.0.0.1:8080", false),
            ("localhost:0", "127.0.0.1:0", false),
            ("[::1]:8080", "[::1]:8080", false),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", false),
            ("0.0.0.0:8080", "0.0.0.0:8080", true),
            ("[::]:8080", "[::]:8080", true),
            ("192.0.2.7:8080", "192.0.2.7:8080", true),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_remote()), (shown, is_remote));
        }
        for text in ["8080", ":8080", "127.0.0.1", "127.0.0.1:99999", "host:80", "localhost"] {
            assert_eq!(Listen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn instance_that_listens_everywhere_is_asked_here() {
        let from_here = |text| Listen::parse(text).unwrap().from_here().map(|at| at.to_string());
        assert_eq!(from_here("0.0.0.0:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(from_here("[::]:8080").as_deref(), Some("[::1]:8080"));
        assert_eq!(from_here("192.0.2.7:80").as_deref(), Some("192.0.2.7:80"));
        assert_eq!([from_here("off"), from_here("127.0.0.1:0")], [None, None]);
    }

    #[test]
    fn token_is_long_enough_and_fits_into_a_header() {
        assert!(is_token("0123456789abcdef"));
        assert!(!is_token("0123456789abcde"));
        assert!(!is_token("0123456789 abcdef") && !is_token("0123456789abcdeé"));
    }
}
