//! Kafka as a source: one member of a consumer group, and the thread that serves it.
//!
//! The thread never blocks on anything but the client: rebalances, feeds and releases are messages both ways, so that
//! the group is served whatever the pipeline or PostgreSQL does.

mod answers;
mod complaint;
mod first;
mod group;
mod inspect;
mod membership;
mod place;
mod poller;
mod position;
mod queue;
mod seldom;
mod share;
mod topic;
mod topic_id;
mod watermarks;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::progress::{Offset, PartitionId};
use rdkafka::consumer::Consumer as _;
use tracing::warn;

use self::answers::Answers;
pub use self::complaint::{Complaint, unusable_settings};
pub use self::group::GroupReport;
pub use self::inspect::{KafkaReport, inspect};
use self::membership::{Consumer, LEAVE_LIMIT};
use self::poller::{Command, Order, Poller};
pub use self::watermarks::partition_range;
use crate::clock;
use crate::contact::Contact;
use crate::link::Heart;
use crate::messages::SourceEvent;
use crate::settings::KafkaSettings;
use crate::source::{
    Attachment, Feed, FirstTimestamps, PartitionEnds, Source, SourceError, TopicDescription,
};

/// How long the question for a partition's end may take.
const ASK_FOR_END: Duration = Duration::from_secs(5);

/// How long to look for the first records that wait.
const LOOK_FOR_FIRST: Duration = Duration::from_secs(5);

/// How long the question for the topic's id may take: commits wait for the answer.
const ASK_FOR_ID: Duration = Duration::from_secs(2);

/// After so long without an answer another client asks.
const ANOTHER_ASKER: Duration = Duration::from_secs(30);

/// So many sessions a group may take to confirm a member while brokers answer. A member that died costs one.
const SESSIONS: u32 = 2;
/// So often that time is doubled, as long as one client after the other waits in vain: a group may be held up by others, and
/// each new member makes it begin again.
const DOUBLINGS: u32 = 4;

/// A membership in a consumer group, for the life of the process: where the client breaks, another takes its place.
pub struct KafkaSource {
    settings: KafkaSettings,
    stall_timeout: Duration,
    member: Mutex<Member>,
    /// Asks questions, and joins nothing. Brokers answer a connection's requests one after another, and the member's
    /// wait there for up to half a second for records that do not come.
    asker: Mutex<Asker>,
    answers: Arc<Mutex<Answers>>,
    /// Clients in a row that were given up without having been confirmed by the group.
    given_up: AtomicU32,
}

/// A client for questions, and since when it is the one that asks.
struct Asker {
    consumer: Arc<Consumer>,
    since: Duration,
}

/// A client and the thread that serves it.
struct Member {
    consumer: Arc<Consumer>,
    commands: mpsc::Sender<Command>,
    life: Arc<Life>,
}

/// Whether a poller thread lives, seen from outside.
struct Life {
    heart: Heart,
    ended: AtomicBool,
}

impl Life {
    fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}

impl Member {
    fn join(settings: &KafkaSettings) -> Result<Self, SourceError> {
        let consumer = Arc::new(membership::member(settings)?);
        consumer.subscribe(&[&settings.topic]).map_err(|error| {
            SourceError::Configuration(format!(
                "topic {:?} cannot be subscribed to: {error}",
                settings.topic
            ))
        })?;
        let (commands, orders) = mpsc::channel();
        let life =
            Arc::new(Life { heart: Heart::new("KafkaPoller"), ended: AtomicBool::new(false) });
        let (topic, watched) = (settings.topic.clone(), Arc::clone(&life));
        let poller = Poller::new(Arc::clone(&consumer), topic, orders, watched);
        thread::Builder::new()
            .name("kafka-poller".to_owned())
            .spawn(move || poller.run())
            .map_err(|error| {
                SourceError::Unavailable(format!("the poller thread does not start: {error}"))
            })?;
        Ok(Self { consumer, commands, life })
    }

    /// Leaves the group without waiting for it, also where the poller hangs and goes on holding the client.
    fn abandon(self) {
        self.life.end();
        thread::spawn(move || membership::close(&self.consumer, LEAVE_LIMIT));
    }
}

impl KafkaSource {
    /// Joins the group and starts the thread. Brokers need not be there yet. A thread that gives no sign of life for
    /// `stall_timeout` counts as dead.
    ///
    /// # Errors
    /// `Configuration` where the client refuses a property.
    pub fn join(settings: KafkaSettings, stall_timeout: Duration) -> Result<Self, SourceError> {
        let member = Mutex::new(Member::join(&settings)?);
        let (consumer, since) = (Arc::new(membership::consumer(&settings)?), clock::monotonic());
        let asker = Mutex::new(Asker { consumer, since });
        let answers = Arc::new(Mutex::new(Answers::new(since)));
        Ok(Self { settings, stall_timeout, member, asker, answers, given_up: AtomicU32::new(0) })
    }

    fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, command: Command) {
        // A poller that is gone has said so to the generation it served, and drops its feeds.
        let _ = self.member().commands.send(command);
    }

    /// Leaves the group and ends, whatever generation is attached or none, as far as that is done within `limit`. A static
    /// member stays in the group: it is expected back.
    pub async fn close(&self, limit: Duration) {
        self.command(Command::Close);
        let life = Arc::clone(&self.member().life);
        let leaving = async {
            while !life.has_ended() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(limit, leaving).await.is_err() {
            warn!("the group is not left in time; its partitions move when the session ends");
        }
    }

    /// The client that asks; another one where this one has had no answer for long. A broker that comes back may name no
    /// broker at all at first, itself included, and a client that hears that forgets all of them and never asks again
    /// (librdkafka #5301).
    fn asker(&self) -> Arc<Consumer> {
        let now = clock::monotonic();
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = self.answers.lock().unwrap_or_else(PoisonError::into_inner).silence(now);
        if silence.min(now.saturating_sub(asker.since)) >= ANOTHER_ASKER
            && let Ok(consumer) = membership::consumer(&self.settings)
        {
            let next = Asker { consumer: Arc::new(consumer), since: now };
            let gone = std::mem::replace(&mut *asker, next);
            // Its end waits for brokers.
            thread::spawn(move || drop(gone));
        }
        Arc::clone(&asker.consumer)
    }

    /// Runs a blocking question to the brokers beside the actors.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Consumer, &str) -> Result<T, SourceError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        let (asker, topic) = (self.asker(), self.settings.topic.clone());
        let answers = Arc::clone(&self.answers);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&asker, &topic);
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.heard(clock::monotonic(), &answer);
            drop(answers);
            membership::forget_callbacks(&asker);
            answer
        });
        asked
            .map(|answer| match answer {
                Ok(answer) => answer,
                Err(error) => Err(SourceError::Unavailable(error.to_string())),
            })
            .boxed()
    }
}

/// How long complaints of a client that nobody polls are collected.
const CALLBACKS: Duration = Duration::from_millis(100);

/// Asks the brokers about a topic without joining any group; blocks.
///
/// # Errors
/// `TopicMissing`, or why the brokers do not answer.
pub fn describe_topic(
    settings: &KafkaSettings,
    timeout: Duration,
) -> Result<TopicDescription, SourceError> {
    let consumer = membership::asker(settings)?;
    topic::describe(&consumer, &settings.topic, timeout).map_err(|error| match error {
        SourceError::Unavailable(reason) => {
            // Serves callbacks; there is nothing to be read. What the client complained of says more.
            drop(consumer.poll(CALLBACKS));
            SourceError::Unavailable(consumer.context().trouble().unwrap_or(reason))
        }
        other => other,
    })
}

impl Source for KafkaSource {
    fn attach(&self, generation: Attachment) {
        let mut member = self.member();
        if member.life.has_ended() || member.life.heart.silence() > self.stall_timeout {
            warn!("the Kafka client is broken; joining the group with another");
            match Member::join(&self.settings) {
                Ok(joined) => std::mem::replace(&mut *member, joined).abandon(),
                Err(error) => {
                    generation.watch.retire();
                    return generation.events.do_send(SourceEvent::Failed(error));
                }
            }
        }
        // To a poller that dies just now it is lost, and with it its watch, which reports that.
        let _ = member.commands.send(Command::Attach(generation));
    }

    fn detach(&self) {
        self.command(Command::Detach);
    }

    fn describe(
        &self,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<TopicDescription, SourceError>> {
        self.ask(move |consumer, topic| topic::describe(consumer, topic, timeout))
    }

    fn topic_id(&self) -> BoxFuture<'static, Result<String, SourceError>> {
        self.ask(|consumer, topic| topic::id(consumer, topic, ASK_FOR_ID))
    }

    fn end_of(&self, partition: PartitionId) -> BoxFuture<'static, Result<Offset, SourceError>> {
        // In the client's isolation level: where a transaction is open, the end is what precedes it.
        self.ask(move |consumer, topic| {
            let range = partition_range(consumer.client(), topic, partition, ASK_FOR_END);
            range
                .map(|range| range.high)
                .map_err(|error| SourceError::Unavailable(error.to_string()))
        })
    }

    fn contact(&self) -> Contact {
        let unconfirmed = self.member().consumer.context().unconfirmed();
        if unconfirmed.is_none() {
            self.given_up.store(0, Relaxed);
        }
        let doublings = self.given_up.load(Relaxed).min(DOUBLINGS);
        let patience = self.settings.session_timeout() * SESSIONS * (1 << doublings);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = answers.silence(clock::monotonic());
        Contact { silence, answering: answers.answering(), unconfirmed, patience }
    }

    fn ends(&self) -> BoxFuture<'static, Result<PartitionEnds, SourceError>> {
        self.ask(|consumer, topic| topic::ends(consumer, topic, ASK_FOR_END))
    }

    fn first_timestamps(
        &self,
        positions: Vec<(PartitionId, Offset)>,
    ) -> BoxFuture<'static, Result<FirstTimestamps, SourceError>> {
        let settings = self.settings.clone();
        self.ask(move |_, _| first::timestamps(&settings, &positions, LOOK_FOR_FIRST))
    }

    fn feed(&self, generation: u64, feeds: Vec<Feed>) {
        self.command(Command::Order(generation, Order::Feed(feeds)));
    }

    fn release(&self, generation: u64, partitions: Vec<PartitionId>) {
        self.command(Command::Order(generation, Order::Release(partitions)));
    }

    fn publish_offsets(&self, generation: u64, offsets: Vec<(PartitionId, Offset)>) {
        self.command(Command::Order(generation, Order::Publish(offsets)));
    }

    fn renew(&self, generation: u64, reason: String) {
        self.given_up.fetch_add(1, Relaxed);
        self.command(Command::Order(generation, Order::Renew(reason)));
    }

    fn leave(&self, generation: u64) {
        self.command(Command::Order(generation, Order::Leave));
    }
}
