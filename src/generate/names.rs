//! The sites, referrers and visitors of the synthetic web: names made from a rank, so that none has to be stored.

use super::random::mix;

const ADJECTIVES: [&str; 16] = [
    "alpine", "amber", "brisk", "calm", "coral", "dusty", "early", "fabled", "gentle", "hidden",
    "ivory", "jolly", "lunar", "merry", "nordic", "quiet",
];
const NOUNS: [&str; 16] = [
    "bikes", "books", "cameras", "gardens", "kitchen", "lamps", "maps", "music", "news", "outdoor",
    "recipes", "shoes", "tickets", "tools", "travel", "weather",
];

/// Texts in one block of memory, each found by its number.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// The texts, in their order.
    pub(crate) fn new(texts: impl Iterator<Item = String>) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.bytes.extend_from_slice(text.as_bytes());
            all.ends.push(all.bytes.len());
        }
        all
    }

    /// The text of this number; empty where there is none.
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start =
            number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(number).and_then(|&end| self.bytes.get(start..end)).unwrap_or_default()
    }
}

/// The host name of a site. One in 23 is not ASCII.
pub(crate) fn host(rank: u32) -> String {
    let prefix = if rank % 23 == 11 { "bücher" } else { pick(&["www", "shop", "m", "api"], rank) };
    format!("{prefix}.{}.example", site(rank))
}

/// A referrer. The last two of `referrers + 2` are the empty text and `-`, as logs have them.
pub(crate) fn referrer(rank: u32, referrers: u32) -> String {
    if rank == referrers {
        return String::new();
    }
    if rank > referrers {
        return "-".to_owned();
    }
    let (adjective, noun) = words(rank / 8);
    let page = rank / 8;
    match rank % 8 {
        0 => format!("https://www.google.com/search?q={adjective}+{noun}&start={page}0"),
        1 => format!("https://www.{}.example/{noun}/{page}", site(page)),
        2 => format!("https://duckduckgo.com/?q={adjective}%20{noun}%20{page}"),
        3 => format!("https://t.co/{:x}", mix(u64::from(rank))),
        4 => format!(
            "https://www.facebook.com/groups/{page}/posts/{}",
            mix(u64::from(rank)) % 1_000_000
        ),
        5 => format!("https://news.{}.example/2024/{noun}?ref=\"start\"&id={page}", site(page)),
        6 => format!("https://de.wikipedia.org/wiki/Überblick_{adjective}_{noun}_{page}"),
        _ => format!("android-app://com.{adjective}.{noun}.v{page}/"),
    }
}

/// The JSON literal of a text, quotes included. Which of the equivalent spellings it takes goes by `rank`:
/// raw UTF-8, `\u` escapes outside ASCII (Python's way), or escaped slashes (PHP's way).
pub(crate) fn literal(text: &str, rank: u32) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '/' if rank % 19 == 7 => out.push_str("\\/"),
            '&' if rank % 19 == 13 => out.push_str("\\u0026"),
            letter if !letter.is_ascii() && rank.is_multiple_of(2) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// The address of a visitor: mostly IPv4 in ranges of providers around the world, some IPv6, some private or
/// reserved for documentation.
pub(crate) fn address(visitor: u32) -> String {
    /// First bytes of IPv4 blocks that are in public use.
    const PUBLIC: [u8; 32] = [
        2, 5, 12, 24, 31, 37, 41, 46, 58, 61, 62, 71, 77, 80, 82, 84, 86, 89, 90, 93, 95, 101, 109,
        114, 151, 176, 178, 186, 189, 200, 202, 212,
    ];
    const DOCUMENTATION: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];
    let bits = mix(u64::from(visitor) + 1);
    let [a, b, c, d, kind, e, f, _] = bits.to_le_bytes();
    let host = u16::from_le_bytes([c, d]);
    match kind {
        0..8 => format!("{}.{}", pick(&DOCUMENTATION, u32::from(a)), 1 + b % 254),
        8..12 => format!("10.{b}.{c}.{d}"),
        12..16 => format!("2001:db8:{visitor:x}::{host:x}"),
        16..32 => format!("2a02:{:x}:{visitor:x}:{e:x}::{f:x}", 0x100 + host % 0x2000),
        _ => format!("{}.{b}.{c}.{}", pick_byte(&PUBLIC, a), 1 + d % 254),
    }
}

/// A site's name without prefix and top-level domain; each rank has its own.
fn site(rank: u32) -> String {
    let (adjective, noun) = words(rank);
    match rank / 256 {
        0 => format!("{adjective}-{noun}"),
        more => format!("{adjective}-{noun}-{more}"),
    }
}

/// Two words; 256 ranks in a row have 256 different pairs.
fn words(rank: u32) -> (&'static str, &'static str) {
    (pick(&ADJECTIVES, rank), pick(&NOUNS, rank / 16 + rank))
}

fn pick(words: &[&'static str], number: u32) -> &'static str {
    words.get(number as usize % words.len().max(1)).copied().unwrap_or_default()
}

fn pick_byte(bytes: &[u8], number: u8) -> u8 {
    bytes.get(usize::from(number) % bytes.len().max(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn every_rank_has_a_name_of_its_own() {
        assert_eq!((0..20_000).map(host).collect::<HashSet<_>>().len(), 20_000);
        let referrers: HashSet<_> = (0..20_002).map(|rank| referrer(rank, 20_000)).collect();
        assert_eq!(referrers.len(), 20_002);
        assert!(referrers.contains("") && referrers.contains("-"));
    }

    #[test]
    fn literals_are_the_same_text_in_every_spelling() {
        for rank in 0..1_000 {
            for text in [host(rank), referrer(rank, 1_000), "a\\b \"c\" 🦀".to_owned()] {
                assert_eq!(serde_json::from_str::<String>(&literal(&text, rank)).unwrap(), text);
            }
        }
    }

    #[test]
    fn addresses_are_addresses_and_some_are_ipv6() {
        let addresses: Vec<IpAddr> =
            (0..10_000).map(|visitor| address(visitor).parse().unwrap()).collect();
        let six = addresses.iter().filter(|address| address.is_ipv6()).count();
        assert!((600..1_000).contains(&six), "{six}");
    }

    #[test]
    fn texts_are_found_by_number() {
        let texts = Texts::new(["a", "", "bc"].into_iter().map(str::to_owned));
        assert_eq!(
            [texts.get(0), texts.get(1), texts.get(2), texts.get(3)],
            [&b"a"[..], b"", b"bc", b""]
        );
    }
}
