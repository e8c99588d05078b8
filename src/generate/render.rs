//! Writes a record's value. Names are made once as JSON literals; a record is then little more than copies.

use std::num::NonZeroU32;

use super::agents::{LANGUAGES, PATHS, USER_AGENTS};
use super::malformed::Malformed;
use super::names::{self, Texts};
use super::random::{Random, Skewed, mix};
use super::timestamp::TimeForm;

/// What is drawn for a record before it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    /// The site's rank.
    pub(super) host: Option<u32>,
    /// The referrer's rank.
    pub(super) referrer: Option<u32>,
    /// The visitor's rank.
    pub(super) visitor: u32,
    /// The event time, in microseconds since 1970, already as coarse as `form` writes it.
    pub(super) micros: i64,
    /// How the event time is written.
    pub(super) form: TimeForm,
}

/// Names with their popularity, as plain text and as JSON.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) popularity: Skewed,
    pub(super) texts: Texts,
    literals: Texts,
}

impl Named {
    /// `all` names, of which the first `drawn` are drawn by their rank.
    fn new(drawn: u32, all: u32, name: impl Fn(u32) -> String) -> Self {
        Self {
            popularity: Skewed::new(drawn),
            texts: Texts::new((0..all).map(&name)),
            literals: Texts::new((0..all).map(|rank| names::literal(&name(rank), rank))),
        }
    }
}

/// Everything that records are written from.
#[derive(Debug)]
pub(super) struct Renderer {
    pub(super) hosts: Named,
    pub(super) referrers: Named,
    pub(super) visitors: Skewed,
    pub(super) addresses: Texts,
    user_agents: Skewed,
    paths: Skewed,
}

impl Renderer {
    /// Makes the names.
    pub(super) fn new(hosts: NonZeroU32, referrers: NonZeroU32, visitors: NonZeroU32) -> Self {
        let (hosts, referrers) = (hosts.get(), referrers.get());
        Self {
            hosts: Named::new(hosts, hosts, names::host),
            referrers: Named::new(referrers, referrers + 2, |rank| {
                names::referrer(rank, referrers)
            }),
            visitors: Skewed::new(visitors.get()),
            addresses: Texts::new((0..visitors.get()).map(names::address)),
            user_agents: Skewed::new(USER_AGENTS.len() as u32),
            paths: Skewed::new(PATHS.len() as u32),
        }
    }

    /// Appends the value of a record; nothing for a tombstone.
    pub(super) fn render(
        &self,
        draft: &Draft,
        fault: Option<Malformed>,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        match fault {
            Some(Malformed::Tombstone) => {}
            Some(Malformed::Value(value)) => out.extend_from_slice(value),
            Some(Malformed::Between(before, after)) => {
                out.extend_from_slice(before);
                self.write_hit(draft, fault, random, out);
                out.extend_from_slice(after);
            }
            Some(Malformed::Truncated) => {
                self.write_hit(draft, fault, random, out);
                out.truncate(out.len() / 2);
            }
            Some(Malformed::Time(_) | Malformed::Host(_) | Malformed::TooDeep) | None => {
                self.write_hit(draft, fault, random, out);
            }
        }
    }

    /// Appends a hit, with a fault in one of its fields if so asked.
    fn write_hit(
        &self,
        draft: &Draft,
        fault: Option<Malformed>,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        let (before, after) = at(&PATHS, self.paths.pick(random) as usize);
        out.extend_from_slice(b"{\"url\":\"");
        out.extend_from_slice(before.as_bytes());
        push_number(random.below(100_000), out);
        out.extend_from_slice(after.as_bytes());
        out.push(b'"');

        // The NULL group comes as `null` and as an absent field.
        let absent = random.below(2) == 0;
        match draft.referrer {
            Some(referrer) => {
                push_field(b",\"referrer\":", self.referrers.literals.get(referrer), out)
            }
            None if absent => {}
            None => push_field(b",\"referrer\":", b"null", out),
        }

        // A visitor keeps its browser and its language.
        let mut visitor = Random::of(u64::from(draft.visitor), u64::MAX);
        out.extend_from_slice(b",\"user_agent\":\"");
        out.extend_from_slice(
            at(&USER_AGENTS, self.user_agents.pick(&mut visitor) as usize).as_bytes(),
        );
        out.push(b'"');

        match (fault, draft.host) {
            (Some(Malformed::Host(json)), _) => push_field(b",\"host\":", json.as_bytes(), out),
            (_, Some(host)) => push_field(b",\"host\":", self.hosts.literals.get(host), out),
            (_, None) if absent => {}
            (_, None) => push_field(b",\"host\":", b"null", out),
        }

        out.extend_from_slice(b",\"ip\":\"");
        out.extend_from_slice(self.addresses.get(draft.visitor));
        out.push(b'"');

        match fault {
            Some(Malformed::TooDeep) => {
                out.extend_from_slice(b",\"headers\":");
                out.resize(out.len() + 1_200, b'[');
                out.resize(out.len() + 1_200, b']');
            }
            _ => write_headers(
                at(&LANGUAGES, visitor.below(LANGUAGES.len() as u64) as usize),
                random,
                out,
            ),
        }

        match fault {
            Some(Malformed::Time(None)) => {}
            Some(Malformed::Time(Some(json))) => {
                push_field(b",\"event_time\":", json.as_bytes(), out)
            }
            _ => {
                out.extend_from_slice(b",\"event_time\":\"");
                draft.form.write(draft.micros, out);
                out.push(b'"');
            }
        }
        out.push(b'}');
    }
}

/// Appends the request's headers: a JSON object inside a JSON string.
fn write_headers(language: &str, random: &mut Random, out: &mut Vec<u8>) {
    const STATUSES: [&str; 16] = [
        "200", "200", "200", "200", "200", "200", "200", "200", "200", "200", "304", "304", "301",
        "404", "404", "500",
    ];
    let bits = random.bits();
    let method = if bits.is_multiple_of(16) { "POST" } else { "GET" };
    let protocol = if bits % 4 == 1 { "HTTP/1.1" } else { "HTTP/2.0" };
    out.extend_from_slice(b",\"headers\":\"{\\\"method\\\":\\\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\\\",\\\"protocol\\\":\\\"");
    out.extend_from_slice(protocol.as_bytes());
    out.extend_from_slice(b"\\\",\\\"status\\\":");
    out.extend_from_slice(at(&STATUSES, (bits >> 8) as usize % STATUSES.len()).as_bytes());
    out.extend_from_slice(b",\\\"bytes\\\":");
    push_number(mix(bits) % 250_000, out);
    out.extend_from_slice(b",\\\"accept_language\\\":\\\"");
    out.extend_from_slice(language.as_bytes());
    out.extend_from_slice(b"\\\"}\"");
}

/// Appends a field's name, with all that stands before its value, and its value.
fn push_field(name: &[u8], json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(json);
}

/// Appends a number in decimal.
fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// An entry of a table; the default where there is none.
fn at<T: Copy + Default>(table: &[T], index: usize) -> T {
    table.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut out = b"x".to_vec();
            push_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }
    }
}
