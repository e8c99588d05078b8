//! Value types of the settings: durations, sizes, and "0 is one per core".

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

/// A number of workers; 0 stands for one per core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parallelism(usize);

impl Parallelism {
    /// Gives the number as written, 0 included.
    pub fn written(self) -> usize {
        self.0
    }

    /// Gives the number that is meant on this machine.
    pub fn get(self) -> NonZeroUsize {
        NonZeroUsize::new(self.0)
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

/// A number of bytes, written as a number or with a unit (`"64MiB"`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Wraps a number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Gives the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize::b(self.0).fmt(f)
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size = text.trim().parse::<bytesize::ByteSize>().map_err(|_| {
            serde::de::Error::custom("is not a size; write bytes (65536) or a unit (64MiB, 64MB)")
        })?;
        Ok(Self(size.as_u64()))
    }
}

/// Reads a word out of a closed set; the error lists the set.
pub(super) fn one_of<'de, T: clap::ValueEnum, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::from_str(&word, false)
        .map_err(|_| serde::de::Error::custom(format!("must be {}", words_of::<T>().join(" or "))))
}

/// The words of a closed set, in quotes.
fn words_of<T: clap::ValueEnum>() -> Vec<String> {
    let words = T::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
    words.map(|word| format!("{:?}", word.get_name())).collect()
}

/// Reads several words out of a closed set: a list, or, as in a variable, one text with commas, or `none`.
pub(super) fn list_of<'de, T: clap::ValueEnum, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let words = texts(deserializer)?;
    let word = |word: &String| T::from_str(word, false).ok();
    words.iter().map(word).collect::<Option<Vec<T>>>().ok_or_else(|| {
        serde::de::Error::custom(format!(
            "must be a list of {}, or none",
            words_of::<T>().join(" and ")
        ))
    })
}

/// Reads a list of texts: a list, or one text with commas, or `none`.
pub(super) fn texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        List(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(text) if text.trim() == "none" => Vec::new(),
        Given::One(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
        Given::List(words) => words,
    })
}

/// Reads and writes a [`std::time::Duration`] with its unit; for `#[serde(with = "duration")]`.
pub(super) mod duration {
    use std::time::Duration;

    use humantime::DurationError;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Reads a duration; the error says what would be one.
    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        const SHAPE: &str = "write a number and its unit, such as 500ms, 30s or 5m";
        let text = text.trim();
        if text.starts_with('-') {
            return Err(format!("must not be negative; {SHAPE}"));
        }
        humantime::parse_duration(text).map_err(|e| match e {
            DurationError::NumberOverflow => "is too long a duration".to_owned(),
            DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
                format!("is not a duration, for {unit:?} is no unit; {SHAPE}")
            }
            _ => format!("is not a duration; {SHAPE}"),
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(d)?).map_err(de::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Option<u64> {
        serde_json::from_value::<ByteSize>(text.into()).ok().map(ByteSize::bytes)
    }

    #[test]
    fn sizes_are_bytes_or_carry_a_unit() {
        assert_eq!(size("65536"), Some(65_536));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("64 MB"), Some(64_000_000));
        assert_eq!(size("64 apples"), None);
        assert_eq!(size("-1"), None);
    }

    #[test]
    fn zero_workers_are_one_per_core() {
        assert!(Parallelism(0).get().get() >= 1);
        assert_eq!(Parallelism(3).get().get(), 3);
    }
}
