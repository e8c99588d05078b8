//! A look at the brokers and at the topic every few seconds: whether they answer, and whether it is still the same one.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::GroupMember;
use crate::backoff::Backoff;
use crate::messages::{EndReason, Fatal};
use crate::readiness::Part;
use crate::source::{SourceError, may_be_same_topic};

/// How often to look.
const LOOK: Duration = Duration::from_secs(5);

/// What was seen so far.
pub(super) struct Lookout {
    /// How long the brokers may stay away: the client itself would wait for ever.
    patience: Backoff,
    /// Whether the group's part of readiness is taken back because of what was seen.
    is_worried: bool,
    /// Whether the group lets this instance take part.
    pub(super) has_joined: bool,
}

impl Lookout {
    pub(super) fn new(patience: Option<Duration>) -> Self {
        let patience = Backoff::new(LOOK, LOOK).with_patience(patience);
        Self { patience, is_worried: false, has_joined: false }
    }

    /// A member already, if brokers answer: the next look tells.
    pub(super) fn is_member(&mut self) {
        self.has_joined = true;
        self.is_worried = true;
    }
}

impl GroupMember {
    /// Looks again and again.
    pub(super) fn look_out(&self, ctx: &mut Context<Self>) {
        let source = Arc::clone(&self.parts.source);
        let looking = async move {
            tokio::time::sleep(LOOK).await;
            source.topic_id().await
        };
        ctx.spawn(looking.into_actor(self).map(|seen, member, ctx| {
            member.seen(seen);
            member.look_out(ctx);
        }));
    }

    fn seen(&mut self, topic_id: Result<String, SourceError>) {
        match topic_id {
            Ok(now) => {
                self.lookout.patience.reset();
                if std::mem::take(&mut self.lookout.is_worried) && self.lookout.has_joined {
                    self.parts.readiness.works(Part::Kafka);
                }
                if self.topic.as_ref().is_some_and(|topic| !may_be_same_topic(&topic.id, &now)) {
                    self.end(EndReason::TopicRecreated);
                }
            }
            Err(error) if self.lookout.patience.is_exhausted() => {
                self.end(EndReason::Fatal(Fatal::OutOfReach(format!("Kafka: {error}"))));
            }
            Err(error) => {
                self.lookout.patience.next_wait();
                // Before it was opened it is waited for, which says so itself.
                if let (SourceError::TopicMissing(_), Some(_)) = (&error, &self.topic) {
                    self.worry(format!("{error} any more: nothing is left to read"));
                }
            }
        }
    }

    /// Not ready, until a look finds the topic.
    pub(super) fn worry(&mut self, reason: String) {
        self.lookout.is_worried = true;
        self.parts.readiness.fails(Part::Kafka, reason);
    }
}
