//! The quick way through a value as nearly all are: one object of texts, without nesting, surrogates or NUL. It takes nothing
//! that serde_json would refuse, and finds the same in it; what it does not know it leaves to serde_json.

use super::fields::Fields;

/// The used fields of a plain object; `None` where serde_json has to look.
pub(super) fn read(json: &str) -> Option<Fields<'_>> {
    let mut scan = Scan { json, at: 0, marks: Marks::new(json.as_bytes()) };
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
    marks: Marks<'a>,
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

    /// A key in its quotes, without escapes.
    fn key(&mut self) -> Option<&'a str> {
        self.token(b'"')?;
        let start = self.at - 1;
        self.marks.next()?;
        let (end, mark) = self.marks.next()?;
        self.at = end + 1;
        if mark == b'"' { self.json.get(start..self.at) } else { None }
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

    fn end_of_string(&mut self) -> Option<()> {
        self.marks.next()?;
        loop {
            let (at, mark) = self.marks.next()?;
            if mark == b'"' {
                self.at = at + 1;
                return Some(());
            }
            match self.json.as_bytes().get(at + 1)? {
                b'"' | b'\\' => drop(self.marks.next()?),
                b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => self.character(at + 2)?,
                _ => return None,
            }
        }
    }

    /// The four digits of a `\u` escape: of a character that stands for itself, and that PostgreSQL stores.
    fn character(&self, at: usize) -> Option<()> {
        let digits = self.json.as_bytes().get(at..at + 4)?;
        let code = digits
            .iter()
            .try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
        char::from_u32(code).filter(|character| *character != '\0').map(drop)
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
        rest.iter().all(|byte| *byte == b' ') && !self.marks.has_control
    }
}

/// The quotes and backslashes of a text, in order. They are found 64 bytes at a time, in a way that compilers turn into
/// vector instructions.
struct Marks<'a> {
    bytes: &'a [u8],
    /// Where the block after the present one begins.
    next_block: usize,
    /// What is left of the present block, a bit for each byte.
    bits: u64,
    /// Whether a block had a control character, which no JSON string may hold.
    has_control: bool,
}

const BLOCK: usize = 64;

impl<'a> Marks<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next_block: 0, bits: 0, has_control: false }
    }

    #[inline]
    fn next(&mut self) -> Option<(usize, u8)> {
        while self.bits == 0 {
            self.load()?;
        }
        let at = self.next_block - BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some((at, *self.bytes.get(at)?))
    }

    /// Goes on to the next block. Once for 64 bytes: kept out of the way of [`Self::next`].
    #[inline(never)]
    fn load(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.next_block..)?;
        let block = match rest.first_chunk::<BLOCK>() {
            Some(block) => *block,
            None if rest.is_empty() => return None,
            None => {
                let mut last = [b' '; BLOCK];
                last.get_mut(..rest.len())?.copy_from_slice(rest);
                last
            }
        };
        self.has_control |= block.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ';
        let is_mark = block.map(|byte| u8::from(byte == b'"') | u8::from(byte == b'\\'));
        let (words, _) = is_mark.as_chunks::<8>();
        self.bits =
            words.iter().enumerate().fold(0, |bits, (at, word)| bits | gather(*word) << (8 * at));
        self.next_block += BLOCK;
        Some(())
    }
}

/// Eight bytes of 0 or 1 as the bits of one: each factor moves one of them to its place in the uppermost byte.
fn gather(word: [u8; 8]) -> u64 {
    u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56
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
    fn marks_are_found_on_both_sides_of_every_block() {
        for length in 0..3 * BLOCK {
            let text = format!("{}\"{}\\", "x".repeat(length), "y".repeat(length));
            let mut marks = Marks::new(text.as_bytes());
            let found: Vec<_> = std::iter::from_fn(|| marks.next()).collect();
            assert_eq!(found, [(length, b'"'), (2 * length + 1, b'\\')]);
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
