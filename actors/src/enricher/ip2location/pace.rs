//! How fast is asked: a limit a second, and rests that the service asks for.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Spaces requests: never more than the limit within any second, so that no burst crosses a second's border.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    /// When the last ones began, oldest first; as many as the limit.
    begun: VecDeque<Instant>,
    rest_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let limit = usize::try_from(per_second.get()).unwrap_or(usize::MAX);
        Self { limit, begun: VecDeque::new(), rest_until: None }
    }

    /// When the next request may begin; `None` is at once.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let oldest = if self.begun.len() < self.limit { None } else { self.begun.front() };
        let free = oldest.map(|begun| *begun + Duration::from_secs(1));
        free.max(self.rest_until).filter(|at| *at > now)
    }

    /// A request begins.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.begun.len() >= self.limit {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
    }

    /// Nothing begins until then.
    pub(super) fn rest_until(&mut self, at: Instant) {
        self.rest_until = self.rest_until.max(Some(at));
    }

    /// How long the service still wants to be left alone.
    pub(super) fn rest_left(&self, now: Instant) -> Duration {
        self.rest_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_holds_more_than_the_limit() {
        let mut pace = Pace::new(NonZeroU32::new(3).unwrap());
        let start = Instant::now();
        let mut now = start;
        let mut begun = Vec::new();
        for _ in 0..20 {
            now = pace.next_at(now).unwrap_or(now);
            pace.begin(now);
            begun.push(now);
            now += Duration::from_millis(50);
        }
        for (first, fourth) in begun.iter().zip(begun.iter().skip(3)) {
            assert!(*fourth - *first >= Duration::from_secs(1));
        }
        assert!(now - start < Duration::from_secs(7), "no slower than it must be");
    }

    #[test]
    fn rests_hold_the_next_request_and_are_never_cut_short() {
        let mut pace = Pace::new(NonZeroU32::new(3).unwrap());
        let now = Instant::now();
        let s = Duration::from_secs;
        assert_eq!(pace.next_at(now), None);
        pace.rest_until(now + s(9));
        pace.rest_until(now + s(4));
        assert_eq!(pace.next_at(now), Some(now + s(9)));
        assert_eq!(pace.rest_left(now + s(2)), s(7));
        assert_eq!(pace.next_at(now + s(9)), None);
    }
}
