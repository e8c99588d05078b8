//! Visitors that are left alone for a while, so that others get their turn, and at last for good.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an address is left alone after each failure; after one more, for the life of the process.
const WAITS: [Duration; 4] = [
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
    Duration::from_secs(86_400),
];
/// So many are known at a time. The one whose time comes first is forgotten for another, and begins anew.
const CAPACITY: usize = 10_000;
/// Longer than a process lives.
const FOR_GOOD: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Visitors, how often nobody could tell where they are, and until when they are left alone.
#[derive(Debug, Default)]
pub(super) struct LeftAlone(HashMap<String, Left>);

#[derive(Debug)]
struct Left {
    failures: usize,
    until: Instant,
}

impl LeftAlone {
    /// The provider failed at this one: each time it is left alone for longer.
    pub(super) fn add_after_failure(&mut self, ip: String, now: Instant) {
        let failures = self.0.get(&ip).map_or(0, |left| left.failures);
        let wait = WAITS.get(failures).copied().unwrap_or(FOR_GOOD);
        self.add(ip, Left { failures: failures + 1, until: now + wait });
    }

    /// Leaves this one alone for so long, which says nothing about it.
    pub(super) fn add_for(&mut self, ip: String, time: Duration, now: Instant) {
        let failures = self.0.get(&ip).map_or(0, |left| left.failures);
        self.add(ip, Left { failures, until: now + time });
    }

    /// All that are known, whether their time has come again or not.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Those whose time has not come.
    pub(super) fn now(&self, now: Instant) -> Vec<String> {
        let left = self.0.iter().filter(|(_, left)| now < left.until);
        left.map(|(ip, _)| ip.clone()).collect()
    }

    fn add(&mut self, ip: String, left: Left) {
        if self.0.len() >= CAPACITY && !self.0.contains_key(&ip) {
            let first = self.0.iter().min_by_key(|(_, left)| left.until);
            if let Some(first) = first.map(|(ip, _)| ip.clone()) {
                self.0.remove(&first);
            }
        }
        self.0.insert(ip, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn ip() -> String {
        "8.8.8.8".to_owned()
    }

    #[test]
    fn address_that_fails_every_time_is_left_alone_for_longer_and_then_for_good() {
        let (mut left, mut now) = (LeftAlone::default(), Instant::now());
        for minutes in [10, 60, 24 * 60, 24 * 60] {
            left.add_after_failure(ip(), now);
            let wait = Duration::from_secs(60 * minutes);
            assert_eq!(left.now(now + wait - Duration::from_secs(1)), [ip()]);
            now += wait;
            assert!(left.now(now).is_empty());
            assert_eq!(left.all(), [ip()], "others who had no turn go first");
        }
        left.add_after_failure(ip(), now);
        assert_eq!(left.now(now + 1000 * DAY), [ip()]);
    }

    #[test]
    fn what_is_not_an_address_s_own_fault_does_not_count_against_it() {
        let (mut left, now) = (LeftAlone::default(), Instant::now());
        for _ in 0..10 {
            left.add_for(ip(), DAY, now);
        }
        left.add_after_failure(ip(), now);
        assert!(left.now(now + WAITS[0]).is_empty());
    }

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let (mut left, now) = (LeftAlone::default(), Instant::now());
        left.add_after_failure(ip(), now);
        for number in 0..CAPACITY {
            left.add_for(number.to_string(), DAY, now);
        }
        let known = left.now(now);
        assert_eq!(known.len(), CAPACITY);
        assert!(!known.contains(&ip()), "its time would have come first");
    }
}
