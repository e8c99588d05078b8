//! Event times against independent calendars and an independent decimal arithmetic.

use hitstream_domain::time::{EventTime, TimeError};
use proptest::prelude::*;

const END_SECONDS: i64 = 7_289_654_400; // 2201-01-01T00:00:00Z

fn micros(text: &str) -> Result<i64, TimeError> {
    EventTime::parse(text).map(EventTime::as_micros)
}

fn number(text: &str) -> Result<i64, TimeError> {
    EventTime::parse_number(text).map(EventTime::as_micros)
}

/// Days before a date, counted year by year and month by month.
fn naive_days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    years + months.iter().take(month as usize - 1).sum::<i64>() + day - 1
}

#[test]
fn accepted_forms_mean_what_spark_says() {
    let noon = 1_735_473_600_000_000;
    for (text, expected) in [
        ("2024-12-29T12:00:00Z", noon),
        ("2024-12-29t12:00:00z", noon),
        ("2024-12-29 12:00:00", noon),
        ("2024-12-29T12:00", noon),
        ("2024-12-29 9:5", noon - 10_500_000_000),
        ("2024-12-29", noon - 43_200_000_000),
        ("2024-1-2T3:4:5Z", 1_704_164_645_000_000),
        ("  2024-12-29T12:00:00Z\t\n", noon),
        ("2024-12-29 12:00:00 UTC", noon),
        ("2024-12-29T12:00:00 Z", noon),
        ("2024-12-29T12:00:00.Z", noon),
        ("2024-12-29T12:00:00.", noon),
        ("2024-12-29T12:00:00.9999999999Z", noon + 999_999),
        ("2024-12-29T12:00:00.000001", noon + 1),
        ("2024-12-29T12:00:00+05:30", noon - 19_800_000_000),
        ("2024-12-29T12:00:00+0530", noon - 19_800_000_000),
        ("2024-12-29T12:00:00+5:30", noon - 19_800_000_000),
        ("2024-12-29T12:00:00+05", noon - 18_000_000_000),
        ("2024-12-29T12:00:00+5", noon - 18_000_000_000),
        ("2024-12-29T12:00:00 -00:00", noon),
        ("2024-12-29T12:00:00.5-18:00", noon + 64_800_500_000),
        ("2024-12-29T12:00:00+01:02:03", noon - 3_723_000_000),
        ("+2024-12-29T12:00:00Z", noon),
        ("2024-02-29", 1_709_164_800_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2200-12-31T23:59:59.999999Z", END_SECONDS * 1_000_000 - 1),
    ] {
        assert_eq!(micros(text), Ok(expected), "{text}");
    }
}

#[test]
fn malformed_times_are_refused() {
    for text in [
        "",
        " ",
        "now",
        "T12:00:00Z",
        "12:00:00",
        "2024",
        "2024-12",
        "2024-12-29T12",
        "2024-12-29T12Z",
        "2024-12-29T",
        "2024-12-29Z",
        "2024-12-29T12:00Z",
        "2024-12-29 12:00+01:00",
        "2024-12-29 12:00 UTC",
        "2024-12-29T24:00:00Z",
        "2024-12-29T25:00:00Z",
        "2024-12-29T12:60:00Z",
        "2024-12-31T23:59:60Z",
        "2024-02-30T12:00:00Z",
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-12-32",
        "2024-12-29T12:00:00,123Z",
        "2024-12-29T12:00:00Zjunk",
        "2024-12-29  12:00:00",
        "2024/12/29 12:00:00",
        "2024-12-29T12:00:00+19:00",
        "2024-12-29T12:00:00+18:01",
        "2024-12-29T12:00:00+05:60",
        "2024-12-29T12:00:00+530",
        "2024-12-29T12:00:00+",
        "2024-12-29T12:00:00+05:",
        "2024-12-29T12:00:00+05:30:15:00",
        "2024-12-29 12:00:00UTC",
        "2024-12-29 12:00:00 utc",
        "2024-12-29 12:00:00 PST",
        "2024-12-29 12:00:00 GMT+1",
        "2024-12-29 12:00:00 Europe/Berlin",
        "24-12-29T12:00:00Z",
        "20241229T120000Z",
        "2024-W52-7",
        "２０２４-12-29T12:00:00Z",
        "\u{a0}2024-12-29",
        "29/Dec/2024:12:00:00 +0000",
        "2024-12-29T12:00:00.5.5Z",
        "2024-12-29T12:00:0:Z",
        "20241229",
        "1e9",
        "-1735473600",
        "1735473600.5.5",
        ".",
        "99999999",
        "100000000000000000",
    ] {
        assert!(matches!(micros(text), Err(TimeError::Malformed(_))), "{text}: {:?}", micros(text));
    }
}

#[test]
fn times_outside_1970_to_2200_are_out_of_range() {
    for text in [
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "2201-01-01",
        "2200-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59.999Z",
        "10000-01-01T00:00:00Z",
        "0000-01-01",
        "-0001-01-01T00:00:00Z",
        "999999-12-31",
        "+12024-12-29T12:00:00Z",
        "99999999999",
        "7289654400",
    ] {
        assert_eq!(micros(text), Err(TimeError::OutOfRange), "{text}");
    }
}

#[test]
fn numbers_are_epochs_by_their_size() {
    let second = 1_000_000;
    for (text, expected) in [
        ("100000000", 100_000_000 * second),
        ("1735473660", 1_735_473_660 * second),
        ("1735473660.1234567", 1_735_473_660 * second + 123_456),
        ("1.735473660e9", 1_735_473_660 * second),
        ("1.735473660123456789E+9", 1_735_473_660 * second + 123_456),
        ("17354736600000000000e-10", 1_735_473_660 * second),
        ("0.00001735473660e14", 1_735_473_660 * second),
        ("100000000000", 100_000_000 * second),
        ("1735473660123", 1_735_473_660 * second + 123_000),
        ("1735473660123.4567", 1_735_473_660 * second + 123_456),
        ("100000000000000", 100_000_000 * second),
        ("1735473660123456.99", 1_735_473_660 * second + 123_456),
        ("7289654399.9999999", END_SECONDS * second - 1),
    ] {
        assert_eq!(number(text), Ok(expected), "{text}");
        if !text.contains(['e', 'E']) {
            assert_eq!(micros(&format!(" 00{text} ")), Ok(expected), "{text} as text");
        }
    }
    for text in [
        "0",
        "-0",
        "0e9",
        "0.0",
        "2024",
        "173547",
        "99999999",
        "99999999.999999",
        "-1735473660",
        "1e17",
        "1e400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "100000000000000000",
        "1735473660e-5",
    ] {
        assert!(matches!(number(text), Err(TimeError::Malformed(_))), "{text}: {:?}", number(text));
    }
    let long = format!("1735473660.{}e0", "1".repeat(100_000));
    assert_eq!(number(&long), Ok(1_735_473_660 * second + 111_111));
    let zeros = format!("0.{}1735473660e100010", "0".repeat(100_000));
    assert_eq!(number(&zeros), Ok(1_735_473_660 * second));
}

#[test]
fn times_print_as_rfc_3339() {
    for (micros, text) in [
        (1_735_473_660_000_000, "2024-12-29T12:01:00Z"),
        (1_735_473_660_000_001, "2024-12-29T12:01:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (i64::MIN, "-infinity"),
        (i64::MAX, "infinity"),
        (253_402_300_800_000_000, "+10000-01-01T00:00:00Z"),
        (-62_198_755_200_000_000, "-0001-01-01T00:00:00Z"),
    ] {
        assert_eq!(EventTime::from_micros(micros).to_string(), text);
    }
}

proptest! {
    #[test]
    fn printed_times_read_back_and_agree_with_jiff(micros in 0..END_SECONDS * 1_000_000) {
        let time = EventTime::from_micros(micros);
        let text = time.to_string();
        prop_assert_eq!(EventTime::parse(&text), Ok(time));
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_microsecond(), micros);
    }

    #[test]
    fn zoned_times_agree_with_jiff(
        seconds in -86_400 * 400..END_SECONDS + 86_400 * 400,
        fraction in 0..1_000_000_000_i32,
        digits in 0..=9_usize,
        offset_minutes in -18 * 60..=18 * 60_i32,
    ) {
        let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
        let local = offset.to_datetime(jiff::Timestamp::from_second(seconds).unwrap());
        let fraction = format!("{fraction:09}");
        let fraction = if digits == 0 { String::new() } else { format!(".{}", &fraction[..digits]) };
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
        let head = local.strftime("%Y-%m-%dT%H:%M:%S").to_string() + &fraction;
        // jiff has the whole seconds; the fraction is cut by its text.
        let micros: i64 = format!("{:0<6.6}", fraction.trim_start_matches('.')).parse().unwrap();
        let expected = if (0..END_SECONDS).contains(&seconds) {
            Ok(EventTime::from_micros(seconds * 1_000_000 + micros))
        } else {
            Err(TimeError::OutOfRange)
        };
        for (head, colon) in [(head.clone(), ":"), (head.replace('T', " "), "")] {
            let text = format!("{head}{sign}{hours:02}{colon}{minutes:02}");
            prop_assert_eq!(EventTime::parse(&text), expected, "{}", text);
        }
    }

    #[test]
    fn every_date_and_time_agrees_with_naive_counting(
        year in 1970..=2200_i64, month in 0..=13_i64, day in 0..=32_i64,
        hour in 0..=25_i64, minute in 0..=61_i64, second in 0..=61_i64,
        zone in prop::sample::select(vec!["", "Z", " UTC", "+00:00", "-0000"]),
        separator in prop::sample::select(vec!["T", " ", "t"]),
    ) {
        let next_month = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let is_date = (1..=12).contains(&month)
            && day >= 1
            && naive_days(year, month, day) < naive_days(next_month.0, next_month.1, 1);
        let is_time = hour < 24 && minute < 60 && second < 60;
        let text = format!(
            "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{zone}"
        );
        let short = format!("{year}-{month}-{day}{separator}{hour}:{minute}:{second}{zone}");
        let expected = (is_date && is_time)
            .then(|| ((naive_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second);
        prop_assert_eq!(micros(&text).ok(), expected.map(|s| s * 1_000_000));
        prop_assert_eq!(micros(&short), micros(&text));
    }

    #[test]
    fn numbers_agree_with_integers_of_a_hundred_digits(
        digits in "[1-9][0-9]{0,24}", point in 0..=25_usize, exponent in -20..=20_i32,
    ) {
        // The value times 10^46 is an integer; compare and cut by comparing digit strings.
        let point = point.min(digits.len());
        let (whole, fraction) = digits.split_at(point);
        let whole = if whole.is_empty() { "0" } else { whole };
        let dot = if fraction.is_empty() { "" } else { "." };
        let text = format!("{whole}{dot}{fraction}e{exponent}");
        let shift = 46 + exponent - fraction.len() as i32;
        let scaled = format!("{digits}{}", "0".repeat(shift as usize));
        // The whole digits of the value times 10^power; empty for zero.
        let integer = |power: usize| &scaled[..scaled.len().saturating_sub(46 - power)];
        let expected = match integer(0).trim_start_matches('0').len() {
            9..=11 => Some(integer(6)),
            12..=14 => Some(integer(3)),
            15..=17 => Some(integer(0)),
            _ => None,
        };
        let expected = expected.map(|micros| micros.parse::<i64>().unwrap());
        match (number(&text), expected) {
            (Ok(micros), Some(expected)) => prop_assert_eq!(micros, expected, "{}", text),
            (Err(TimeError::OutOfRange), Some(late)) => prop_assert!(late >= END_SECONDS * 1_000_000),
            (Err(TimeError::Malformed(_)), None) => {}
            (answer, _) => prop_assert!(false, "{}: {:?} for {:?}", text, answer, expected),
        }
    }

    #[test]
    fn any_text_is_answered(
        text in "\\PC{0,40}",
        almost in "[ +-]?[0-9]{2,6}-[0-9]{1,3}-[0-9]{1,3}[ Tt][0-9:., +Zz-]{0,20}",
    ) {
        let _ = (EventTime::parse(&text), EventTime::parse_number(&text));
        if let Ok(time) = EventTime::parse(&almost) {
            prop_assert!((0..END_SECONDS * 1_000_000).contains(&time.as_micros()));
        }
    }
}
