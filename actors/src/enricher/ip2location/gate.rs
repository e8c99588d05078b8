//! Whether the service may be asked now: pace, budget and breaker in one.

use std::time::Duration;

use hitstream_domain::geo::GeoStatus;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Ip2LocationSettings;
use super::allowance::Allowance;
use super::breaker::Breaker;
use super::client::Outcome;
use super::pace::Pace;
use super::settings::Budget;
use super::store::Grant;
use crate::backoff::Backoff;

/// Nobody waits for the end of a rest that is longer.
const LONG_REST: Duration = Duration::from_secs(10);
/// No `Retry-After` is taken for longer.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// All that can hold a request back.
#[derive(Debug)]
pub(super) struct Gate {
    pace: Pace,
    allowance: Allowance,
    breaker: Breaker,
    /// Rests after answers of "too many requests" that do not say how long.
    limited: Backoff,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A request may begin.
    Ask,
    /// None before that.
    At(Instant),
    /// None before so many are reserved in the store.
    Reserve(Budget, u64),
    /// None before one that is under way has ended.
    Wait,
    /// None for longer than anybody waits.
    Shut(GeoStatus),
}

impl Gate {
    pub(super) fn new(settings: &Ip2LocationSettings) -> Self {
        Self {
            pace: Pace::new(settings.per_second),
            allowance: Allowance::new(settings.budget),
            breaker: Breaker::new(settings),
            limited: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        }
    }

    /// Why nothing is asked for longer than anybody waits.
    pub(super) fn shut(&self, now: Instant) -> Option<GeoStatus> {
        let used_up = self.allowance.is_used_up(now) || self.pace.rest_left(now) > LONG_REST;
        self.breaker.shut(now).or(used_up.then_some(GeoStatus::Quota))
    }

    /// What comes next.
    pub(super) fn next(&self, now: Instant) -> Next {
        if let Some(status) = self.shut(now) {
            return Next::Shut(status);
        }
        if self.breaker.is_probing() {
            return Next::Wait;
        }
        if let Some((budget, wanted)) = self.allowance.to_reserve(now) {
            return Next::Reserve(budget, wanted);
        }
        self.pace.next_at(now).map_or(Next::Ask, Next::At)
    }

    /// A request begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.pace.begin(now);
        self.breaker.begin();
        self.allowance.spend();
    }

    /// The store's word on a reservation.
    pub(super) fn granted(&mut self, grant: Grant, now: Instant) {
        self.allowance.grant(grant, now);
        if grant.granted == 0 {
            let ends_in_s = grant.ends_in.as_secs();
            info!(ends_in_s, "the budget for IP2Location.io is used up");
        }
    }

    /// What was reserved and is not used; nothing is left after that.
    pub(super) fn give_back(&mut self, now: Instant) -> Option<(Budget, Grant)> {
        self.allowance.give_back(now)
    }

    /// Draws what follows from the end of a request.
    pub(super) fn learn(&mut self, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Refused => {
                if let Some(rest) = self.breaker.refused(now) {
                    let rest_s = rest.as_secs();
                    warn!(
                        rest_s,
                        "IP2Location.io says that the key is invalid or out of credit: not asked for a while. \
                         Check IP_CODING_KEY and the account"
                    );
                }
                return;
            }
            Outcome::Failed(failure) => {
                debug!(%failure, "IP2Location.io failed");
                if let Some(rest) = self.breaker.failed(now) {
                    let rest_s = rest.as_secs_f64();
                    warn!(%failure, rest_s, "IP2Location.io fails: not asked for a while");
                }
                return;
            }
            Outcome::Limited(wanted) => {
                let is_resting = !self.pace.rest_left(now).is_zero();
                // No time, and one that is over, leave it to us. Those who were under way meanwhile say nothing new.
                let rest = match wanted.filter(|rest| !rest.is_zero()) {
                    Some(rest) => with_jitter(rest),
                    None if is_resting => Duration::ZERO,
                    None => self.limited.next_wait(),
                };
                let rest = rest.min(LONGEST_REST);
                self.pace.rest_until(now + rest);
                if !is_resting {
                    let rest_s = rest.as_secs_f64();
                    info!(rest_s, "IP2Location.io says too many requests: not asked for a while");
                }
            }
            Outcome::Located(_) | Outcome::Unknown | Outcome::Declined => self.limited.reset(),
        }
        if self.breaker.succeeded() {
            info!("IP2Location.io answers again");
        }
    }

    /// Whether the budget has no more than what is kept for hits of the present.
    pub(super) fn is_scarce(&self) -> bool {
        self.allowance.is_scarce()
    }

    /// Whether the breaker is open.
    pub(super) fn is_broken(&self) -> bool {
        self.breaker.is_open()
    }

    /// What is left of the budget, as far as this instance knows, and until when that holds.
    pub(super) fn budget_left(&self, now: Instant) -> Option<(u64, Instant)> {
        self.allowance.budget_left(now)
    }
}

/// A little longer than was asked for, so that instances do not come back in step.
fn with_jitter(rest: Duration) -> Duration {
    // The limit first: a service may ask for any number of seconds.
    let rest = rest.min(LONGEST_REST);
    rest + Backoff::new(rest / 10, rest / 10).next_wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enricher::ip2location::client::Failure;
    use crate::enricher::ip2location::settings::{BudgetPeriod, tests_settings};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn grant(granted: u64, left: u64) -> Grant {
        Grant { granted, left, ends_in: s(60), period: 0 }
    }

    fn limited_for(seconds: u64, now: Instant) -> Gate {
        let mut gate = Gate::new(&tests_settings());
        gate.learn(&Outcome::Limited(Some(s(seconds))), now);
        gate
    }

    #[test]
    fn short_rest_is_waited_for_and_a_long_one_is_not() {
        let now = Instant::now();
        let gate = limited_for(2, now);
        let Next::At(at) = gate.next(now) else { panic!("{gate:?}") };
        assert!(at >= now + s(2) && at <= now + s(3), "with jitter");
        let gate = limited_for(60, now);
        assert_eq!(gate.next(now), Next::Shut(GeoStatus::Quota));
        assert!(matches!(gate.next(now + s(59)), Next::At(_)));
        assert_eq!(gate.next(now + s(67)), Next::Ask);
    }

    #[test]
    fn rest_of_no_time_is_one_of_ours_that_grows() {
        let mut gate = Gate::new(&tests_settings());
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8] {
            for _ in 0..20 {
                gate.learn(&Outcome::Limited(Some(s(0))), now); // as many as were under way
            }
            let Next::At(at) = gate.next(now) else { panic!("{gate:?}") };
            assert!(at >= now + s(seconds) / 2 && at <= now + s(seconds), "{:?}", at - now);
            now = at;
        }
    }

    #[test]
    fn no_service_is_left_alone_for_days() {
        let now = Instant::now();
        assert_eq!(limited_for(u64::MAX, now).next(now + LONGEST_REST), Next::Ask);
    }

    #[test]
    fn budget_is_reserved_before_the_first_request() {
        let budget = Budget { count: 5.try_into().unwrap(), period: BudgetPeriod::Day };
        let mut gate = Gate::new(&Ip2LocationSettings { budget: Some(budget), ..tests_settings() });
        let now = Instant::now();
        assert_eq!(gate.next(now), Next::Reserve(budget, 1));
        gate.granted(grant(1, 4), now);
        let left = |gate: &Gate| gate.budget_left(now).map(|(left, _)| left);
        assert_eq!((gate.next(now), left(&gate)), (Next::Ask, Some(5)));
        gate.begin(now);
        assert_eq!((gate.next(now), left(&gate)), (Next::Reserve(budget, 1), Some(4)));
        gate.granted(grant(0, 0), now);
        assert_eq!(gate.next(now), Next::Shut(GeoStatus::Quota));
    }

    #[test]
    fn any_word_of_the_service_ends_a_probe() {
        let mut gate = Gate::new(&tests_settings());
        for outcome in [Outcome::Unknown, Outcome::Declined, Outcome::Limited(None)] {
            let now = Instant::now();
            for _ in 0..5 {
                gate.learn(&Outcome::Failed(Failure::Timeout), now);
            }
            assert_eq!(gate.next(now), Next::Shut(GeoStatus::Error));
            let now = now + s(60);
            gate.begin(now);
            assert_eq!(gate.next(now), Next::Wait);
            gate.learn(&outcome, now);
            assert!(!gate.is_broken(), "{outcome:?}");
        }
    }
}
