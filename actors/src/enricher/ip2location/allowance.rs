//! The share of the budget that this instance may spend: reserved in the store ahead of use, a chunk at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::settings::Budget;
use super::store::{Grant, LocationStore};
use crate::backoff::Backoff;

/// A used-up budget is asked about again after so long at most: an operator may have raised it.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The last part of the budget, one in so many, is kept for hits of the present.
const KEPT_BACK: u64 = 10;

/// What may be spent before the store must be asked again.
#[derive(Debug)]
pub(super) struct Allowance {
    budget: Option<Budget>,
    left: u64,
    /// The period that it is of.
    period: i32,
    /// What the store had left when it was last asked.
    unreserved: u64,
    /// When the period of what is left ends.
    void_at: Option<Instant>,
    /// Nothing was granted: not asked again until then.
    used_up_until: Option<Instant>,
}

impl Allowance {
    /// Nothing is reserved yet; without a budget nothing ever has to be.
    pub(super) fn new(budget: Option<Budget>) -> Self {
        Self { budget, left: 0, period: 0, unreserved: 0, void_at: None, used_up_until: None }
    }

    /// Whether the budget is known to be used up.
    pub(super) fn is_used_up(&self, now: Instant) -> bool {
        self.used_up_until.is_some_and(|until| now < until)
    }

    /// What must be reserved before a request may be made.
    pub(super) fn to_reserve(&self, now: Instant) -> Option<(Budget, u64)> {
        let budget = self.budget?;
        let void = self.void_at.is_some_and(|at| at <= now);
        (self.left == 0 || void).then(|| (budget, budget.chunk()))
    }

    /// The store's word on a reservation.
    pub(super) fn grant(&mut self, grant: Grant, now: Instant) {
        self.left = grant.granted;
        self.period = grant.period;
        self.unreserved = grant.left;
        self.void_at = Some(now + grant.ends_in);
        self.used_up_until = (grant.granted == 0).then(|| now + grant.ends_in.min(ASK_AGAIN));
    }

    /// A request is made.
    pub(super) fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// What is left of the reservation, if it is of any use to others; it cannot be spent here any more.
    pub(super) fn give_back(&mut self, now: Instant) -> Option<(Budget, Grant)> {
        let (budget, void_at) = self.budget.zip(self.void_at)?;
        let ends_in = void_at.checked_duration_since(now)?;
        let granted = std::mem::take(&mut self.left);
        let grant = Grant { granted, left: self.unreserved, ends_in, period: self.period };
        (granted > 0).then_some((budget, grant))
    }

    /// Whether what is left of the budget is no more than what is kept back.
    pub(super) fn is_scarce(&self) -> bool {
        let known = self.budget.filter(|_| self.void_at.is_some());
        known.is_some_and(|budget| self.left_in_all() <= budget.count.get() / KEPT_BACK)
    }

    /// What is left of the budget, as far as this instance knows, and when that period ends; `None` before the store was
    /// asked, after that end, or without a budget.
    pub(super) fn budget_left(&self, now: Instant) -> Option<(u64, Instant)> {
        let ends = self.void_at.filter(|at| now < *at)?;
        Some((self.left_in_all(), ends))
    }

    /// Reserved here and not spent, and what nobody has reserved.
    fn left_in_all(&self) -> u64 {
        self.left + self.unreserved
    }
}

/// Takes requests out of the budget, for as long as it takes to reach the store: without its word nothing may be asked.
pub(super) async fn reserve(store: Arc<dyn LocationStore>, budget: Budget, wanted: u64) -> Grant {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match store.reserve(budget, wanted).await {
            Ok(grant) => return grant,
            Err(error) => {
                let wait = backoff.next_wait();
                if backoff.is_worth_a_word() {
                    warn!(%error, "IP2Location.io is not asked: its budget cannot be reserved, trying again");
                }
                sleep(wait).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::enricher::ip2location::settings::BudgetPeriod;

    const DAY: Duration = Duration::from_secs(86_400);

    fn allowance() -> Allowance {
        let count = NonZeroU64::new(200).unwrap();
        Allowance::new(Some(Budget { count, period: BudgetPeriod::Day }))
    }

    fn grant(granted: u64, ends_in: Duration) -> Grant {
        Grant { granted, left: 0, ends_in, period: 9_000 }
    }

    #[test]
    fn without_a_budget_nothing_is_reserved() {
        assert!(Allowance::new(None).to_reserve(Instant::now()).is_none());
    }

    #[test]
    fn chunk_is_spent_before_the_next_is_reserved() {
        let (mut allowance, now) = (allowance(), Instant::now());
        assert_eq!(allowance.to_reserve(now).unwrap().1, 2);
        allowance.grant(grant(2, DAY), now);
        for _ in 0..2 {
            assert!(allowance.to_reserve(now).is_none());
            allowance.spend();
        }
        assert!(allowance.to_reserve(now).is_some());
        assert!(!allowance.is_used_up(now), "only the store knows that");
        assert_eq!(allowance.budget_left(now), Some((0, now + DAY)));
    }

    #[test]
    fn last_tenth_of_the_budget_is_scarce() {
        let (mut allowance, now) = (allowance(), Instant::now());
        assert!(!allowance.is_scarce(), "nothing is known yet");
        allowance.grant(Grant { left: 19, ..grant(2, DAY) }, now);
        assert!(!allowance.is_scarce(), "21 of 200 are left");
        allowance.spend();
        assert!(allowance.is_scarce());
        assert!(!Allowance::new(None).is_scarce());
    }

    #[test]
    fn rest_of_a_chunk_is_void_in_the_next_period() {
        let (mut allowance, now) = (allowance(), Instant::now());
        let s = Duration::from_secs;
        allowance.grant(grant(2, s(5)), now);
        assert!(allowance.to_reserve(now + s(4)).is_none());
        assert!(allowance.to_reserve(now + s(5)).is_some());
    }

    #[test]
    fn nothing_is_known_of_a_budget_before_it_is_asked_for_and_after_its_period() {
        let (mut allowance, now) = (allowance(), Instant::now());
        let s = Duration::from_secs;
        assert_eq!(allowance.budget_left(now), None);
        allowance.grant(Grant { left: 7, ..grant(2, s(5)) }, now);
        assert_eq!(allowance.budget_left(now + s(4)), Some((9, now + s(5))));
        assert_eq!(allowance.budget_left(now + s(5)), None);
    }

    #[test]
    fn rest_of_a_chunk_is_given_back_once_and_only_within_its_period() {
        let (mut allowance, now) = (allowance(), Instant::now());
        assert_eq!(allowance.give_back(now), None);
        allowance.grant(grant(2, DAY), now);
        allowance.spend();
        assert_eq!(allowance.give_back(now + DAY + DAY), None);
        let (_, rest) = allowance.give_back(now).unwrap();
        assert_eq!((rest.granted, rest.period), (1, 9_000));
        assert_eq!(allowance.give_back(now), None);
    }

    #[test]
    fn used_up_until_the_next_period_and_asked_about_now_and_then() {
        let (mut allowance, now) = (allowance(), Instant::now());
        let s = Duration::from_secs;
        allowance.grant(grant(0, s(5)), now);
        assert!(allowance.is_used_up(now + s(4)));
        assert!(!allowance.is_used_up(now + s(5)));
        allowance.grant(grant(0, DAY), now);
        assert!(!allowance.is_used_up(now + ASK_AGAIN));
    }
}
