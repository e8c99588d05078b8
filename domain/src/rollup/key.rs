//! Keys of rollup rows: an injective encoding of their texts, and stable hashes of it.

/// The identity of a rollup row within its window: BLAKE3 of the encoded key, cut to 128 bits. Stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub [u8; 16]);

/// Appends the injective encoding of `parts` to `out`: each is its length plus one as 4 bytes little endian, then its
/// bytes; NULL is a zero length, so that NULL and `""` differ.
pub fn encode_key<'a>(parts: impl IntoIterator<Item = Option<&'a str>>, out: &mut Vec<u8>) {
    for part in parts {
        // A Kafka record cannot exceed 2 GiB, so neither can a text taken from one.
        let length = part.map_or(0, |text| u32::try_from(text.len()).unwrap_or(u32::MAX - 1) + 1);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
}

/// The texts of an encoded key, in the order of the rollup's dimensions.
#[derive(Clone, Debug)]
pub struct KeyParts<'a>(&'a [u8]);

impl<'a> KeyParts<'a> {
    /// Reads back what [`encode_key`] wrote.
    pub fn new(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }
}

impl<'a> Iterator for KeyParts<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            self.0 = rest;
            return Some(None);
        }
        let (text, rest) = rest.split_at_checked(length - 1)?;
        self.0 = rest;
        Some(Some(std::str::from_utf8(text).ok()?))
    }
}

/// The stable identity of an encoded key.
pub fn row_key(encoded: &[u8]) -> RowKey {
    RowKey(first_bytes(encoded))
}

/// A stable hash of the host alone, by which tables can be distributed over several PostgreSQL (DESIGN section 9).
pub fn host_hash(encoded: &[u8]) -> i64 {
    let mut host = Vec::new();
    encode_key(KeyParts::new(encoded).take(1), &mut host);
    i64::from_be_bytes(first_bytes(&host))
}

fn first_bytes<const N: usize>(encoded: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    blake3::Hasher::new().update(encoded).finalize_xof().fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(parts: &[Option<&str>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_key(parts.iter().copied(), &mut out);
        out
    }

    #[test]
    fn null_empty_and_shifted_texts_are_different_keys() {
        let keys = [
            encoded(&[None, None]),
            encoded(&[Some(""), None]),
            encoded(&[None, Some("")]),
            encoded(&[Some("ab"), Some("c")]),
            encoded(&[Some("a"), Some("bc")]),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().map(|k| row_key(k)).collect();
        assert_eq!(distinct.len(), keys.len());
        let parts = [Some("a"), None, Some("")];
        assert!(KeyParts::new(&encoded(&parts)).eq(parts));
    }

    #[test]
    fn hashes_are_those_of_every_version_before() {
        // Rows in open tables carry these: changing one doubles every open row. The values come from another BLAKE3.
        let key = encoded(&[Some("www.example.com"), None]);
        let RowKey(bytes) = row_key(&key);
        assert_eq!(u128::from_be_bytes(bytes), 0x00bb_e748_48db_3362_b603_e435_983f_47f6);
        assert_eq!(host_hash(&key), 1_534_346_070_029_344_729);
        assert_eq!(host_hash(&key), host_hash(&encoded(&[Some("www.example.com"), Some("x")])));
    }
}
