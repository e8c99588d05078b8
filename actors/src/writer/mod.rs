//! `Writer`: puts the parts of an epoch together and commits it, however long it takes.

mod account;
mod epoch;
pub mod postgres;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use tracing::{debug, info, warn};

pub use epoch::{Epoch, EpochAssembly, PartsExpected};

use crate::backoff::Backoff;
use crate::clock;
use crate::faults::fault_point;
use crate::link::{DeathWatch, HEARTBEAT, Watched};
use crate::messages::{EndReason, EpochCommitted, EpochPart, Fatal, GenerationEnded, TopicOpened};
use crate::metrics::Metrics;
use crate::readiness::{Part, Readiness};
use crate::refuse::RefuseList;
use crate::source::{Source, may_be_same_topic};
use crate::store::{Store, StoreError};

/// A commit that takes longer is a reason not to be ready.
const SLOW_COMMIT: Duration = Duration::from_secs(10);

/// Commits epochs, one at a time.
pub struct Writer {
    /// The generation it belongs to.
    pub generation: u64,
    /// Where epochs go.
    pub store: Arc<dyn Store>,
    /// Who knows what the topic is like now.
    pub source: Arc<dyn Source>,
    /// The topic that epochs are of, once it is known.
    pub topic_id: Option<String>,
    /// The epoch whose parts are arriving.
    pub assembly: EpochAssembly,
    /// Who wants to know of commits; told in this order.
    pub committed: Vec<Recipient<EpochCommitted>>,
    /// Who wants to know that it cannot go on.
    pub ended: Recipient<GenerationEnded>,
    /// How long PostgreSQL may stay out of reach; `None` is for ever.
    pub patience: Option<Duration>,
    /// Since when an epoch is being committed, on the monotonic clock.
    pub committing_since: Option<Duration>,
    /// Who asks whether PostgreSQL commits.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// Reports this actor's death.
    pub watch: DeathWatch,
}

impl Watched for Writer {
    fn watch(&self) -> &DeathWatch {
        &self.watch
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
        ctx.run_interval(HEARTBEAT, |writer, _| {
            let since =
                writer.committing_since.map(|since| clock::monotonic().saturating_sub(since));
            if let Some(waited) = since.filter(|waited| *waited >= SLOW_COMMIT) {
                let reason = format!("a commit is not answered for {} s", waited.as_secs());
                writer.readiness.fails(Part::Postgres, reason);
            }
        });
    }
}

/// Late: who wants to know of commits, because these actors are spawned after the writer.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct TellCommits(pub Recipient<EpochCommitted>);

impl Handler<TellCommits> for Writer {
    type Result = ();

    fn handle(&mut self, TellCommits(whom): TellCommits, _: &mut Self::Context) {
        self.watch.handles();
        self.committed.push(whom);
    }
}

impl Handler<TopicOpened> for Writer {
    type Result = ();

    fn handle(&mut self, TopicOpened(id): TopicOpened, _: &mut Self::Context) {
        self.watch.handles();
        self.topic_id = Some(id);
    }
}

impl Handler<EpochPart> for Writer {
    type Result = ();

    fn handle(&mut self, part: EpochPart, ctx: &mut Self::Context) {
        self.watch.handles();
        fault_point!("writer::part");
        let Some(epoch) = self.assembly.add(part) else { return };
        if let Some(first) = epoch.partitions.first() {
            self.watch.working_on(first.range());
        }
        let claims = epoch.partitions.iter().filter(|part| part.claim.is_some()).count();
        let (store, source) = (Arc::clone(&self.store), Arc::clone(&self.source));
        let (topic_id, patience) = (self.topic_id.clone(), self.patience);
        let (readiness, metrics) = (self.readiness.clone(), self.metrics.clone());
        // Epoch n+1 is cut only after n is known to be committed, so commits never overlap.
        let committing = async move {
            if !epoch.is_empty() && is_of_another_topic(&*source, topic_id).await {
                return Err(EndReason::TopicRecreated);
            }
            commit(store, epoch, patience, readiness, metrics).await
        };
        self.committing_since = Some(clock::monotonic());
        ctx.spawn(committing.into_actor(self).map(move |outcome, writer, _| match outcome {
            Ok(committed) => {
                fault_point!("writer::committed");
                writer.committing_since = None;
                writer.metrics.idle_claims.inc_by(claims as u64);
                for whom in &writer.committed {
                    whom.do_send(committed.clone());
                }
            }
            Err(reason) => {
                writer.ended.do_send(GenerationEnded { generation: writer.generation, reason })
            }
        }));
    }
}

/// Whether the topic was recreated while an epoch was read. Ids never come back: one that is the same after the last
/// record was taken is that of every record before. No answer is no evidence: brokers that are away, or that have no
/// such topic any more, must not keep what was read from being committed.
async fn is_of_another_topic(source: &dyn Source, topic_id: Option<String>) -> bool {
    let Some(opened) = topic_id else { return false };
    match source.topic_id().await {
        Ok(now) => !may_be_same_topic(&opened, &now),
        Err(_) => false,
    }
}

/// Commits one epoch, trying again where that can help.
async fn commit(
    store: Arc<dyn Store>,
    epoch: Epoch,
    patience: Option<Duration>,
    readiness: Readiness,
    metrics: Metrics,
) -> Result<EpochCommitted, EndReason> {
    let number = epoch.number;
    let mut backoff =
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5)).with_patience(patience);
    loop {
        let error = match commit_once(&*store, &epoch).await {
            Ok(ledger) => {
                // An epoch without anything in it asks nothing of PostgreSQL.
                if !epoch.is_empty() {
                    readiness.works(Part::Postgres);
                }
                if backoff.tries() > 0 {
                    info!(epoch = number, tries = backoff.tries(), "PostgreSQL commits again");
                }
                debug!(epoch = number, records = ledger.records, "epoch committed");
                account::committed(&metrics, &epoch, &ledger);
                return Ok(EpochCommitted { epoch: number, offsets: epoch.offsets(), ledger });
            }
            Err(error) => error,
        };
        account::failed(&metrics, &error);
        if let StoreError::Unavailable(reason) | StoreError::Refused(reason) = &error {
            readiness.fails(Part::Postgres, reason);
        }
        match error {
            StoreError::Unavailable(reason) if backoff.is_exhausted() => {
                return Err(EndReason::Fatal(Fatal::OutOfReach(format!("PostgreSQL: {reason}"))));
            }
            StoreError::Unavailable(reason) => {
                let wait = backoff.next_wait();
                if backoff.is_worth_a_word() {
                    warn!(epoch = number, %reason, retry_in = ?wait, "PostgreSQL does not commit; trying again");
                }
                tokio::time::sleep(wait).await;
            }
            StoreError::Fenced(reason) => return Err(EndReason::Fenced(reason)),
            StoreError::Mismatch(reason) => return Err(EndReason::Fatal(Fatal::Mismatch(reason))),
            StoreError::Refused(reason) => match find_refused(&*store, &epoch, reason).await {
                Ok(refused) => return Err(EndReason::Refused(Box::new(refused))),
                Err(reason) if backoff.is_exhausted() => {
                    return Err(EndReason::Fatal(Fatal::Mismatch(format!(
                        "PostgreSQL refuses to commit: {reason}. Remove the constraint or trigger that forbids it, then \
                         run it again"
                    ))));
                }
                Err(reason) => {
                    let wait = backoff.next_wait();
                    if backoff.is_worth_a_word() {
                        warn!(epoch = number, %reason, retry_in = ?wait, "PostgreSQL refuses an epoch; trying again");
                    }
                    tokio::time::sleep(wait).await;
                }
            },
        }
    }
}

async fn commit_once(
    store: &dyn Store,
    epoch: &Epoch,
) -> Result<hitstream_domain::progress::Ledger, StoreError> {
    if epoch.is_empty() {
        return Ok(hitstream_domain::progress::Ledger::default());
    }
    store.commit(epoch).await
}

async fn find_refused(
    store: &dyn Store,
    epoch: &Epoch,
    reason: String,
) -> Result<RefuseList, String> {
    match store.find_refused(epoch).await {
        Ok(found) if found.is_empty() => {
            Err(format!("{reason}; yet no single row of it is refused when tried alone"))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{reason}; looking for the refused rows: {error}")),
    }
}
