//! Reads one line of an access log: common or combined format, with or without a leading virtual host.
//!
//! Texts are kept as the log has them, escapes (`\"`, `\xe4`) included: they are part of what was logged,
//! and undoing them could make two texts one.

use std::net::IpAddr;

/// What one line says. `None` stands for `-` and for what the line does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogLine<'a> {
    pub(super) virtual_host: Option<&'a str>,
    pub(super) ip: Option<&'a str>,
    pub(super) time: LogTime,
    pub(super) method: Option<&'a str>,
    pub(super) target: Option<&'a str>,
    pub(super) protocol: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) bytes: Option<u64>,
    pub(super) referrer: Option<&'a str>,
    pub(super) user_agent: Option<&'a str>,
}

/// A time in UTC, to the second.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogTime {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
    /// Second of the day.
    pub(super) second: u32,
}

/// Why a line cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Fault {
    #[error("has no time in brackets")]
    NoTime,
    #[error("has a time that is not like [17/May/2015:10:05:03 +0000]")]
    BadTime,
    #[error("has no client address before its time")]
    NoClient,
    #[error("has no request in quotes after its time")]
    NoRequest,
    #[error("has a status that is no number")]
    BadStatus,
    #[error("has a size that is no number")]
    BadBytes,
    #[error("is longer than the largest record")]
    TooLong,
}

impl<'a> LogLine<'a> {
    /// Reads a line; `trailing` says whether referrer and user agent are looked for.
    pub(super) fn parse(line: &'a str, trailing: bool) -> Result<Self, Fault> {
        let (who, rest) = line.split_once(" [").ok_or(Fault::NoTime)?;
        let (time, rest) = rest.split_once(']').ok_or(Fault::NoTime)?;
        let time = LogTime::parse(time).ok_or(Fault::BadTime)?;
        let (virtual_host, ip) = who_asked(who)?;

        let rest = rest.trim_start().strip_prefix('"').ok_or(Fault::NoRequest)?;
        let (request, rest) = close_request(rest).ok_or(Fault::NoRequest)?;
        let (method, target, protocol) = split_request(request);
        let mut fields = rest.trim_start().splitn(3, ' ');
        let status = number(fields.next()).map_err(|()| Fault::BadStatus)?;
        let bytes = number(fields.next()).map_err(|()| Fault::BadBytes)?;
        let (referrer, user_agent) = match fields.next() {
            Some(rest) if trailing => referrer_and_agent(rest),
            _ => (None, None),
        };
        Ok(Self {
            virtual_host,
            ip,
            time,
            method,
            target,
            protocol,
            status,
            bytes,
            referrer,
            user_agent,
        })
    }

    /// Gives the host: that of an absolute request URL, else the line's virtual host.
    pub(super) fn host(&self) -> Option<&'a str> {
        self.target.and_then(host_of_url).or(self.virtual_host)
    }
}

/// Reads `host:port client ident user` or `client ident user`; a user may hold blanks.
fn who_asked(who: &str) -> Result<(Option<&str>, Option<&str>), Fault> {
    let mut fields = who.split_ascii_whitespace();
    let first = fields.next().ok_or(Fault::NoClient)?;
    let second = fields.next();
    let leads = match second {
        Some(second) if fields.clone().count() >= 2 && first.parse::<IpAddr>().is_err() => {
            has_port(first) || second.parse::<IpAddr>().is_ok()
        }
        _ => false,
    };
    if leads {
        Ok((dash(without_port(first)), second.and_then(dash)))
    } else {
        Ok((None, dash(first)))
    }
}

/// Finds the quote that ends the request. Old servers do not escape quotes in it, so it is the first one
/// that a status follows; where none is, the first one at all.
fn close_request(rest: &str) -> Option<(&str, &str)> {
    let followed_by_status = |after: &str| {
        let status = after.trim_start().split(' ').next().unwrap_or_default();
        after.starts_with(' ')
            && (status == "-" || (status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit())))
    };
    close(rest, true, followed_by_status)
        .or_else(|| close(rest, false, followed_by_status))
        .or_else(|| close(rest, true, |_| true))
}

/// Splits at the first quote whose rest satisfies `ends`, passing over escaped ones if asked to.
fn close(text: &str, escapes: bool, ends: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => {
                let (inner, after) = (text.get(..i)?, text.get(i + 1..)?);
                if ends(after) {
                    return Some((inner, after));
                }
            }
            b'\\' if escapes => {
                escaped = !escaped;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    None
}

/// Splits `METHOD target PROTOCOL`. The target may hold blanks; a request that is no HTTP at all is all target.
fn split_request(request: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
    if request.is_empty() || request == "-" {
        return (None, None, None);
    }
    let is_method = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'_')
    };
    let (method, rest) = match request.split_once(' ') {
        Some((method, rest)) if is_method(method) => (method, rest.trim_start()),
        _ => return (None, Some(request), None),
    };
    let (target, protocol) = match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => {
            (target.trim_end(), Some(protocol))
        }
        _ => (rest.trim_end(), None),
    };
    (Some(method), Some(target).filter(|target| !target.is_empty()), protocol)
}

/// Reads `"referrer" "user agent"`; one that is cut off is as good as absent.
fn referrer_and_agent(rest: &str) -> (Option<&str>, Option<&str>) {
    let ends_field = |after: &str| after.is_empty() || after.starts_with(' ');
    let Some(rest) = rest.trim_start().strip_prefix('"') else { return (None, None) };
    let referrer = close(rest, true, |after| after.starts_with(" \""))
        .or_else(|| close(rest, true, ends_field));
    let Some((referrer, rest)) = referrer else { return (None, None) };
    let agent = rest.trim_start().strip_prefix('"').and_then(|rest| close(rest, true, ends_field));
    (dash(referrer), agent.and_then(|(agent, _)| dash(agent)))
}

fn number<N: std::str::FromStr>(field: Option<&str>) -> Result<Option<N>, ()> {
    match field.map(str::trim) {
        None | Some("" | "-") => Ok(None),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(drop)
        }
        Some(_) => Err(()),
    }
}

fn dash(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != "-")
}

/// Gives the host of `scheme://user@host:port/…`; other targets have none.
fn host_of_url(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    Some(without_port(place)).filter(|host| !host.is_empty())
}

fn has_port(place: &str) -> bool {
    place
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn without_port(place: &str) -> &str {
    match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => place,
    }
}

impl LogTime {
    /// Reads `17/May/2015:10:05:03 +0000`.
    fn parse(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (clock, zone) = text.trim().split_once(' ')?;
        let (date, time) = clock.split_once(':')?;
        let [day, month, year] = three(date, '/')?;
        let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
        let (day, year) = (digits(day, 2)?, digits(year, 4)?);
        let [hour, minute, second] = three(time, ':')?;
        let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
        let (sign, zone) = match zone.split_at_checked(1)? {
            ("+", zone) => (1, zone),
            ("-", zone) => (-1, zone),
            _ => return None,
        };
        let zone = digits(zone, 4)?;
        let (zone_hours, zone_minutes) = (zone / 100, zone % 100);
        let month = u8::try_from(month).ok()?;
        if day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        if zone_hours > 18 || zone_minutes > 59 {
            return None;
        }
        let local = (hour * 60 + minute) * 60 + second;
        let utc = local - sign * (zone_hours * 60 + zone_minutes) * 60;
        let mut time = Self {
            year,
            month,
            day: u8::try_from(day).ok()?,
            second: u32::try_from(utc.rem_euclid(86_400)).ok()?,
        };
        match utc.div_euclid(86_400) {
            1 => time.next_day(),
            -1 => time.previous_day(),
            _ => {}
        }
        Some(time)
    }

    fn next_day(&mut self) {
        if i64::from(self.day) < days_in(self.year, self.month) {
            self.day += 1;
        } else if self.month < 12 {
            (self.month, self.day) = (self.month + 1, 1);
        } else {
            (self.year, self.month, self.day) = (self.year + 1, 1, 1);
        }
    }

    fn previous_day(&mut self) {
        if self.day > 1 {
            self.day -= 1;
        } else if self.month > 1 {
            self.month -= 1;
            self.day = u8::try_from(days_in(self.year, self.month)).unwrap_or(28);
        } else {
            (self.year, self.month, self.day) = (self.year - 1, 12, 31);
        }
    }
}

fn days_in(year: i64, month: u8) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn three(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
