//! The proleptic Gregorian calendar: days since 1970-01-01 to dates and back.
//!
//! Howard Hinnant's algorithms (<https://howardhinnant.github.io/date_algorithms.html>): the year starts in March, so
//! that the leap day comes last, and 400 years are 146,097 days.

/// Days from 1970-01-01 to a valid date.
pub(super) const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date, as year, month and day, that lies `days` after 1970-01-01.
pub(super) const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// Whether the calendar has this day.
pub(super) const fn is_date(year: i64, month: i64, day: i64) -> bool {
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    1 <= day && day <= length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts day by day, as a child would.
    #[test]
    fn every_day_of_eight_centuries_goes_there_and_back() {
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for days in days_from_civil(1600, 1, 1)..days_from_civil(2400, 1, 1) {
            assert_eq!(days_from_civil(year, month, day), days);
            assert_eq!(civil_from_days(days), (year, month, day));
            day += 1;
            if !is_date(year, month, day) {
                (month, day) = (month + 1, 1);
            }
            if month == 13 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2400, 1, 1));
        assert_eq!(days_from_civil(1970, 1, 1), 0);
    }

    #[test]
    fn leap_years_follow_pope_gregory() {
        assert!(is_date(2024, 2, 29) && is_date(2000, 2, 29));
        assert!(!is_date(2023, 2, 29) && !is_date(2100, 2, 29) && !is_date(2024, 2, 30));
        assert!(
            !is_date(2024, 0, 1)
                && !is_date(2024, 13, 1)
                && !is_date(2024, 4, 31)
                && !is_date(2024, 1, 0)
        );
    }
}
