//! The quick way through a value as nearly all are: one object of texts, without nesting, surrogates or NUL. It takes nothing
//! that serde_json would refuse, and finds the same in it; what it does not know it leaves to serde_json.

use wide::u8x16;

use super::fields::Fields;

/// The used fields of a plain object; `None` where serde_json has to look.
pub(super) fn read(json: &str) -> Option<Fields<'_>> {
    let mut scan = Scan { json, at: 0, quotes: Quotes::new(json.as_bytes()) };
    let mut fields = Fields::default();
    scan.token(b'{')?;
    loop {
        let key = scan.key()?;
        scan.token(b':')?;
        let value = scan.value()?;
        fields.insert(key, value);
        match scan.byte()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    (scan.rest_is_blank() && !fields.exceeds()).then_some(fields)
}

/// Where in the value the scan is. Blanks are spaces only: a value with other ones is left to serde_json.
struct Scan<'a> {
    json: &'a str,
    at: usize,
    quotes: Quotes<'a>,
}

impl<'a> Scan<'a> {
    /// The next byte that is no blank; the scan goes on behind it.
    fn byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.json.as_bytes().get(self.at)?;
            self.at += 1;
            if byte != b' ' {
                return Some(byte);
            }
        }
    }

    fn token(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    /// A key in its quotes.
    fn key(&mut self) -> Option<&'a str> {
        self.token(b'"')?;
        let start = self.at - 1;
        self.end_of_string()?;
        self.json.get(start..self.at)
    }

    /// A value, as it stands.
    fn value(&mut self) -> Option<&'a str> {
        let first = self.byte()?;
        let start = self.at - 1;
        match first {
            b'"' => self.end_of_string()?,
            b'n' => self.literal(start, "null")?,
            b't' => self.literal(start, "true")?,
            b'f' => self.literal(start, "false")?,
            // Times may be numbers; other than whole ones are rare.
            b'1'..=b'9' => self.end_of_digits(),
            _ => return None,
        }
        self.json.get(start..self.at)
    }

    /// Goes behind the closing quote of the string whose opening one was read.
    fn end_of_string(&mut self) -> Option<()> {
        self.quotes.next()?;
        self.at = self.quotes.next()? + 1;
        Some(())
    }

    fn literal(&mut self, start: usize, literal: &str) -> Option<()> {
        self.at = start + literal.len();
        (self.json.get(start..self.at)? == literal).then_some(())
    }

    fn end_of_digits(&mut self) {
        while self.json.as_bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn rest_is_blank(&mut self) -> bool {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        rest.iter().all(|byte| *byte == b' ') && self.quotes.are_of_plain_strings
    }
}

/// The quotes of a text that no backslash escapes, in order, found 64 bytes at a time. Outside of strings a backslash is
/// no JSON, which the scan finds by itself.
struct Quotes<'a> {
    bytes: &'a [u8],
    /// Where the block after the present one begins.
    next_block: usize,
    /// What is left of the present block, a bit for each byte.
    bits: u64,
    /// Whether the first byte of the next block is escaped.
    escapes_next: bool,
    /// Whether no control character was seen, which no JSON string may hold, and no escape but those that stand for one
    /// character that PostgreSQL stores.
    are_of_plain_strings: bool,
}

const BLOCK: usize = 64;

impl<'a> Quotes<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next_block: 0, bits: 0, escapes_next: false, are_of_plain_strings: true }
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.load()?;
        }
        let at = self.next_block - BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }

    /// Goes on to the next block. Once for 64 bytes: kept out of the way of [`Self::next`].
    #[inline(never)]
    fn load(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.next_block..)?;
        let found = match rest.first_chunk::<BLOCK>() {
            Some(block) => Found::of(block),
            None if rest.is_empty() => return None,
            None => {
                let mut last = [b' '; BLOCK];
                last.get_mut(..rest.len())?.copy_from_slice(rest);
                Found::of(&last)
            }
        };
        self.are_of_plain_strings &= !found.has_control;
        self.bits = found.quotes;
        if found.backslashes != 0 || self.escapes_next {
            let escaped = self.escaped(found.backslashes);
            self.bits &= !escaped;
            self.check_escapes(escaped & !found.quotes & !found.backslashes);
        }
        self.next_block += BLOCK;
        Some(())
    }

    /// The bytes that are escaped: those behind an odd number of backslashes.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let (mut escaped, mut rest) = (u64::from(self.escapes_next), backslashes);
        rest &= !escaped;
        self.escapes_next = false;
        while rest != 0 {
            let at = rest & rest.wrapping_neg();
            let next = at << 1;
            self.escapes_next = next == 0;
            escaped |= next;
            rest &= !(at | next);
        }
        escaped
    }

    /// Looks at what else than quotes and backslashes is escaped in the block.
    fn check_escapes(&mut self, mut escaped: u64) {
        while escaped != 0 {
            let at = self.next_block + escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            self.are_of_plain_strings &= match self.bytes.get(at) {
                Some(b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
                Some(b'u') => self.bytes.get(at + 1..at + 5).is_some_and(is_plain_character),
                _ => false,
            };
        }
    }
}

/// Whether these are the digits of a `\u` escape of a character that stands for itself, and that PostgreSQL stores.
fn is_plain_character(digits: &[u8]) -> bool {
    let code =
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?));
    code.and_then(char::from_u32).is_some_and(|character| character != '\0')
}

/// What is in a block, a bit for each byte.
struct Found {
    quotes: u64,
    backslashes: u64,
    has_control: bool,
}

impl Found {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let is = |byte: u8| u8x16::splat(byte);
        let mut found = Self { quotes: 0, backslashes: 0, has_control: false };
        let mut least = is(u8::MAX);
        let (lanes, _) = block.as_chunks::<16>();
        for (at, bytes) in lanes.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            found.quotes |= u64::from(bytes.simd_eq(is(b'"')).to_bitmask()) << (16 * at);
            found.backslashes |= u64::from(bytes.simd_eq(is(b'\\')).to_bitmask()) << (16 * at);
            least = least.min(bytes);
        }
        found.has_control = least.min(is(b' ' - 1)).simd_eq(least).any();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_escapes;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hits_as_browsers_and_servers_send_them_are_plain() {
        let hits = [
            r#"{"event_time":"2024-12-29T12:01:00Z","host":"www.example.com","referrer":null,"url":"/a?b=\"c\""}"#,
            r#"{ "event_time" : 1735473660123, "host" : "b\u00fccher.example", "is_bot" : false }"#,
            r#"{"headers":"{\"a\":\"b\\\\c\"}","user_agent":"日本語","event_time":"2024-12-29"}  "#,
            r#"{"event_time":"2024-12-29","host":"\ud83d\ude00.example"}"#,
            r#"{"event_time":"2024-12-29","host":"a\u0000.example"}"#,
        ];
        for (hit, is_plain) in hits.into_iter().zip([true, true, true, false, false]) {
            assert_eq!(read(hit).is_some(), is_plain, "{hit}");
        }
    }

    #[test]
    fn quotes_are_found_on_both_sides_of_every_block() {
        for length in 0..3 * BLOCK {
            let text = format!("{}\"{}\"", "x".repeat(length), "y".repeat(length));
            let mut quotes = Quotes::new(text.as_bytes());
            let found: Vec<_> = std::iter::from_fn(|| quotes.next()).collect();
            assert_eq!(found, [length, 2 * length + 1]);
        }
    }

    #[test]
    fn quotes_behind_an_odd_number_of_backslashes_are_passed_over() {
        for before in 0..2 * BLOCK {
            for backslashes in 0..70 {
                let text = format!("{}{}\"", "x".repeat(before), "\\".repeat(backslashes));
                let mut quotes = Quotes::new(text.as_bytes());
                let found = (backslashes % 2 == 0).then_some(text.len() - 1);
                assert_eq!(quotes.next(), found, "{text}");
                assert!(quotes.are_of_plain_strings);
            }
        }
    }

    /// Mostly members that are taken, now and then one that must not be.
    fn member() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            20 => prop::sample::select(vec!["event_time", "host", "referrer", "url", "ip", "x"]),
            1 => prop::sample::select(vec![r"h\u006fst", r#"a\"b"#, "", "a\tb"]),
        ];
        let value = prop_oneof![
            10 => r#""[a-z :,é{}\[\]]{0,70}""#,
            10 => r#""([a-z]{0,9}|\\["\\/bfnrt]){0,20}""#,
            5 => "(null|true|false|[1-9][0-9]{0,18})",
            1 => r#""[a-z"\\/\n\x01]{0,5}""#,
            1 => r#""\\{1,2}u(00[0-9a-f]{2}|d[89a-f][0-9]{2}|x{4})""#,
            1 => "(nul|-?[0-9]{1,3}|1\\.5|1e3|0|01|1x|)",
            1 => r#"(\{"host":"x"\}|\[1,"\]"\]|\{\}|\[)"#,
        ];
        let blank = || prop::sample::select(vec!["", "", "", "", "", "", " ", "  ", "\n"]);
        (blank(), key, blank(), value, blank())
            .prop_map(|(a, key, b, value, c)| format!("{a}\"{key}\"{b}:{value}{c}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_taken_is_what_serde_json_finds(
            members in prop::collection::vec(member(), 0..6),
            ends in prop::sample::select(vec![
                ("{", "}"), ("{", "}"), (" {", "} "), (" {", "}"), ("{", "} "),
                ("", "}"), ("{", ""), ("{", "}x"), ("{", ",}"), ("[", "]"), ("{", "}\n"),
            ]),
            cut in prop::option::weighted(0.1, 0usize..200),
        ) {
            let mut json = format!("{}{}{}", ends.0, members.join(","), ends.1);
            if let Some((at, _)) = cut.and_then(|cut| json.char_indices().nth(cut)) {
                json.truncate(at);
            }
            if let Some(fields) = read(&json) {
                prop_assert_eq!(Fields::read(&json, false).ok(), Some(fields), "{}", json);
                prop_assert_eq!(check_escapes(&fields), Ok(false), "{}", json);
            }
        }
    }
}
