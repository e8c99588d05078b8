//! Event times from text: dates with a time and a zone, and strings of digits.

use super::civil::{days_from_civil, is_date};
use super::{EventTime, epoch};

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// The offset past which no zone lies (`java.time.ZoneOffset`, and so Spark, agrees).
const MAX_OFFSET_SECONDS: i64 = 18 * 3_600;
/// 2201-01-01, the first day past the accepted range.
const END_SECONDS: i64 = days_from_civil(2201, 1, 1) * SECONDS_PER_DAY;

/// Why a text or number is no event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// None of the accepted forms; says what is missing or wrong.
    #[error("{0}")]
    Malformed(&'static str),
    /// A time, but not one of 1970–2200.
    #[error("outside 1970-2200")]
    OutOfRange,
}

use TimeError::Malformed;

impl EventTime {
    /// Reads a time from text: RFC 3339 with any offset, a date with or without a time of day in UTC, or the digits of
    /// an epoch (see [`Self::parse_number`]). What is finer than a microsecond is cut.
    ///
    /// ```
    /// use hitstream_domain::time::{EventTime, TimeError};
    ///
    /// let noon = EventTime::from_micros(1_735_473_600_000_000);
    /// for text in ["2024-12-29T12:00:00Z", "2024-12-29T17:30:00+05:30", "2024-12-29 12:00", "1735473600", "1735473600000"] {
    ///     assert_eq!(EventTime::parse(text), Ok(noon));
    /// }
    /// assert_eq!(EventTime::parse("2201-01-01"), Err(TimeError::OutOfRange));
    /// ```
    ///
    /// # Errors
    /// [`TimeError`]; `docs/SEMANTICS.md` has the rules.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim_matches(|c: char| c <= ' ' || c == '\x7f').as_bytes();
        if let Some((head, tail)) = text.split_first_chunk()
            && let Some(seconds) = full_head(head)
        {
            return finish(seconds, tail);
        }
        if text.is_empty() {
            return Err(Malformed("empty"));
        }
        if text.iter().all(|b| matches!(b, b'0'..=b'9' | b'.')) {
            return epoch::parse(text);
        }
        any_form(text)
    }

    /// Reads a time from a JSON number: seconds since the epoch in `[1e8, 1e11)`, milliseconds in `[1e11, 1e14)`,
    /// microseconds in `[1e14, 1e17)`. Exact, whatever the number's exponent.
    ///
    /// # Errors
    /// [`TimeError`] for all other numbers, and those after 2200.
    pub fn parse_number(number: &str) -> Result<Self, TimeError> {
        epoch::parse(number.as_bytes())
    }

    /// The instant, if it lies in 1970–2200.
    pub(super) fn in_range(seconds: i64, micros: i64) -> Result<Self, TimeError> {
        if !(0..END_SECONDS).contains(&seconds) {
            return Err(TimeError::OutOfRange);
        }
        Ok(Self::from_micros(seconds * MICROS_PER_SECOND + micros))
    }
}

/// The usual `YYYY-MM-DDTHH:MM:SS`, in one go. Whatever it does not take, [`any_form`] judges.
fn full_head(head: &[u8; 19]) -> Option<i64> {
    #[rustfmt::skip]
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T' | b't' | b' ', h0, h1, b':', mi0, mi1, b':', s0, s1] = *head
    else {
        return None;
    };
    let mut all_digits = true;
    let mut pair = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        all_digits &= tens <= 9 && ones <= 9;
        i64::from(tens) * 10 + i64::from(ones)
    };
    let year = pair(y0, y1) * 100 + pair(y2, y3);
    let (month, day) = (pair(mo0, mo1), pair(d0, d1));
    let (hour, minute, second) = (pair(h0, h1), pair(mi0, mi1), pair(s0, s1));
    let is_time = hour <= 23 && minute <= 59 && second <= 59;
    (all_digits && is_time && is_date(year, month, day)).then(|| {
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second
    })
}

/// All accepted forms, and a reason for each refusal.
fn any_form(text: &[u8]) -> Result<EventTime, TimeError> {
    let mut rest = Cursor { rest: text };
    let negative = rest.take(b"-");
    if !negative {
        rest.take(b"+");
    }
    let Some(year) = rest.number(4, 6) else {
        return Err(Malformed("does not start with a year of four digits"));
    };
    let year = if negative { -year } else { year };
    let (Some(month), Some(day)) = (rest.part(b"-"), rest.part(b"-")) else {
        return Err(Malformed("not a date as in 2024-12-29"));
    };
    if !is_date(year, month, day) {
        return Err(Malformed("no such day"));
    }
    let midnight = days_from_civil(year, month, day) * SECONDS_PER_DAY;
    if rest.is_empty() {
        return EventTime::in_range(midnight, 0);
    }
    let hour = rest.part(b"T").or_else(|| rest.part(b"t")).or_else(|| rest.part(b" "));
    let (Some(hour), Some(minute)) = (hour, rest.part(b":")) else {
        return Err(Malformed("the date is not followed by a time of day as in 12:00"));
    };
    let second = if rest.is_empty() { Some(0) } else { rest.part(b":") };
    let Some(second) = second else {
        return Err(Malformed("a zone needs seconds before it"));
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Malformed("no such time of day"));
    }
    finish(midnight + hour * 3_600 + minute * 60 + second, rest.rest)
}

/// Reads what follows the seconds: a fraction and a zone, each optional.
fn finish(local_seconds: i64, tail: &[u8]) -> Result<EventTime, TimeError> {
    let mut rest = Cursor { rest: tail };
    let micros = if rest.take(b".") { rest.fraction() } else { 0 };
    let offset = match rest.rest {
        b"" | b"Z" => 0,
        _ => rest.zone()?,
    };
    EventTime::in_range(local_seconds - offset, micros)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, expected: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn digit(&mut self) -> Option<i64> {
        let (digit @ b'0'..=b'9', rest) = self.rest.split_first()? else { return None };
        self.rest = rest;
        Some(i64::from(digit - b'0'))
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let mut number = 0;
        for count in 0..most {
            match self.digit() {
                Some(digit) => number = number * 10 + digit,
                None => return (count >= least).then_some(number),
            }
        }
        Some(number)
    }

    /// One or two digits behind a separator.
    fn part(&mut self, separator: &[u8]) -> Option<i64> {
        if self.take(separator) { self.number(1, 2) } else { None }
    }

    /// Microseconds of any number of digits, even none.
    fn fraction(&mut self) -> i64 {
        let (mut micros, mut unit) = (0, MICROS_PER_SECOND / 10);
        while let Some(digit) = self.digit() {
            micros += digit * unit;
            unit /= 10;
        }
        micros
    }

    /// A zone, to the end of the text, in seconds east of UTC: `Z`, ` UTC`, `±H`, `±HH`, `±HHMM`, `±HH:MM`, and the
    /// last two with seconds.
    fn zone(&mut self) -> Result<i64, TimeError> {
        let mut blank = false;
        while self.take(b" ") || self.take(b"\t") {
            blank = true;
        }
        if matches!(self.rest, b"Z" | b"z") || (blank && self.rest == b"UTC") {
            return Ok(0);
        }
        let west = self.take(b"-");
        if !west && !self.take(b"+") {
            return Err(Malformed(
                "the time is not followed by Z, an offset as in +05:30, or nothing",
            ));
        }
        let Some(seconds) = self.offset().filter(|_| self.is_empty()) else {
            return Err(Malformed("the offset is not as in +05:30"));
        };
        if seconds > MAX_OFFSET_SECONDS {
            return Err(Malformed("the offset is past 18 hours"));
        }
        Ok(if west { -seconds } else { seconds })
    }

    fn offset(&mut self) -> Option<i64> {
        let colons = self.rest.contains(&b':') || self.rest.len() == 1;
        let mut parts = [0; 3];
        for (index, part) in parts.iter_mut().enumerate() {
            if self.is_empty() && index > 0 {
                break;
            }
            if colons && index > 0 && !self.take(b":") {
                return None;
            }
            *part = self.number(if colons { 1 } else { 2 }, 2)?;
        }
        let [hours, minutes, seconds] = parts;
        (minutes <= 59 && seconds <= 59).then_some(hours * 3_600 + minutes * 60 + seconds)
    }
}
