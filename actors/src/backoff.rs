//! Waiting longer after each failure, with jitter, so that instances do not try in step.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use crate::clock;

/// Exponential backoff between a least and a greatest wait.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    greatest: Duration,
    tries: u32,
    patience: Option<Duration>,
    failing_since: Option<Duration>,
}

impl Backoff {
    /// The first wait is about `least`, none is longer than `greatest`.
    pub fn new(least: Duration, greatest: Duration) -> Self {
        Self { least, greatest, tries: 0, patience: None, failing_since: None }
    }

    /// Loses patience after failing for so long; `None` never does.
    #[must_use]
    pub fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Whether it has failed for longer than its patience.
    pub fn is_exhausted(&self) -> bool {
        let failing = self.failing_since.map(|since| clock::monotonic().saturating_sub(since));
        failing.zip(self.patience).is_some_and(|(failing, patience)| failing >= patience)
    }

    /// Failures so far.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Counts a failure and says how long to wait: between half and all of the doubled time.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.least.saturating_mul(1 << self.tries.min(16)).min(self.greatest);
        self.tries = self.tries.saturating_add(1);
        self.failing_since.get_or_insert_with(clock::monotonic);
        // Each RandomState is seeded anew: a random number without a dependency.
        let random = RandomState::new().hash_one(self.tries) % 1000;
        doubled.mul_f64(0.5 + random as f64 / 2000.0)
    }

    /// Whether the failure counted last is one to speak of: the first, and then each sixth.
    pub fn is_worth_a_word(&self) -> bool {
        self.tries <= 1 || self.tries.is_multiple_of(6)
    }

    /// Starts anew after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
        self.failing_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_while_failing_only() {
        let mut backoff =
            Backoff::new(Duration::ZERO, Duration::ZERO).with_patience(Some(Duration::ZERO));
        assert!(!backoff.is_exhausted());
        backoff.next_wait();
        assert!(backoff.is_exhausted());
        backoff.reset();
        assert!(!backoff.is_exhausted());
    }

    #[test]
    fn first_failure_and_then_each_sixth_is_worth_a_word() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        let mut next = || {
            backoff.next_wait();
            backoff.is_worth_a_word()
        };
        let said: Vec<u32> = (1..=13).filter(|_| next()).collect();
        assert_eq!(said, [1, 6, 12]);
    }

    #[test]
    fn waits_double_up_to_the_greatest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis();
            assert!((expected / 2..=expected).contains(&wait), "{wait} of {expected}");
        }
    }
}
