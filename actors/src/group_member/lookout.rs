//! A look at the brokers and at the topic every few seconds: whether they answer, and whether it is still the same one.
//! And at the group each second: whether this member has a place in it.

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
    /// Why a look failed, or was not even tried, until one succeeds.
    unseen: Option<String>,
    /// Why the brokers do not let this instance join, until it has.
    pub(super) refused: Option<String>,
    /// Whether the group's part of readiness is taken back because of what was seen.
    pub(super) is_worried: bool,
    /// Whether the group lets this instance take part.
    pub(super) has_joined: bool,
    /// Whether another client was asked for.
    asked_for_another: bool,
}

impl Lookout {
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self {
            patience: Backoff::new(LOOK, LOOK).with_patience(patience),
            unseen: None,
            refused: None,
            is_worried: false,
            has_joined: false,
            asked_for_another: false,
        }
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
                self.lookout.unseen = None;
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
                    self.lookout.unseen =
                        Some(format!("{error} any more: nothing is left to read"));
                }
            }
        }
        self.judge();
    }

    /// Not ready, until a look succeeds.
    pub(super) fn worry(&mut self, reason: String) {
        self.lookout.unseen = Some(reason);
        self.judge();
    }

    /// Says what keeps the source from its work, or that nothing does any more; asks for another client where this one
    /// waits in vain.
    pub(super) fn judge(&mut self) {
        let contact = self.parts.source.contact();
        let said = self.opening.as_ref().and_then(|opening| opening.unopened.reason());
        let said = said.or_else(|| self.lookout.refused.clone());
        if let (None, Some(reason)) = (&said, contact.loss())
            && !self.draining
            && !std::mem::replace(&mut self.lookout.asked_for_another, true)
        {
            self.parts.source.renew(self.parts.generation, reason);
        }
        let trouble = said.or_else(|| self.lookout.unseen.clone()).or_else(|| contact.trouble());
        match trouble {
            Some(reason) => {
                self.lookout.is_worried = true;
                self.parts.readiness.fails(Part::Kafka, reason);
            }
            None if self.lookout.has_joined && std::mem::take(&mut self.lookout.is_worried) => {
                self.parts.readiness.works(Part::Kafka);
            }
            None => {}
        }
    }
}
