//! `Finalizer`: advances the frontier when a window may have become final, moves final windows, and knows when
//! `run --until-end` has reached its end.

mod watched;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use hitstream_domain::progress::{Offset, PartitionId};
use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;
use tracing::{Instrument, debug, error_span, info, warn};

use crate::awaited::{LONG, LONG_FOR_MANY, awaited};
use crate::backoff::Backoff;
use crate::clock;
use crate::faults::fault_point;
use crate::link::{DeathWatch, Watched};
use crate::messages::{EndReason, EpochCommitted, Fatal, GenerationEnded, ReadUntil};
use crate::metrics::Metrics;
use crate::readiness::{Part, Readiness};
use crate::store::{Claims, Move, Store, StoreError, Survey};

/// How often to look without being told: other instances commit, and claims run out.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look for sessions of frozen instances.
const LOOK_FOR_HUNG: Duration = Duration::from_secs(2);
/// How often open windows are counted, which takes PostgreSQL a look at each of their rows.
const COUNT_OPEN: Duration = Duration::from_secs(15);
/// How long to wait for another instance that is moving windows.
const MOVER_WAIT: Duration = Duration::from_millis(20);

/// Makes windows final.
pub struct Finalizer {
    /// The generation it belongs to.
    pub generation: u64,
    /// Where frontier and windows are.
    pub store: Arc<dyn Store>,
    /// Windows and delay.
    pub rules: TimeRules,
    /// The ends to reach, under `run --until-end`.
    pub until: Option<Arc<Vec<(PartitionId, Offset)>>>,
    /// Whether idle claims count.
    pub claims: Claims,
    /// Who is told that the end is reached.
    pub ended: Recipient<GenerationEnded>,
    /// Whether a round is under way, and whether another was asked for meanwhile.
    pub round: Round,
    /// What is asked beside the rounds.
    pub beside: Beside,
    /// What is measured.
    pub metrics: Metrics,
    /// Who asks whether PostgreSQL answers.
    pub readiness: Readiness,
    /// Waits after failures.
    pub backoff: Backoff,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

/// Where the finalizer is in its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Round {
    /// Nothing under way.
    #[default]
    Resting,
    /// One under way.
    Running,
    /// One under way, and something happened since it began.
    RunningAgain,
}

/// What is being asked beside the rounds: once at a time, or a PostgreSQL that hangs would be asked on all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    counts: bool,
    looks: bool,
}

impl Watched for Finalizer {
    fn watch(&self) -> &DeathWatch {
        &self.watch
    }
}

impl Actor for Finalizer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
        self.begin(ctx);
        ctx.run_interval(LOOK_EVERY, Self::begin);
        ctx.run_interval(COUNT_OPEN, Self::count_open);
        // Beside the rounds: one of them may be waiting for just such a session.
        ctx.run_interval(LOOK_FOR_HUNG, Self::look_for_hung);
    }
}

impl Handler<EpochCommitted> for Finalizer {
    type Result = ();

    fn handle(&mut self, _: EpochCommitted, ctx: &mut Self::Context) {
        self.begin(ctx);
    }
}

impl Handler<ReadUntil> for Finalizer {
    type Result = ();

    fn handle(&mut self, ReadUntil(ends): ReadUntil, ctx: &mut Self::Context) {
        self.until = Some(ends);
        self.begin(ctx);
    }
}

impl Finalizer {
    fn look_for_hung(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.beside.looks, true) {
            return;
        }
        let store = Arc::clone(&self.store);
        let looking = async move { store.end_hung_sessions().await };
        ctx.spawn(looking.into_actor(self).map(|(), finalizer, _| finalizer.beside.looks = false));
    }

    fn count_open(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.beside.counts, true) {
            return;
        }
        let (store, metrics) = (Arc::clone(&self.store), self.metrics.clone());
        let counting = async move {
            match store.open().await {
                Ok(open) => {
                    metrics.open_windows.set(open.windows);
                    for (rollup, rows) in ROLLUPS.iter().zip(open.rows) {
                        metrics.open_rows.with_label_values(&[rollup.name]).set(rows);
                    }
                }
                Err(error) => debug!(%error, "open windows are not counted"),
            }
        };
        ctx.spawn(
            counting.into_actor(self).map(|(), finalizer, _| finalizer.beside.counts = false),
        );
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.round != Round::Resting {
            self.round = Round::RunningAgain;
            return;
        }
        self.round = Round::Running;
        let until = self.until.clone();
        let store = Arc::clone(&self.store);
        let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
        let work = round(store, metrics, readiness, self.rules, self.claims, until);
        let work = work.instrument(error_span!("Finalizer"));
        ctx.spawn(
            work.into_actor(self).map(|outcome, finalizer, ctx| finalizer.done(outcome, ctx)),
        );
    }

    fn done(&mut self, outcome: Result<bool, StoreError>, ctx: &mut Context<Self>) {
        let again = self.round == Round::RunningAgain;
        self.round = Round::Resting;
        match outcome {
            Ok(true) => self.end(EndReason::ReachedEnd),
            Ok(false) => {
                if self.backoff.tries() > 0 {
                    self.readiness.works(Part::Postgres);
                }
                self.backoff.reset();
                if again {
                    self.begin(ctx);
                }
            }
            Err(StoreError::Mismatch(reason)) => {
                self.end(EndReason::Fatal(Fatal::Mismatch(reason)))
            }
            Err(reason) if self.backoff.is_exhausted() => {
                self.end(EndReason::Fatal(Fatal::OutOfReach(format!("PostgreSQL: {reason}"))));
            }
            Err(reason) => {
                let wait = self.backoff.next_wait();
                self.readiness.fails(Part::Postgres, reason.to_string());
                if self.backoff.is_worth_a_word() {
                    warn!(%reason, retry_in = ?wait, "windows cannot be made final; trying again");
                }
                self.round = Round::Running; // until the wait is over
                ctx.run_later(wait, |finalizer, ctx| {
                    finalizer.round = Round::Resting;
                    finalizer.begin(ctx);
                });
            }
        }
    }

    fn end(&self, reason: EndReason) {
        self.ended.do_send(GenerationEnded { generation: self.generation, reason });
    }
}

/// Advances if a window end may be crossed, moves what is final; tells whether the end is reached.
async fn round(
    store: Arc<dyn Store>,
    metrics: Metrics,
    readiness: Readiness,
    rules: TimeRules,
    claims: Claims,
    until: Option<Arc<Vec<(PartitionId, Offset)>>>,
) -> Result<bool, StoreError> {
    let survey = store.survey().await?;
    let at_end = until.is_some_and(|ends| has_reached(&survey, &ends));
    let computed = survey.computed(rules.delay, claims);
    watched::tell(&metrics, &survey, rules.delay);
    if at_end || crosses_window_end(&rules, survey.frontier, computed) {
        fault_point!("finalizer::before_advance");
        let frontier = {
            let _timer = metrics.advance.start_timer();
            awaited(&readiness, "the frontier's advance", LONG, store.advance(claims)).await?
        };
        watched::tell_frontier(&metrics, frontier);
        fault_point!("finalizer::after_advance");
        debug!(%frontier, "frontier");
    }
    let moved = move_all(&*store, &metrics, &readiness, at_end).await?;
    Ok(at_end && moved)
}

/// Moves all windows that are final; at the end of a bounded run it waits for another instance that does so. Tells
/// whether all are moved.
async fn move_all(
    store: &dyn Store,
    metrics: &Metrics,
    readiness: &Readiness,
    at_end: bool,
) -> Result<bool, StoreError> {
    let (mut windows, mut last) = (0, None);
    let all = loop {
        let began = clock::monotonic();
        match awaited(readiness, "a final window's move", LONG_FOR_MANY, store.move_window()).await
        {
            Ok(Move::Moved(window)) => {
                let took = clock::monotonic().saturating_sub(began);
                metrics.move_window.observe(took.as_secs_f64());
                metrics.final_windows.inc();
                fault_point!("finalizer::moved");
                debug!(%window, "window is final");
                (windows, last) = (windows + 1, Some(window));
            }
            Ok(Move::Stuck { window, reason }) if at_end => {
                break Err(StoreError::Mismatch(format!(
                    "all is counted, but the final tables refuse the window of {window}: {reason}. Remove the index, \
                     constraint or trigger that forbids it, then run it again"
                )));
            }
            Ok(Move::Nothing | Move::Stuck { .. }) => break Ok(true),
            Ok(Move::Busy) if at_end => tokio::time::sleep(MOVER_WAIT).await,
            Ok(Move::Busy) => break Ok(false),
            Err(error) => break Err(error),
        }
    };
    if let Some(last) = last {
        info!(windows, %last, "windows are final");
    }
    all
}

/// Whether every partition's progress, whoever committed it, is where it should be.
fn has_reached(survey: &Survey, ends: &[(PartitionId, Offset)]) -> bool {
    ends.iter().all(|(partition, end)| {
        survey.partitions.iter().any(|(found, next, _)| found == partition && next >= end)
    })
}

/// Whether a window ends after `from` and not after `to`.
fn crosses_window_end(rules: &TimeRules, from: EventTime, to: EventTime) -> bool {
    if to <= from {
        return false;
    }
    if from == EventTime::NEG_INFINITY {
        return true;
    }
    // The earliest window that still holds `from` is the first to end after it.
    rules.window.windows_of(from).next().is_none_or(|window| window.end <= to)
}

#[cfg(test)]
mod tests {
    use hitstream_domain::window::WindowSpec;

    use super::*;

    fn crosses(size: u64, slide: u64, from: i64, to: i64) -> bool {
        let window =
            WindowSpec::new(Duration::from_micros(size), Duration::from_micros(slide)).unwrap();
        let rules = TimeRules { window, delay: Duration::ZERO, max_future_skew: Duration::ZERO };
        crosses_window_end(&rules, EventTime::from_micros(from), EventTime::from_micros(to))
    }

    #[test]
    fn advance_is_due_when_a_window_end_is_crossed() {
        assert!(!crosses(10, 10, 10, 19));
        assert!(crosses(10, 10, 10, 20));
        assert!(crosses(10, 10, 19, 20));
        assert!(!crosses(10, 10, 20, 20));
        assert!(crosses(10, 5, 10, 15));
        assert!(!crosses(10, 5, 10, 14));
    }
}
