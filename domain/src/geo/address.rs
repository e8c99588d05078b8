//! Addresses: what a text means, and which are worth a question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::GeoStatus;
use super::GeoStatus::{Private, Reserved};

/// Reads an address of the public internet, the only kind that has a place.
///
/// IPv4 in IPv6 clothes (`::ffff:192.0.2.1`) is the IPv4 address, so that one visitor is one address. Tolerated is what
/// servers and proxies are known to write around it: brackets (`[2001:db8::1]`), a port (`192.0.2.1:80`,
/// `[2001:db8::1]:80`) and a zone (`fe80::1%eth0`), which means something on one machine only. Nothing else is: blanks
/// hint at a mistake further up, and parsers disagree about `010.0.0.1`, `127.1` and `2130706433`.
///
/// # Errors
/// [`InvalidIp`](GeoStatus::InvalidIp) for what is no address, [`Private`] and [`Reserved`] by IANA's special-purpose
/// registries for one that has no place and is never sent out.
pub fn address(text: &str) -> Result<IpAddr, GeoStatus> {
    let address = parse(text).ok_or(GeoStatus::InvalidIp)?;
    match special_purpose(address) {
        Some(status) => Err(status),
        None => Ok(address),
    }
}

/// Reads any address, as [`address`] does.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (inner, rest) = bracketed.split_once(']')?;
        if !(rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        IpAddr::V6(parse_v6(inner)?)
    } else {
        match text.split_once(':') {
            None => IpAddr::V4(text.parse().ok()?),
            Some((address, port)) if address.contains('.') => {
                is_port(port).then_some(())?;
                IpAddr::V4(address.parse().ok()?)
            }
            Some(_) => IpAddr::V6(parse_v6(text)?),
        }
    };
    Some(address.to_canonical())
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once('%') {
        None => text.parse().ok(),
        Some((_, zone)) if zone.is_empty() || !zone.bytes().all(|b| b.is_ascii_graphic()) => None,
        Some((address, _)) => address.parse().ok(),
    }
}

/// Digits only: `parse` alone would take a sign.
fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Why an address has no place; none for the public internet.
///
/// 6to4 and the well-known prefix of NAT64 carry an IPv4 address, which decides. ISATAP carries one behind a network that has
/// a place of its own; still it is not told to others where it has none.
fn special_purpose(address: IpAddr) -> Option<GeoStatus> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => special_v4(embedded),
            None => special_v6(address).or_else(|| special_v4(isatap_v4(address)?)),
        },
    }
}

fn special_v4(address: Ipv4Addr) -> Option<GeoStatus> {
    let (_, _, status) = SPECIAL_V4.iter().find(|&&(network, prefix, _)| {
        (network.to_bits() ^ address.to_bits()) >> (32 - prefix) == 0
    })?;
    Some(*status)
}

fn special_v6(address: Ipv6Addr) -> Option<GeoStatus> {
    let found = SPECIAL_V6.iter().find(|&&(network, prefix, _)| {
        (network.to_bits() ^ address.to_bits()) >> (128 - prefix) == 0
    });
    match found {
        Some((_, _, status)) => Some(*status),
        // Nothing but 2000::/3 has ever been given out: the rest is multicast (ff00::/8), unspecified, discard (100::/64),
        // segment routing (5f00::/16) and what may come.
        None => (address.to_bits() >> 125 != 0b001).then_some(GeoStatus::Reserved),
    }
}

/// The address inside a 6to4 (RFC 3056) or well-known NAT64 (RFC 6052) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// The address inside an ISATAP one (RFC 5214), marked as unique in the world or not.
fn isatap_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [_, _, _, _, _, _, _, _, 0x00 | 0x02, 0, 0x5e, 0xfe, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// The registry of RFC 6890 as of 2025, but for what it calls globally reachable (AS112, AMT), and multicast.
#[rustfmt::skip]
const SPECIAL_V4: &[(Ipv4Addr, u32, GeoStatus)] = &[
    (Ipv4Addr::new(0, 0, 0, 0),      8, Reserved), // this network
    (Ipv4Addr::new(10, 0, 0, 0),     8, Private),
    (Ipv4Addr::new(100, 64, 0, 0),  10, Private),  // behind a carrier's NAT
    (Ipv4Addr::new(127, 0, 0, 0),    8, Private),  // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16, Private),  // link-local
    (Ipv4Addr::new(172, 16, 0, 0),  12, Private),
    (Ipv4Addr::new(192, 0, 0, 0),   24, Reserved), // protocol assignments; its anycast addresses are no visitors
    (Ipv4Addr::new(192, 0, 2, 0),   24, Reserved), // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reserved), // 6to4 relays, deprecated
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private),
    (Ipv4Addr::new(198, 18, 0, 0),  15, Reserved), // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reserved), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reserved), // documentation
    (Ipv4Addr::new(224, 0, 0, 0),    4, Reserved), // multicast
    (Ipv4Addr::new(240, 0, 0, 0),    4, Reserved), // future use, broadcast
];

/// The registry's blocks, but for what [`embedded_v4`] and the rule of 2000::/3 decide.
#[rustfmt::skip]
const SPECIAL_V6: &[(Ipv6Addr, u32, GeoStatus)] = &[
    (Ipv6Addr::LOCALHOST,                              128, Private),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),     48, Private),  // NAT64 for local use
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),        23, Reserved), // Teredo, benchmarking, ORCHID and the like
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),    32, Reserved), // documentation
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),        20, Reserved), // documentation
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),         7, Private),  // unique local
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),        10, Private),  // link-local
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0),        10, Private),  // site-local, deprecated
];

#[cfg(test)]
mod tests {
    use super::*;

    type Span = (&'static str, &'static str, Option<GeoStatus>);
    const PUBLIC: Option<GeoStatus> = None;
    const PRIVATE: Option<GeoStatus> = Some(Private);
    const RESERVED: Option<GeoStatus> = Some(Reserved);

    fn status(text: &str) -> Option<GeoStatus> {
        address(text).err()
    }

    /// Spans without a gap between them: the first of each is the neighbour of the last before it.
    fn check(spans: &[Span], bits: impl Fn(&str) -> u128) {
        for &(first, last, expected) in spans {
            assert_eq!((status(first), status(last)), (expected, expected), "{first} to {last}");
        }
        for pair in spans.windows(2) {
            let ((_, last, _), (first, ..)) = (pair[0], pair[1]);
            assert_eq!(bits(last) + 1, bits(first), "between {last} and {first}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn blocks_of_ipv4_begin_and_end_where_the_registry_says() {
        let spans: &[Span] = &[
            ("0.0.0.0", "0.255.255.255", RESERVED),
            ("1.0.0.0", "9.255.255.255", PUBLIC),
            ("10.0.0.0", "10.255.255.255", PRIVATE),
            ("11.0.0.0", "100.63.255.255", PUBLIC),
            ("100.64.0.0", "100.127.255.255", PRIVATE),
            ("100.128.0.0", "126.255.255.255", PUBLIC),
            ("127.0.0.0", "127.255.255.255", PRIVATE),
            ("128.0.0.0", "169.253.255.255", PUBLIC),
            ("169.254.0.0", "169.254.255.255", PRIVATE),
            ("169.255.0.0", "172.15.255.255", PUBLIC),
            ("172.16.0.0", "172.31.255.255", PRIVATE),
            ("172.32.0.0", "191.255.255.255", PUBLIC),
            ("192.0.0.0", "192.0.0.255", RESERVED),
            ("192.0.1.0", "192.0.1.255", PUBLIC),
            ("192.0.2.0", "192.0.2.255", RESERVED),
            ("192.0.3.0", "192.88.98.255", PUBLIC),
            ("192.88.99.0", "192.88.99.255", RESERVED),
            ("192.88.100.0", "192.167.255.255", PUBLIC),
            ("192.168.0.0", "192.168.255.255", PRIVATE),
            ("192.169.0.0", "198.17.255.255", PUBLIC),
            ("198.18.0.0", "198.19.255.255", RESERVED),
            ("198.20.0.0", "198.51.99.255", PUBLIC),
            ("198.51.100.0", "198.51.100.255", RESERVED),
            ("198.51.101.0", "203.0.112.255", PUBLIC),
            ("203.0.113.0", "203.0.113.255", RESERVED),
            ("203.0.114.0", "223.255.255.255", PUBLIC),
            ("224.0.0.0", "239.255.255.255", RESERVED),
            ("240.0.0.0", "255.255.255.255", RESERVED),
        ];
        check(spans, |text| text.parse::<Ipv4Addr>().unwrap().to_bits().into());
        for (first, last, expected) in spans {
            for text in [first, last] {
                let v4: Ipv4Addr = text.parse().unwrap();
                let [a, b, c, d] = v4.octets();
                assert_eq!(status(&format!("::ffff:{text}")), *expected, "mapped {text}");
                assert_eq!(status(&format!("64:ff9b::{text}")), *expected, "NAT64 of {text}");
                assert_eq!(status(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")), *expected, "6to4 of {text}");
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn blocks_of_ipv6_begin_and_end_where_the_registry_says() {
        let bits = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        check(&[
            ("::", "::", RESERVED),
            ("::1", "::1", PRIVATE),
            ("::2", "::fffe:ffff:ffff", RESERVED),
        ], bits);
        // Between them the mapped addresses.
        check(&[
            ("::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
        ], bits);
        // Between them the well-known prefix of NAT64.
        check(&[
            ("64:ff9b::1:0:0", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("64:ff9b:2::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("100::", "100::ffff:ffff:ffff:ffff", RESERVED),
            ("100:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC),
        ], bits);
        // Between them 6to4.
        check(&[
            ("2003::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC),
            ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED),
        ], bits);
    }

    #[test]
    fn isatap_with_an_address_of_no_place_has_none() {
        for (text, expected) in [
            ("2a00:1450:4001:82a:0:5efe:10.0.0.1", PRIVATE),
            ("2a00:1450:4001:82a:200:5efe:192.168.7.7", PRIVATE),
            ("2a00:1450::5efe:c000:201", RESERVED),
            ("2a00:1450::5efe:8.8.8.8", PUBLIC),
            ("2a00:1450::200:5efe:8.8.8.8", PUBLIC),
            ("2a00:1450::1:5efe:10.0.0.1", PUBLIC),
            ("fd00::5efe:8.8.8.8", PRIVATE),
            ("fe80::5efe:10.0.0.1", PRIVATE),
            ("2001:db8::5efe:8.8.8.8", RESERVED),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_around_an_address_is_read_past() {
        for (text, expected) in [
            ("8.8.8.8:53", "8.8.8.8"),
            ("[2A00:1450::8A]", "2a00:1450::8a"),
            ("[2a00:1450::8a]:65535", "2a00:1450::8a"),
            ("2a00:1450:0:0:0:0:0:8a", "2a00:1450::8a"),
            ("2a00:1450::8a%eth0.1", "2a00:1450::8a"),
            ("[::ffff:8.8.8.8%1]:80", "8.8.8.8"),
            ("::ffff:808:808", "8.8.8.8"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_parsers_disagree_about_is_no_address() {
        for text in [
            "",
            " ",
            "-",
            "unknown",
            "localhost",
            " 8.8.8.8",
            "8.8.8.8 ",
            "8.8.8.8\n",
            "8.8.8",
            "127.1",
            "010.0.0.1",
            "0x8.8.8.8",
            "134744072",
            "8.8.8.8.8",
            "256.1.1.1",
            "8.8.8.8/24",
            "8.8.8.8:",
            "8.8.8.8:+80",
            "8.8.8.8:65536",
            "8.8.8.8:80:80",
            "8.8.8.8%eth0",
            "[8.8.8.8]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[]",
            "fe80::1%",
            "fe80::1%a b",
            "%eth0",
            "1::2::3",
            "12345::",
            "８.8.8.8",
            "8.8.8.8, 9.9.9.9",
        ] {
            assert_eq!(address(text), Err(GeoStatus::InvalidIp), "{text:?}");
        }
    }
}
