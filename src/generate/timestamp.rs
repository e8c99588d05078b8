//! Event times as text, without a date library on the hot path.

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// How finely and in which of the accepted forms an event time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// `2015-05-17T10:05:03Z`
    Seconds,
    /// `2015-05-17T10:05:03.120Z`
    Millis,
    /// `2015-05-17T10:05:03.120456Z`
    Micros,
    /// `2015-05-17 10:05:03.120456`, which is UTC
    Spaced,
    /// `2015-05-17T15:35:03.120456+05:30`
    Offset,
}

impl TimeForm {
    /// The instant that is left when `micros` is written in this form.
    pub(crate) fn keep(self, micros: i64) -> i64 {
        match self {
            Self::Seconds => micros - micros.rem_euclid(SECOND),
            Self::Millis => micros - micros.rem_euclid(1_000),
            Self::Micros | Self::Spaced | Self::Offset => micros,
        }
    }

    /// Appends the instant, in microseconds since 1970 and within the years 0 to 9999.
    pub(crate) fn write(self, micros: i64, out: &mut Vec<u8>) {
        let shift = if self == Self::Offset { 19_800 * SECOND } else { 0 };
        let (seconds, fraction) = ((micros + shift).div_euclid(SECOND), micros.rem_euclid(SECOND));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        push_padded(year, 4, out);
        out.push(b'-');
        push_padded(month, 2, out);
        out.push(b'-');
        push_padded(day, 2, out);
        out.push(if self == Self::Spaced { b' ' } else { b'T' });
        push_padded(second / 3_600, 2, out);
        out.push(b':');
        push_padded(second / 60 % 60, 2, out);
        out.push(b':');
        push_padded(second % 60, 2, out);
        match self {
            Self::Seconds => {}
            Self::Millis => {
                out.push(b'.');
                push_padded(fraction / 1_000, 3, out);
            }
            Self::Micros | Self::Spaced | Self::Offset => {
                out.push(b'.');
                push_padded(fraction, 6, out);
            }
        }
        match self {
            Self::Seconds | Self::Millis | Self::Micros => out.push(b'Z'),
            Self::Spaced => {}
            Self::Offset => out.extend_from_slice(b"+05:30"),
        }
    }
}

/// An instant as RFC 3339 in UTC, with microseconds only where there are some.
pub(crate) fn rfc3339(micros: i64) -> String {
    let form = if micros.rem_euclid(SECOND) == 0 { TimeForm::Seconds } else { TimeForm::Micros };
    let mut text = Vec::with_capacity(27);
    form.write(micros, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Year, month and day of a number of days since 1970 (Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + carry, month, day)
}

/// Appends `number` with leading zeros.
fn push_padded(number: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_i64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: TimeForm, micros: i64) -> String {
        let mut out = Vec::new();
        form.write(micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants_are_written_as_date_does() {
        // `date -u -d @…`
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_431_857_103_120_456), "2015-05-17T10:05:03.120456Z");
        assert_eq!(rfc3339(4_107_542_400_000_000), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(-300_000_000), "1969-12-31T23:55:00Z");
    }

    #[test]
    fn every_form_writes_what_it_keeps() {
        let at = 1_431_902_103_120_456;
        assert_eq!(written(TimeForm::Seconds, at), "2015-05-17T22:35:03Z");
        assert_eq!(written(TimeForm::Millis, at), "2015-05-17T22:35:03.120Z");
        assert_eq!(written(TimeForm::Micros, at), "2015-05-17T22:35:03.120456Z");
        assert_eq!(written(TimeForm::Spaced, at), "2015-05-17 22:35:03.120456");
        assert_eq!(written(TimeForm::Offset, at), "2015-05-18T04:05:03.120456+05:30");
        assert_eq!(TimeForm::Seconds.keep(at), 1_431_902_103_000_000);
        assert_eq!(TimeForm::Millis.keep(at), 1_431_902_103_120_000);
        assert_eq!(TimeForm::Offset.keep(at), at);
    }
}
