//! What is kept of a visitor: how much of an address, and how much of what else may say who they are.
//!
//! ```
//! use hitstream_domain::privacy::{DailyKey, IpPrivacy, Privacy};
//!
//! let privacy = Privacy { ip: IpPrivacy::Hash, strip_query: true, client_header: None };
//! let key = DailyKey::new([7; 32]);
//! let hash = privacy.ip("203.0.113.7", Some(&key));
//! assert_eq!(hash, privacy.ip("[::ffff:203.0.113.7]:80", Some(&key)));
//! assert_eq!(privacy.url("/search?q=me#top"), "/search");
//! assert_eq!(privacy.url("https://me:secret@a.example/b"), "https://a.example/b");
//!
//! let headers = r#"{"Accept":"*/*","X-Forwarded-For":"203.0.113.7"}"#;
//! assert_eq!(privacy.headers(headers).as_deref(), Some(r#"{"Accept":"*/*"}"#));
//! ```

mod addresses;
mod headers;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::geo::parse;

/// What is kept of a visitor. The default keeps all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// How much of addresses (`privacy.ip`). Where they are is to be looked up before.
    pub ip: IpPrivacy,
    /// Whether only that of URLs is kept which stands before their query, without credentials (`privacy.strip_query`).
    pub strip_query: bool,
    /// The header that [`ClientRule`](crate::client::ClientRule) reads.
    pub client_header: Option<Box<str>>,
}

impl Privacy {
    /// What is kept of an address. Nothing of what is none, but under `full`: it could hold one.
    ///
    /// A hash is `h` and 16 hexadecimal digits, which no parser takes for an address; without a key there is none.
    pub fn ip<'a>(&self, ip: &'a str, key: Option<&DailyKey>) -> Option<Cow<'a, str>> {
        match self.ip {
            IpPrivacy::Full => Some(Cow::Borrowed(ip)),
            IpPrivacy::Truncate => Some(truncated(ip, parse(ip)?)),
            IpPrivacy::Hash => Some(Cow::Owned(key?.hash(parse(ip)?))),
            IpPrivacy::Drop => None,
        }
    }

    /// What is kept of a URL or referrer: all, or what stands before the first `?` or `#`, without a name and password
    /// before a host (`https://me:secret@a.example/`).
    pub fn url<'a>(&self, url: &'a str) -> Cow<'a, str> {
        if !self.strip_query {
            return Cow::Borrowed(url);
        }
        without_credentials(url.split(['?', '#']).next().unwrap_or_default())
    }

    /// What is kept of a record's headers: all, or a JSON object without the members that say what is not kept elsewhere.
    /// Headers that are no such object are then not kept: nobody can tell what they hold.
    ///
    /// Under anything but `full` these members go: those that proxies write addresses to, in any spelling of their names
    /// (`X-Forwarded-For`, `HTTP_X_FORWARDED_FOR`), `client_header` among them, and those in whose name or value anything
    /// looks like an address. `User-Agent` and `Sec-CH-UA…` are full of versions that do, and go only where their value is
    /// nothing but an address. Where queries are stripped, those go that repeat the URL or the referrer, or hold a `?` or
    /// credentials. With either, so do values with objects or arrays in them. All others stay as they stand, cookies too.
    pub fn headers<'a>(&self, headers: &'a str) -> Option<Cow<'a, str>> {
        if self.ip == IpPrivacy::Full && !self.strip_query {
            return Some(Cow::Borrowed(headers));
        }
        headers::scrub(headers, self)
    }
}

/// How much of an address is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpPrivacy {
    /// The text, as it came.
    #[default]
    Full,
    /// The network: 24 bits of IPv4, 48 of IPv6.
    Truncate,
    /// A hash under a key of the day: visitors can be told apart within a day, and not be known again the next.
    Hash,
    /// Nothing.
    Drop,
}

impl IpPrivacy {
    /// All ways, from the most that is kept to the least.
    pub const ALL: [Self; 4] = [Self::Full, Self::Truncate, Self::Hash, Self::Drop];

    /// The name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Truncate => "truncate",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for IpPrivacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key under which a day's addresses are hashed. Whoever has it can find out any address by trying all.
#[derive(Clone)]
pub struct DailyKey([u8; 32]);

impl DailyKey {
    /// A key of 32 random bytes: the same for all instances on one day, gone after it.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn hash(&self, address: IpAddr) -> String {
        // 4 bytes or 16: no IPv4 address is hashed as an IPv6 one.
        let hash = match address {
            IpAddr::V4(v4) => blake3::keyed_hash(&self.0, &v4.octets()),
            IpAddr::V6(v6) => blake3::keyed_hash(&self.0, &v6.octets()),
        };
        // 64 bits: among ten million visitors of a day, two share a hash once in a thousand years.
        let hex = hash.to_hex();
        format!("h{}", hex.get(..16).unwrap_or_default())
    }
}

impl fmt::Debug for DailyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL without what stands before an `@` after any `//`: one URL may be the path of another.
fn without_credentials(url: &str) -> Cow<'_, str> {
    if !has_credentials(url) {
        return Cow::Borrowed(url);
    }
    let mut kept = String::with_capacity(url.len());
    for (at, (segment, is_host)) in segments(url).enumerate() {
        if at > 0 {
            kept.push('/');
        }
        kept.push_str(match segment.rsplit_once('@') {
            Some((_, host)) if is_host => host,
            _ => segment,
        });
    }
    Cow::Owned(kept)
}

fn has_credentials(text: &str) -> bool {
    text.contains('@') && segments(text).any(|(segment, is_host)| is_host && segment.contains('@'))
}

/// What stands between slashes, and whether two of them stand before it. Browsers take a backslash for a slash.
fn segments(url: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut slashes = 0;
    url.split(['/', '\\']).map(move |segment| {
        let is_host = slashes >= 2 && !segment.is_empty();
        slashes = if segment.is_empty() { slashes + 1 } else { 1 };
        (segment, is_host)
    })
}

fn truncated(ip: &str, address: IpAddr) -> Cow<'_, str> {
    let network = match address {
        IpAddr::V4(v4) => IpAddr::V4(truncate_v4(v4)),
        IpAddr::V6(v6) => IpAddr::V6(truncate_v6(v6)),
    };
    // Of IPv4 there is one spelling. IPv6 is written anew, so that one network is one text.
    if network.is_ipv4() && ip.parse() == Ok(network) {
        return Cow::Borrowed(ip);
    }
    Cow::Owned(network.to_string())
}

const fn truncate_v4(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8))
}

/// 6to4 carries a whole IPv4 address in its first 48 bits, of which 24 may stay.
fn truncate_v6(address: Ipv6Addr) -> Ipv6Addr {
    let is_6to4 = address.octets().starts_with(&[0x20, 0x02]);
    let kept_bits = if is_6to4 { 16 + 24 } else { 48 };
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - kept_bits)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: DailyKey = DailyKey::new([1; 32]);

    fn kept(privacy: IpPrivacy, ip: &str) -> Option<Cow<'_, str>> {
        Privacy { ip: privacy, ..Privacy::default() }.ip(ip, Some(&KEY))
    }

    fn hash(ip: &str) -> String {
        kept(IpPrivacy::Hash, ip).unwrap().into_owned()
    }

    #[test]
    fn truncated_address_is_its_network() {
        for (ip, expected) in [
            ("203.0.113.7", "203.0.113.0"),
            ("203.0.113.7:80", "203.0.113.0"),
            ("::ffff:203.0.113.7", "203.0.113.0"),
            ("2001:db8:cafe:1::17", "2001:db8:cafe::"),
            ("[2001:DB8:CAFE::]:443", "2001:db8:cafe::"),
            ("fe80::1%eth0", "fe80::"),
            // 6to4 and NAT64 of 203.0.113.7.
            ("2002:cb00:7107::1", "2002:cb00:7100::"),
            ("64:ff9b::cb00:7107", "64:ff9b::"),
        ] {
            assert_eq!(kept(IpPrivacy::Truncate, ip).as_deref(), Some(expected), "{ip}");
        }
        assert!(matches!(kept(IpPrivacy::Truncate, "10.0.0.0"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn hash_is_one_for_all_spellings_and_another_under_another_key() {
        for ip in ["203.0.113.7:80", "::ffff:203.0.113.7", "[::FFFF:CB00:7107]:1"] {
            assert_eq!(hash(ip), hash("203.0.113.7"), "{ip}");
        }
        assert_eq!(hash("2001:db8:0::1"), hash("[2001:DB8::1%1]"));
        let privacy = Privacy { ip: IpPrivacy::Hash, ..Privacy::default() };
        let other = privacy.ip("203.0.113.7", Some(&DailyKey::new([2; 32])));
        assert_ne!(other.as_deref(), Some(&*hash("203.0.113.7")));
        assert_eq!(privacy.ip("203.0.113.7", None), None);
    }

    #[test]
    fn hashes_are_those_of_every_version_before() {
        // Two versions may run side by side on one day. The values come from another BLAKE3.
        assert_eq!(hash("203.0.113.7"), "h886bcedcfeb18cf7");
        assert_eq!(hash("2001:db8::1"), "hc1e0287b65159cc1");
    }

    #[test]
    fn what_is_no_address_is_kept_under_full_only() {
        for text in ["", "unknown", "203.0.113.7, 10.0.0.1", "client=203.0.113.7"] {
            assert!(matches!(kept(IpPrivacy::Full, text), Some(Cow::Borrowed(t)) if t == text));
            for privacy in [IpPrivacy::Truncate, IpPrivacy::Hash, IpPrivacy::Drop] {
                assert_eq!(kept(privacy, text), None, "{privacy} of {text:?}");
            }
        }
        assert_eq!(kept(IpPrivacy::Drop, "203.0.113.7"), None);
    }

    #[test]
    fn key_is_not_shown() {
        assert_eq!(format!("{KEY:?}"), "***");
    }

    #[test]
    fn query_and_fragment_go() {
        let privacy = Privacy { strip_query: true, ..Privacy::default() };
        for (url, expected) in [
            ("https://a.example/b?c=d", "https://a.example/b"),
            ("/b#c?d", "/b"),
            ("?a", ""),
            ("/b", "/b"),
            ("", ""),
        ] {
            assert_eq!(privacy.url(url), expected);
            assert_eq!(Privacy::default().url(url), url);
        }
    }

    #[test]
    fn credentials_go_with_the_query() {
        let privacy = Privacy { strip_query: true, ..Privacy::default() };
        for (url, expected) in [
            ("http://user:Q@h/", "http://h/"),
            ("http://Q@h", "http://h"),
            ("https://user:a@b:Q@h:80/c?d", "https://h:80/c"),
            ("//user:Q@h/@c", "//h/@c"),
            ("http:///user:Q@h/", "http:///h/"),
            (r"http:\\user:Q@h\c", r"http://h/c"),
            ("/to/https://user:Q@h/c", "/to/https://h/c"),
        ] {
            assert_eq!(privacy.url(url), expected, "{url}");
            assert_eq!(Privacy::default().url(url), url);
        }
        for url in ["/@me/b", "@me", "https://a.example/@me", "mailto:me@a.example", "/a@b/c@d/"] {
            assert!(matches!(privacy.url(url), Cow::Borrowed(kept) if kept == url), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_hash_is_an_address(bits: u128) {
            let hash = hash(&Ipv6Addr::from_bits(bits).to_string());
            prop_assert_eq!(parse(&hash), None);
            prop_assert!(hash.len() == 17 && hash.bytes().all(|b| b.is_ascii_alphanumeric()));
        }

        #[test]
        fn truncating_again_changes_nothing(
            bits in prop_oneof![any::<u32>().prop_map(u128::from), any::<u128>()]
        ) {
            let ip = match u32::try_from(bits) {
                Ok(bits) => Ipv4Addr::from_bits(bits).to_string(),
                Err(_) => Ipv6Addr::from_bits(bits).to_string(),
            };
            let once = kept(IpPrivacy::Truncate, &ip).unwrap();
            let twice = kept(IpPrivacy::Truncate, &once);
            prop_assert_eq!(twice.as_deref(), Some(&*once));
        }
    }
}
