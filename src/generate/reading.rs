//! Reads records back for the tests, with nothing of the project: serde_json and a calendar.

use serde_json::Value;

/// What a hit says: event time in microseconds since 1970, host, referrer.
pub(super) type Said = (i64, Option<String>, Option<String>);

/// The year 2100: what claims to be later is the far future for every test.
const FAR_FUTURE: i64 = 4_102_444_800_000_000;

/// What a value says; `None` where it is no hit.
pub(super) fn read(value: Option<&[u8]>) -> Option<Said> {
    let Value::Object(fields) = serde_json::from_slice(value?).ok()? else { return None };
    let micros = instant(fields.get("event_time")?.as_str()?)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    (micros < FAR_FUTURE).then(|| (micros, text("host"), text("referrer")))
}

/// The instant of a time as records have it, read with nothing of the project; `None` where it is none.
fn instant(text: &str) -> Option<i64> {
    let (stamp, offset) = match text.strip_suffix('Z') {
        Some(stamp) => (stamp, 0),
        None => match text.split_once('+') {
            Some((stamp, "05:30")) => (stamp, 19_800),
            Some(_) => return None,
            None => (text, 0),
        },
    };
    let (date, clock) = stamp.split_once(['T', ' '])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let date: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let clock: Vec<i64> = clock.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [hour, minute, second]) =
        (date[..].try_into().ok()?, clock[..].try_into().ok()?);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1970..2200).contains(&year)
        || !(1..=length).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let days = (1970..year).map(|year| 365 + i64::from(leap(year))).sum::<i64>()
        + lengths[..month as usize - 1].iter().sum::<i64>()
        + day
        - 1;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().ok()?)
}
