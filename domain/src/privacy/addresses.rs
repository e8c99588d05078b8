//! Whether an address stands anywhere in a text. Better one text too many than one too few: what looks like an address is one.

/// Whether four numbers of 0 to 255 stand there, joined by dots or dashes (`ec2-192-0-2-1`), or what reads as an IPv6 address,
/// whatever stands around them, digits too, and also where any of it is escaped as in URLs, once or several times.
pub(super) fn holds_address(text: &str) -> bool {
    let bytes = text.as_bytes();
    holds_plain(bytes) || bytes.contains(&b'%') && holds_plain(&unescaped(bytes))
}

fn holds_plain(text: &[u8]) -> bool {
    (0..text.len()).filter_map(|at| text.get(at..)).any(|rest| match rest {
        [b':', after @ ..] => {
            after.starts_with(b":") && after.get(1).is_some_and(u8::is_ascii_hexdigit)
        }
        [digit, after @ ..] if digit.is_ascii_hexdigit() => {
            after.starts_with(b"::")
                || after.starts_with(b":") && begins_groups(after)
                || digit.is_ascii_digit() && begins_numbers(after)
        }
        _ => false,
    })
}

/// Whether the rest of four numbers follows the first one's last digit. A digit of the last one is enough, as one of the
/// first was.
fn begins_numbers(mut rest: &[u8]) -> bool {
    for is_last in [false, false, true] {
        let [b'.' | b'-', after @ ..] = rest else { return false };
        let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
        if is_last {
            return digits > 0;
        }
        // Zeros before a number may mean it all the same; more than three digits are no such number.
        let number = match *after {
            [a, ..] if digits == 1 => [0, 0, a],
            [a, b, ..] if digits == 2 => [0, a, b],
            [a, b, c, ..] if digits == 3 => [a, b, c],
            _ => return false,
        };
        let [hundreds, tens, ones] = number.map(|digit| u32::from(digit & 0x0f));
        if hundreds * 100 + tens * 10 + ones > 255 {
            return false;
        }
        rest = after.get(digits..).unwrap_or_default();
    }
    false
}

/// Whether the seven other groups of an IPv6 address follow the first one's last digit. With `::` there are fewer, which
/// is found at that.
fn begins_groups(mut rest: &[u8]) -> bool {
    for is_last in [false, false, false, false, false, false, true] {
        let [b':', after @ ..] = rest else { return false };
        let digits = after.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if is_last {
            return digits > 0;
        }
        if !(1..=4).contains(&digits) {
            return false;
        }
        rest = after.get(digits..).unwrap_or_default();
    }
    false
}

/// The text without `%2E` and the like. What comes of one (`%252E`) is looked at again with what follows.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    for &byte in text {
        plain.push(byte);
        while let [.., b'%', high, low] = *plain
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            plain.truncate(plain.len() - 3);
            plain.push(high << 4 | low);
        }
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_whatever_stands_around_them() {
        for text in [
            "8.8.8.77",
            "remote:8.8.8.77",
            "source:8.8.8.77;proto=https",
            "node:8.8.8.77",
            "edge:8.8.8.77:443",
            "ip%3D8.8.8.77",
            "id=abc8.8.8.77",
            "fe:8.8.8.77",
            "8.8.8.77f",
            "ip8.8.8.77a",
            "1.8.8.8.77",
            "a.8.8.8.77.nip.io",
            "ec2-8-8-8-77.x",
            "12348.8.8.771234",
            "008.008.008.077",
            "8%2E8%2e8%2E77",
            "8%252E8.8%25252e77",
            "%38.8.8.77",
            "%18.8.8.77",
            "::ffff:8.8.8.77",
            "remote:2001:db8::1",
            "added:2001:db8:1:2:3:4:5:6789a",
            "2001%3Adb8%3A%3A1",
            "[2001:db8::]:80",
            "::1",
            "fe80::1%eth0",
        ] {
            assert!(holds_address(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_one_is_none() {
        for text in [
            "",
            "1.1",
            "8.8.8",
            "8.8.8.",
            "8..8.8.8",
            "8.256.8.8",
            "8.8.1000.8",
            "2026-11-25T01:05:30.123Z",
            "Wed, 25 Nov 2026 01:05:30 GMT",
            "4ddf8b7e-5ae0-4f6c-8a3b-0123456789ab",
            "00000000-0000-0000-0000-000000000000",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0a:1b:2c:3d:4e:5f",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:12345:7:8",
            ":: ::",
            "text/html;q=0.9,*/*;q=0.8",
            "----WebKitFormBoundary7MA4YWxkTrZu0gW",
            "100%",
            "%zz",
        ] {
            assert!(!holds_address(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_found_in_anything(address: IpAddr, before: String, after: String) {
            let written = format!("{before}{address}{after}");
            prop_assert!(address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) || holds_address(&written));
        }

        #[test]
        fn whatever_part_parses_is_found(text in "[0-9a-f:.]{0,24}") {
            let parts = (0..text.len()).flat_map(|from| (from..=text.len()).map(move |to| (from, to)));
            let mut parts = parts.filter_map(|(from, to)| text[from..to].parse::<IpAddr>().ok());
            let parses = parts.any(|part| part != IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            prop_assert!(!parses || holds_address(&text));
        }
    }
}
