//! The networks of trusted proxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::ClientRuleError;

/// Reads a network or a single address. IPv4 in IPv6 clothes is IPv4, as the addresses are that it is compared with.
pub(super) fn parse(text: &str) -> Result<IpNet, ClientRuleError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let given = text.parse().map_err(|_| ClientRuleError::Network(text.to_owned()))?;
    let network = unwrap_mapped(given);
    if network.prefix_len() == 0 {
        return Err(ClientRuleError::Everybody(text.to_owned()));
    }
    if network.addr() != network.network() {
        return Err(ClientRuleError::HostBits { given: text.to_owned(), network: network.trunc() });
    }
    Ok(network)
}

fn unwrap_mapped(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else { return network };
    let IpNet::V6(v6) = network else { return network };
    // A shorter prefix holds more than mapped addresses; what little it could mean is left to it.
    let prefix = v6.prefix_len().checked_sub(96);
    prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.7", "10.0.0.7/32"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.7", "10.0.0.7/32"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn mistakes_are_told_with_what_would_do() {
        for (text, expected) in [
            ("", "\"\" is no address and no network; give one like 10.0.0.7 or 10.0.0.0/8"),
            (
                "10.0.0.0/33",
                "\"10.0.0.0/33\" is no address and no network; give one like 10.0.0.7 or 10.0.0.0/8",
            ),
            (
                "10.1.2.3/8",
                "\"10.1.2.3/8\" is an address within a network; give 10.0.0.0/8 to trust all of that, or the address alone",
            ),
            (
                "::/0",
                "\"::/0\" trusts everybody, so that any visitor could pose as another; give the networks of your proxies",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
        for everybody in ["0.0.0.0/0", "1.2.3.4/0", "::ffff:0:0/96"] {
            assert_eq!(parse(everybody), Err(ClientRuleError::Everybody(everybody.to_owned())));
        }
        assert!(matches!(parse(" 10.0.0.7"), Err(ClientRuleError::Network(_))));
    }
}
