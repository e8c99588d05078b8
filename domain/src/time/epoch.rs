//! Event times from numbers, in exact decimal arithmetic: the digits are shifted, never rounded through a float.

use super::EventTime;
use super::parse::TimeError;

/// Reads `digits[.digits][(e|E)[sign]digits]`, as JSON has it, as seconds, milliseconds or microseconds since the
/// epoch. The unit follows from how many digits stand before the decimal point: 9–11, 12–14, 15–17.
pub(super) fn parse(number: &[u8]) -> Result<EventTime, TimeError> {
    let not_an_epoch = TimeError::Malformed(
        "a number that is no epoch: seconds from 1e8, milliseconds from 1e11, microseconds from 1e14, all below 1e17",
    );
    let (mantissa, exponent) = match number.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (number.get(..at), exponent(number.get(at + 1..).unwrap_or_default())),
        None => (Some(number), Some(0)),
    };
    let (Some(mantissa), Some(exponent)) = (mantissa, exponent) else { return Err(not_an_epoch) };

    let point = mantissa.iter().position(|&b| b == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = mantissa.split_at_checked(point).unwrap_or((mantissa, b""));
    let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
    let mut digits = whole.iter().chain(fraction);
    if whole.is_empty() || !digits.clone().all(u8::is_ascii_digit) {
        return Err(not_an_epoch);
    }
    let zeros = digits.clone().take_while(|&&b| b == b'0').count();
    // Digits before the point, once leading zeros are gone and the exponent is applied.
    let length = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent)
        - i64::try_from(zeros).unwrap_or(i64::MAX);
    let wanted = match length {
        9..=11 => length + 6,
        12..=14 => length + 3,
        15..=17 => length,
        _ => return Err(not_an_epoch),
    };

    // At most 17 digits: no overflow.
    let mut micros: i64 = 0;
    let mut significant = digits.by_ref().skip(zeros);
    for _ in 0..wanted {
        micros = micros * 10 + significant.next().map_or(0, |digit| i64::from(digit - b'0'));
    }
    if micros == 0 {
        return Err(not_an_epoch);
    }
    EventTime::in_range(micros / 1_000_000, micros % 1_000_000)
}

/// An exponent, saturating: a number with a huge one is refused by its length anyway.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far past any length a record can have, far below overflow.
    let size =
        digits.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -size } else { size })
}
