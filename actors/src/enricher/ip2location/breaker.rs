//! The circuit breaker: when asking is no use, nothing is asked for a while, and then once to see.

use std::time::Duration;

use hitstream_domain::geo::GeoStatus;
use tokio::time::Instant;

use super::Ip2LocationSettings;
use crate::backoff::Backoff;

/// So many failures in a row, of whatever addresses, are the service's and not an address's.
const FAILURES: u32 = 5;
/// How far the rest after failures grows.
const GROWTH: u32 = 8;

/// Two rests in one: a short one after failures, a long one after the key was refused.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
    failing_rest: Backoff,
    refused_rest: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Nothing is asked until then.
    Open(Instant, GeoStatus),
    /// One request is under way to see.
    Probing,
}

impl Breaker {
    pub(super) fn new(settings: &Ip2LocationSettings) -> Self {
        let least = settings.failing_rest;
        Self {
            state: State::Closed,
            failures: 0,
            failing_rest: Backoff::new(least, least * GROWTH),
            refused_rest: settings.refused_rest,
        }
    }

    /// Why nothing is asked now.
    pub(super) fn shut(&self, now: Instant) -> Option<GeoStatus> {
        match self.state {
            State::Open(until, why) if now < until => Some(why),
            State::Open(..) | State::Probing | State::Closed => None,
        }
    }

    /// Whether the one request that is to see is under way: the others wait for it.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing)
    }

    /// Whether the service has not answered since a rest began.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// A request begins: after a rest it is the one that is to see.
    pub(super) fn begin(&mut self) {
        if matches!(self.state, State::Open(..)) {
            self.state = State::Probing;
        }
    }

    /// The service answered; tells whether that ends a rest.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        if !self.is_probing() {
            return false;
        }
        self.failing_rest.reset();
        self.state = State::Closed;
        true
    }

    /// A request failed; gives the rest that this begins.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.failures += 1;
        if matches!(self.state, State::Open(..)) || !self.is_probing() && self.failures < FAILURES {
            return None;
        }
        let rest = self.failing_rest.next_wait();
        self.open(now, rest, GeoStatus::Error)
    }

    /// The service refused the key; gives the rest that this begins. It says the same for a wrong key and for one
    /// without credit, and the latter is what happens to a key that worked.
    pub(super) fn refused(&mut self, now: Instant) -> Option<Duration> {
        if matches!(self.state, State::Open(_, GeoStatus::Quota)) {
            return None;
        }
        self.open(now, self.refused_rest, GeoStatus::Quota)
    }

    fn open(&mut self, now: Instant, rest: Duration, why: GeoStatus) -> Option<Duration> {
        self.failures = 0;
        self.state = State::Open(now + rest, why);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enricher::ip2location::settings::tests_settings;

    fn breaker() -> Breaker {
        Breaker::new(&Ip2LocationSettings {
            failing_rest: Duration::from_secs(10),
            refused_rest: Duration::from_secs(1800),
            ..tests_settings()
        })
    }

    fn fail(breaker: &mut Breaker, times: u32, now: Instant) -> Option<Duration> {
        (0..times).filter_map(|_| breaker.failed(now)).last()
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..3 {
            assert_eq!(fail(&mut breaker, FAILURES - 1, now), None);
            breaker.succeeded();
        }
        let rest = fail(&mut breaker, FAILURES, now).unwrap();
        assert!((5..=10).contains(&rest.as_secs()), "{rest:?}");
        assert_eq!(breaker.shut(now), Some(GeoStatus::Error));
        assert_eq!(breaker.shut(now + rest), None);
    }

    #[test]
    fn after_a_rest_one_request_sees_and_its_result_decides() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let rest = fail(&mut breaker, FAILURES, now).unwrap();
        let now = now + rest;
        breaker.begin();
        assert!(breaker.is_probing() && breaker.is_open());
        let longer = fail(&mut breaker, 1, now).unwrap();
        assert!(longer >= rest, "the rests grow");
        let now = now + longer;
        breaker.begin();
        assert!(breaker.succeeded());
        assert!(breaker.shut(now).is_none() && !breaker.is_probing() && !breaker.is_open());
        assert_eq!(fail(&mut breaker, 1, now), None, "it starts anew");
    }

    #[test]
    fn refused_key_rests_long_and_once() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let rest = Duration::from_secs(1800);
        assert_eq!(breaker.refused(now), Some(rest));
        assert_eq!(breaker.refused(now), None, "others were under way");
        assert_eq!(breaker.failed(now), None);
        assert!(!breaker.succeeded(), "one from before says nothing");
        assert_eq!(breaker.shut(now + rest - Duration::from_secs(1)), Some(GeoStatus::Quota));
        assert_eq!(breaker.shut(now + rest), None);
        breaker.begin();
        assert_eq!(breaker.refused(now + rest), Some(rest), "the probe");
    }
}
