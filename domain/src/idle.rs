//! When a partition may be claimed to be idle, so that it no longer holds the frontier.
//!
//! Mere silence proves nothing: the reader may be paused, held back or cut off. Proof is a broker's answer that the
//! partition ends where the reader stands, and that nothing was accepted for `watermark.idle_timeout` before the broker
//! was asked.

use std::time::Duration;

use crate::progress::Offset;

/// The grounds for idle claims of one partition.
///
/// Its clock is whatever steady `Duration` since an arbitrary start the caller uses for all calls.
#[derive(Clone, Copy, Debug)]
pub struct IdleWatch {
    timeout: Duration,
    quiet_since: Duration,
    proven_at: Option<Duration>,
}

/// Proof that a partition was idle at an instant; it ages until it reaches PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleClaim {
    /// The instant E: when the broker was asked for the end of the partition.
    pub proven_at: Duration,
}

impl IdleWatch {
    /// Quiet time starts at zero with the assignment.
    pub fn new(assigned_at: Duration, timeout: Duration) -> Self {
        Self { timeout, quiet_since: assigned_at, proven_at: None }
    }

    /// An accepted record ends the quiet; a rejected one does not come here.
    pub fn accepted(&mut self, now: Duration) {
        self.quiet_since = self.quiet_since.max(now);
        self.proven_at = None;
    }

    /// Whether to ask the broker for the end of the partition: it was quiet for long enough, and the last claim, if
    /// any, has run through a third of its time.
    pub fn is_due(&self, now: Duration) -> bool {
        let renewal = |proven_at: Duration| now.saturating_sub(proven_at) >= self.timeout / 3;
        self.was_quiet_at(now) && self.proven_at.is_none_or(renewal)
    }

    /// Makes a claim of a broker's answer, to a question asked at `asked_at`, that the partition ended at `end`: only
    /// where everything before that has been read, and nothing was accepted for long enough before the question.
    pub fn prove(&mut self, asked_at: Duration, end: Offset, next: Offset) -> Option<IdleClaim> {
        let is_proof = next >= end && self.was_quiet_at(asked_at);
        is_proof.then(|| {
            self.proven_at = Some(asked_at);
            IdleClaim { proven_at: asked_at }
        })
    }

    fn was_quiet_at(&self, instant: Duration) -> bool {
        instant.checked_sub(self.quiet_since).is_some_and(|quiet| quiet >= self.timeout)
    }
}

impl IdleClaim {
    /// How long the claim still holds at `now`: `idle_timeout` less its age. `None` once it has run out.
    pub fn remaining(&self, now: Duration, idle_timeout: Duration) -> Option<Duration> {
        let age = now.checked_sub(self.proven_at)?;
        idle_timeout.checked_sub(age).filter(|left| !left.is_zero())
    }
}
