//! Waiting longer after each failure, with jitter, so that instances do not try in step.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Exponential backoff between a least and a greatest wait.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    greatest: Duration,
    tries: u32,
}

impl Backoff {
    /// The first wait is about `least`, none is longer than `greatest`.
    pub fn new(least: Duration, greatest: Duration) -> Self {
        Self { least, greatest, tries: 0 }
    }

    /// Failures so far.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Counts a failure and says how long to wait: between half and all of the doubled time.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.least.saturating_mul(1 << self.tries.min(16)).min(self.greatest);
        self.tries = self.tries.saturating_add(1);
        // Each RandomState is seeded anew: a random number without a dependency.
        let random = RandomState::new().hash_one(self.tries) % 1000;
        doubled.mul_f64(0.5 + random as f64 / 2000.0)
    }

    /// Starts anew after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_greatest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis();
            assert!((expected / 2..=expected).contains(&wait), "{wait} of {expected}");
        }
    }
}
