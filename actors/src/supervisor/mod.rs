//! `PipelineSupervisor`: keeps one generation of actors alive, and replaces it when any of them dies.
//!
//! actix's own `Supervisor` does not survive a panic, and a new actor beside old ones would need their state mended. So
//! the whole generation goes, and the next starts from committed progress.

mod crashes;
mod generation;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;
use tracing::field::display;
use tracing::{error, info, warn};

pub use generation::{Blueprint, Generation};

use self::crashes::Crashes;
use crate::backoff::Backoff;
use crate::clock;
use crate::group_member::EndOffsets;
use crate::link::HEARTBEAT;
use crate::messages::{ActorDied, Death, Drain, EndReason, Fatal, GenerationEnded};
use crate::readiness::Part;
use crate::refuse::RefuseList;

/// How long a generation must live for the next crash to count as a first one.
const LIVED_WELL: Duration = Duration::from_secs(60);

/// A look for stalls that comes so late tells of a frozen process, not of a hanging actor.
const FROZEN: Duration = Duration::from_secs(5);

/// Spawns, watches and replaces generations.
pub struct PipelineSupervisor {
    blueprint: Blueprint,
    generation: Option<Generation>,
    started: u64,
    started_at: Duration,
    /// Before the next generation: after a crash, and after an end that is none of this process's fault.
    backoff: Backoff,
    after_end: Backoff,
    crashes: Crashes,
    /// When stalls were last looked for, and when the process was last found to have been frozen.
    looked_at: Duration,
    woke_at: Duration,
    refuse: RefuseList,
    ends: EndOffsets,
    stopping: bool,
    outcome: Option<oneshot::Sender<Result<(), Fatal>>>,
}

/// What a generation came to.
#[derive(Clone, Copy, Debug)]
enum After {
    Crash,
    End,
}

/// Orders the pipeline to finish: cut, commit, leave the group.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

impl PipelineSupervisor {
    /// A supervisor that says on `outcome` how the pipeline ended.
    pub fn new(blueprint: Blueprint, outcome: oneshot::Sender<Result<(), Fatal>>) -> Self {
        Self {
            blueprint,
            generation: None,
            started: 0,
            started_at: Duration::ZERO,
            // Short enough for a crash loop to be seen as one, long enough not to burn a core.
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            after_end: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            crashes: Crashes::default(),
            looked_at: clock::monotonic(),
            woke_at: Duration::ZERO,
            refuse: RefuseList::default(),
            ends: EndOffsets::default(),
            stopping: false,
            outcome: Some(outcome),
        }
    }

    fn spawn(&mut self, ctx: &mut Context<Self>) {
        if self.stopping {
            return self.finish(Ok(()));
        }
        self.started += 1;
        self.started_at = clock::monotonic();
        self.blueprint.metrics.generations.inc();
        let refuse = Arc::new(self.refuse.clone());
        let address = ctx.address();
        let generation = Generation::spawn(
            self.started,
            &self.blueprint,
            refuse,
            Arc::clone(&self.ends),
            address.clone().recipient(),
            address.recipient(),
        );
        info!(generation = self.started, "pipeline started");
        self.generation = Some(generation);
    }

    /// Ends the running generation, if it is the one meant.
    fn end(&mut self, number: u64) -> bool {
        if self.generation.as_ref().is_none_or(|running| running.number() != number) {
            return false; // one death brings others: only the first counts
        }
        if let Some(generation) = self.generation.take() {
            generation.end(&*self.blueprint.source);
        }
        true
    }

    fn respawn_later(&mut self, after: After, ctx: &mut Context<Self>) {
        if clock::monotonic().saturating_sub(self.started_at) > LIVED_WELL {
            self.backoff.reset();
            self.after_end.reset();
        }
        let wait = match after {
            After::Crash => self.backoff.next_wait(),
            After::End => self.after_end.next_wait(),
        };
        info!(after = ?wait, "starting again from committed progress");
        ctx.run_later(wait, Self::spawn);
    }

    /// Ends the generation of an actor that died, and counts that.
    fn crashed(&mut self, died: &ActorDied, ctx: &mut Context<Self>) {
        if !self.end(died.generation) {
            return;
        }
        let ActorDied { actor, cause, .. } = died;
        let work = died.work.map(|work| format!(" at {work}")).unwrap_or_default();
        let partition = died.work.map(|work| display(work.partition));
        error!(actor, partition, %cause, "an actor died{work}; its generation ends");
        self.blueprint.metrics.actor_deaths.with_label_values(&[*actor, cause.kind()]).inc();
        self.count_crash(format!("{actor}{work}: {cause}"), ctx);
    }

    /// Counts a crash, and starts again after it.
    fn count_crash(&mut self, words: String, ctx: &mut Context<Self>) {
        self.crashes.add(clock::monotonic(), words);
        self.look_at_crashes();
        self.respawn_later(After::Crash, ctx);
    }

    fn look_at_crashes(&mut self) {
        match self.crashes.loop_at(clock::monotonic()) {
            Some(reason) => self.blueprint.readiness.fails(Part::Actors, reason),
            None => self.blueprint.readiness.works(Part::Actors),
        }
    }

    /// A generation with an actor that hangs is as dead as one whose actor died. Where this actor itself was not run for
    /// long, nobody was: the others get the time to give a sign of life.
    fn look_for_stalls(&mut self, ctx: &mut Context<Self>) {
        self.look_at_crashes();
        let now = clock::monotonic();
        let asleep = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        if asleep > FROZEN {
            warn!(seconds = asleep.as_secs(), "this process was frozen, or had no processor");
            self.woke_at = now;
        }
        if now.saturating_sub(self.woke_at) < FROZEN {
            return;
        }
        let limit = self.blueprint.settings.stall_timeout;
        let Some(generation) = &self.generation else { return };
        let Some((actor, silence)) = generation.stalled(limit) else { return };
        let cause = Death::Stalled(silence);
        self.crashed(&ActorDied { generation: generation.number(), actor, cause, work: None }, ctx);
    }

    /// Starts again with a longer refuse list. Where that is nothing new, PostgreSQL does not even take that a record
    /// was rejected: waiting for someone to mend that is all that loses nothing.
    fn refused(&mut self, refused: RefuseList, ctx: &mut Context<Self>) {
        let said = refused.said.clone();
        if self.refuse.extend(refused) {
            self.backoff.reset();
            return self.spawn(ctx);
        }
        if self.blueprint.settings.until_end {
            return self.finish(Err(Fatal::Mismatch(format!(
                "not even the bare row of a rejected record is taken by table rejected_events: {said}. Remove the \
                 constraint or trigger that forbids it, then run it again"
            ))));
        }
        error!(
            said,
            "PostgreSQL does not take rejected records at all; nothing is read until it does"
        );
        self.respawn_later(After::End, ctx);
    }

    fn finish(&mut self, outcome: Result<(), Fatal>) {
        if let Some(tell) = self.outcome.take() {
            // Nobody waits any more where the process is already ending.
            let _ = tell.send(outcome);
        }
    }
}

impl Actor for PipelineSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.spawn(ctx);
        ctx.run_interval(HEARTBEAT, Self::look_for_stalls);
    }
}

impl Handler<ActorDied> for PipelineSupervisor {
    type Result = ();

    fn handle(&mut self, died: ActorDied, ctx: &mut Self::Context) {
        self.crashed(&died, ctx);
    }
}

impl Handler<GenerationEnded> for PipelineSupervisor {
    type Result = ();

    fn handle(&mut self, ended: GenerationEnded, ctx: &mut Self::Context) {
        if let EndReason::ReachedEnd = ended.reason {
            return self.handle(Shutdown, ctx);
        }
        if !self.end(ended.generation) {
            return;
        }
        match ended.reason {
            EndReason::ReachedEnd => {}
            EndReason::Drained => self.finish(Ok(())),
            EndReason::Fatal(fatal) => self.finish(Err(fatal)),
            EndReason::Fenced(reason) => {
                self.blueprint.metrics.fenced_commits.inc();
                warn!(%reason, "what was read is thrown away");
                self.respawn_later(After::End, ctx);
            }
            EndReason::RevokedUncommitted => {
                self.blueprint.metrics.late_revocations.inc();
                self.respawn_later(After::End, ctx);
            }
            EndReason::TopicRecreated => {
                warn!(
                    "the topic was deleted and created again; what was read since the last commit is thrown away"
                );
                self.respawn_later(After::End, ctx);
            }
            EndReason::SourceFailed(reason) => {
                warn!(reason, "the Kafka client cannot go on");
                self.count_crash(format!("Kafka client: {reason}"), ctx);
            }
            EndReason::Refused(refused) => {
                say_refused(&refused);
                self.refused(*refused, ctx);
            }
        }
    }
}

/// Tells what becomes of refused rows: sums by place come too late to reject their records, and no record is rejected for a
/// place that was added to it.
fn say_refused(refused: &RefuseList) {
    let RefuseList { keys, sums, places, events, rejects, said } = refused;
    if !sums.is_empty() {
        warn!(
            sums = sums.len(),
            said,
            "PostgreSQL refuses sums by place; they are left out there and counted in web_traffic all the same"
        );
    }
    if !places.is_empty() {
        warn!(
            places = places.len(),
            said, "PostgreSQL refuses events for their places; hits there are kept without a place"
        );
    }
    if sums.len() + places.len() < refused.len() {
        warn!(
            keys = keys.len(),
            events = events.len(),
            rejects = rejects.len(),
            said,
            "PostgreSQL refuses rows; their records will be rejected"
        );
    }
}

impl Handler<Shutdown> for PipelineSupervisor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        let Some(generation) = &self.generation else { return self.finish(Ok(())) };
        generation.group_member.do_send(Drain);
        let timeout = self.blueprint.settings.shutdown_timeout;
        ctx.run_later(timeout, move |supervisor, _| {
            if supervisor.outcome.is_some() {
                warn!(
                    ?timeout,
                    "not committed in time; what was read since the last commit will be read again"
                );
                supervisor.finish(Ok(()));
            }
        });
    }
}
