//! How many records there are to be, when each is due, and where event time begins.

use std::num::NonZeroU64;
use std::time::Duration;

use super::traffic::Step;

/// Event time between two records when nothing else is said: a hundred hits a second.
pub(crate) const DEFAULT_STEP: Duration = Duration::from_millis(10);

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// Records in all.
    pub(crate) count: Option<u64>,
    /// Records a second.
    pub(crate) rate: Option<NonZeroU64>,
    /// Time after which to stop.
    pub(crate) duration: Option<Duration>,
    /// Event time of the first record, in microseconds since 1970.
    pub(crate) start_micros: Option<i64>,
    /// Event time between two records.
    pub(crate) step: Option<Duration>,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Records to send; `None` goes on until it is stopped.
    pub(crate) total: Option<u64>,
    /// Records a second; `None` is as fast as can be.
    pub(crate) rate: Option<NonZeroU64>,
    /// Event time of the first record, in microseconds since 1970.
    pub(crate) start_micros: i64,
    /// The advance of event time.
    pub(crate) step: Step,
}

impl Schedule {
    /// Fills in what was left open. Live traffic (with a rate) has its first event now; a batch without a rate has
    /// its last event now.
    ///
    /// # Errors
    /// Says what is missing or does not go together.
    pub(crate) fn new(demand: Demand, now_micros: i64) -> Result<Self, String> {
        let Demand { count, rate, duration, start_micros, step } = demand;
        let total = match (count, rate, duration) {
            (None, None, _) => {
                return Err("say how much: --count N, or --rate N for live traffic".to_owned());
            }
            (_, None, Some(_)) => {
                return Err(
                    "--duration needs --rate; without a rate, give --count alone".to_owned()
                );
            }
            (count, Some(rate), Some(duration)) => {
                let due = due(rate, duration);
                Some(count.map_or(due, |count| count.min(due)))
            }
            (count, _, None) => count,
        };
        let step = match (step, rate) {
            (Some(step), _) => Step { micros: micros(step), records: 1 },
            (None, Some(rate)) => Step { micros: 1_000_000, records: rate.get() },
            (None, None) => Step { micros: micros(DEFAULT_STEP), records: 1 },
        };
        let start_micros = match (start_micros, rate) {
            (Some(start), _) => start,
            (None, Some(_)) => now_micros,
            (None, None) => {
                now_micros.saturating_sub(step.after(total.unwrap_or(0).saturating_sub(1)))
            }
        };
        Ok(Self { total, rate, start_micros, step })
    }

    /// How many records should have been sent `elapsed` after the start; never more than the total.
    pub(crate) fn due(&self, elapsed: Duration) -> u64 {
        let due = self.rate.map_or(u64::MAX, |rate| due(rate, elapsed));
        self.total.map_or(due, |total| total.min(due))
    }
}

fn due(rate: NonZeroU64, elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() * u128::from(rate.get()) / 1_000_000_000).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000_000;

    fn rate(rate: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(rate)
    }

    #[test]
    fn last_event_of_a_batch_is_now() {
        let schedule =
            Schedule::new(Demand { count: Some(101), ..Demand::default() }, NOW).unwrap();
        assert_eq!(schedule.start_micros, NOW - 1_000_000);
        assert_eq!(schedule.start_micros + schedule.step.after(100), NOW);
        assert_eq!(schedule.due(Duration::ZERO), 101);
    }

    #[test]
    fn live_traffic_starts_now_and_never_runs_ahead_of_the_clock() {
        let schedule = Schedule::new(Demand { rate: rate(3), ..Demand::default() }, NOW).unwrap();
        assert_eq!((schedule.start_micros, schedule.total), (NOW, None));
        assert_eq!(schedule.due(Duration::from_millis(999)), 2);
        assert_eq!(schedule.due(Duration::from_secs(1)), 3);
        for seconds in [1, 7, 100_000] {
            let elapsed = Duration::from_secs(seconds);
            let last = schedule.due(elapsed) - 1;
            assert!(schedule.step.after(last) <= i64::try_from(elapsed.as_micros()).unwrap());
        }
    }

    #[test]
    fn duration_and_count_both_bound_live_traffic() {
        let demand = Demand {
            rate: rate(100),
            duration: Some(Duration::from_secs(10)),
            ..Demand::default()
        };
        assert_eq!(Schedule::new(demand, NOW).unwrap().total, Some(1_000));
        assert_eq!(Schedule::new(Demand { count: Some(7), ..demand }, NOW).unwrap().total, Some(7));
    }

    #[test]
    fn start_and_step_are_taken_as_given() {
        let demand = Demand {
            count: Some(10),
            start_micros: Some(5),
            step: Some(Duration::from_secs(1)),
            ..Demand::default()
        };
        let schedule = Schedule::new(demand, NOW).unwrap();
        assert_eq!((schedule.start_micros, schedule.step.after(9)), (5, 9_000_000));
    }

    #[test]
    fn endless_or_contradictory_demands_are_refused() {
        assert!(Schedule::new(Demand::default(), NOW).unwrap_err().contains("--count"));
        let unpaced =
            Demand { count: Some(1), duration: Some(Duration::from_secs(1)), ..Demand::default() };
        assert!(Schedule::new(unpaced, NOW).unwrap_err().contains("--rate"));
    }
}
