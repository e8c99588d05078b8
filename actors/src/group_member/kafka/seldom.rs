//! Saying the same thing seldom: the client repeats itself for every request that it gives up.

use std::time::{Duration, Instant};

/// How often the same trouble is logged.
const EVERY: Duration = Duration::from_secs(10);

/// What was said last, and when.
#[derive(Debug)]
pub(super) struct Seldom<T>(Option<(T, Instant)>);

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq> Seldom<T> {
    /// Whether this is to be said now: it is something else than before, or was not said for a while.
    pub(super) fn is_news(&mut self, what: T) -> bool {
        let now = Instant::now();
        let known =
            self.0.as_ref().is_some_and(|(last, when)| *last == what && now - *when < EVERY);
        if !known {
            self.0 = Some((what, now));
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_thing_is_no_news() {
        let mut seldom = Seldom::default();
        assert!(seldom.is_news("down") && !seldom.is_news("down"));
        assert!(seldom.is_news("gone") && seldom.is_news("down"));
    }
}
