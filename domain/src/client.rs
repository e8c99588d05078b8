//! The visitor's address behind proxies: what trusted ones say that they were called by.
//!
//! ```
//! use hitstream_domain::client::ClientRule;
//!
//! let rule = ClientRule::new("X-Forwarded-For", &["10.0.0.0/8", "203.0.113.7"])?;
//! let headers = r#"{"x-forwarded-for": "1.1.1.1, 198.51.100.9, 203.0.113.7"}"#;
//! // What stands left of the first stranger is only what that stranger says.
//! assert_eq!(rule.client("10.0.0.2", headers), Some("198.51.100.9".parse()?));
//! // Nobody has to believe a peer that is no proxy.
//! assert_eq!(rule.client("192.0.2.66", headers), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod forwarded;
mod networks;

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::geo::parse;
use crate::headers;

/// From which header the client's address is taken, and whose word is taken for it.
#[derive(Clone, Debug)]
pub struct ClientRule {
    header: Box<str>,
    trusted: Box<[IpNet]>,
}

/// Why a [`ClientRule`] cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientRuleError {
    /// The name has characters that no header's name has, or none at all.
    #[error("\"{0}\" is no name of a header; give one like X-Forwarded-For or Forwarded")]
    HeaderName(String),
    /// Without trusted proxies the header would never be read.
    #[error(
        "no trusted proxy is given for {0}; list the networks of your proxies, or leave the header out"
    )]
    NobodyTrusted(String),
    /// Neither an address nor a network.
    #[error("\"{0}\" is no address and no network; give one like 10.0.0.7 or 10.0.0.0/8")]
    Network(String),
    /// Host bits are set: is the prefix too short, or the address not meant to be a network?
    #[error(
        "\"{given}\" is an address within a network; give {network} to trust all of that, or the address alone"
    )]
    HostBits {
        /// What was given.
        given: String,
        /// The network that it lies in.
        network: IpNet,
    },
    /// All of IPv4 or IPv6: then visitors could say who they are.
    #[error(
        "\"{0}\" trusts everybody, so that any visitor could pose as another; give the networks of your proxies"
    )]
    Everybody(String),
}

impl ClientRule {
    /// Takes addresses from a header of this name, of whatever case: RFC 7239's if it is `Forwarded`, else a list of
    /// addresses as in `X-Forwarded-For`. Trusted are networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    /// What cannot be a header's name, a network or an address, and whatever would trust nobody or everybody.
    pub fn new<T: AsRef<str>>(header: &str, trusted: &[T]) -> Result<Self, ClientRuleError> {
        if header.is_empty() || !header.bytes().all(is_token) {
            return Err(ClientRuleError::HeaderName(header.to_owned()));
        }
        if trusted.is_empty() {
            return Err(ClientRuleError::NobodyTrusted(header.to_owned()));
        }
        let trusted = trusted.iter().map(|text| networks::parse(text.as_ref()));
        Ok(Self { header: header.into(), trusted: trusted.collect::<Result<_, _>>()? })
    }

    /// The header's name, as given.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The address that takes the place of the record's `ip`, the peer; `None` where the peer stands.
    ///
    /// A trusted peer's header is walked from right to left, past trusted proxies; the first other address is the client,
    /// for what stands left of it is its own word. The walk ends where something is no address, and the last good one
    /// counts, perhaps the peer. Several lines of the header are one list, in their order.
    pub fn client(&self, peer: &str, headers: &str) -> Option<IpAddr> {
        if !self.trusts(parse(peer)?) {
            return None;
        }
        let object = headers::object(headers)?;
        let mut client = None;
        for line in self.lines(&object)?.iter().rev() {
            let Some(line) = line else { return client };
            for hop in self.hops(line) {
                let Some(address) = hop else { return client };
                client = Some(address);
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The lines of the header, in order; `None` in the place of one that is no text.
    fn lines<'a>(&self, object: &'a str) -> Option<Vec<Option<Cow<'a, str>>>> {
        let mut lines = Vec::new();
        headers::for_each(object, |header| {
            if header.name().eq_ignore_ascii_case(&self.header) {
                header.for_each_item(|item| {
                    if item != "null" {
                        lines.push(headers::string(item));
                    }
                });
            }
        })?;
        Some(lines)
    }

    /// The addresses of a line from right to left; `None` in the place of what is no address.
    fn hops<'a>(&self, line: &'a str) -> Box<dyn Iterator<Item = Option<IpAddr>> + 'a> {
        if self.header.eq_ignore_ascii_case("forwarded") {
            return Box::new(forwarded::hops(line));
        }
        // RFC 9110 lets lists have blanks around their items, and empty items.
        let items = line.rsplit(',').map(|item| item.trim_matches([' ', '\t']));
        Box::new(items.filter(|item| !item.is_empty()).map(parse))
    }
}

/// What RFC 9110 allows in a name.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
