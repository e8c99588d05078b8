//! The thread that serves the group and hands each partition's records to its consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hitstream_domain::progress::{Offset, PartitionId};
use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka_sys::RDKafkaErrorCode;
use tracing::{debug, error_span, info, warn};

use super::Life;
use super::membership::{Consumer, LEAVE_LIMIT, Note, assign, close, unassign};
use super::position::Position;
use super::queue::{DataQueue, KafkaRecords};
use super::seldom::Seldom;
use super::share::{Share, shares};
use crate::faults::fault_point;
use crate::link::HEARTBEAT;
use crate::messages::{RecordBatch, SourceEvent};
use crate::source::{Attachment, Feed, Records, SourceError};

/// Messages taken at a time.
const BATCH: usize = 4_096;
/// How long to wait for a full batch: the price in latency of taking batches.
const BATCH_WAIT: Duration = Duration::from_millis(5);
/// How long to serve only the group while nothing may be taken in.
const PAUSE: Duration = Duration::from_millis(5);

/// What the thread is told.
pub(super) enum Command {
    Attach(Attachment),
    Detach,
    /// From this generation; heeded while it is attached.
    Order(u64, Order),
    /// The process ends.
    Close,
}

/// What a generation orders.
pub(super) enum Order {
    Feed(Vec<Feed>),
    Release(Vec<PartitionId>),
    Publish(Vec<(PartitionId, Offset)>),
    Renew(String),
    Leave,
}

struct Generation {
    attachment: Attachment,
    sinks: BTreeMap<PartitionId, Box<dyn Fn(RecordBatch) + Send>>,
}

impl Generation {
    fn tell(&self, event: SourceEvent) {
        self.attachment.events.do_send(event);
    }

    /// How many records it may be given.
    fn room(&self) -> usize {
        if self.sinks.is_empty() { 0 } else { self.attachment.intake.room() }
    }
}

/// How long leaving the group may take where the group has given it nothing yet: there is next to nothing to leave.
const NEVER_JOINED_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Poller {
    consumer: Arc<Consumer>,
    topic: String,
    orders: mpsc::Receiver<Command>,
    queue: DataQueue,
    /// What the group has given to this member.
    assigned: BTreeSet<PartitionId>,
    /// Whether the group waits for partitions to be let go.
    owes_release: bool,
    /// Whether the group has given it anything yet, be it no partition.
    has_joined: bool,
    /// How far each partition that the client fetches was taken.
    positions: BTreeMap<PartitionId, Position>,
    generation: Option<Generation>,
    life: Arc<Life>,
    last_beat: Instant,
    trouble: Seldom<()>,
}

impl Drop for Poller {
    fn drop(&mut self) {
        // Before its generation hears of that, which may be while a panic unwinds: the next one must not attach here.
        self.life.end();
    }
}

impl Poller {
    pub(super) fn new(
        consumer: Arc<Consumer>,
        topic: String,
        orders: mpsc::Receiver<Command>,
        life: Arc<Life>,
    ) -> Self {
        let queue = DataQueue::new(&consumer, BATCH);
        Self {
            consumer,
            topic,
            orders,
            queue,
            assigned: BTreeSet::new(),
            owes_release: false,
            has_joined: false,
            positions: BTreeMap::new(),
            generation: None,
            life,
            last_beat: Instant::now(),
            trouble: Seldom::default(),
        }
    }

    /// Serves until told to leave, until the client is broken, or until nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        let _span = error_span!("KafkaPoller").entered();
        while !self.life.has_ended() {
            self.beat();
            match self.orders.try_recv() {
                Err(mpsc::TryRecvError::Disconnected) | Ok(Command::Close) => return self.leave(),
                Ok(Command::Order(generation, Order::Leave)) if self.serves(generation) => {
                    return self.leave();
                }
                Ok(command) => {
                    self.obey(command);
                    continue;
                }
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let room = self.generation.as_ref().map_or(0, Generation::room);
            let began = Instant::now();
            self.serve_group(if room > 0 { Duration::ZERO } else { PAUSE });
            if room == 0
                && let Some(generation) = &self.generation
                && !generation.sinks.is_empty()
            {
                generation.attachment.intake.waited(began.elapsed());
            }
            if room > 0 {
                self.deliver(room);
            }
        }
    }

    /// Whether this generation is attached.
    fn serves(&self, generation: u64) -> bool {
        self.generation.as_ref().is_some_and(|here| here.attachment.generation == generation)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Attach(attachment) => {
                self.detach();
                let generation = Generation { attachment, sinks: BTreeMap::new() };
                if self.has_joined {
                    generation.tell(SourceEvent::IsMember);
                }
                if !self.assigned.is_empty() {
                    generation.tell(SourceEvent::Assigned(self.assigned.iter().copied().collect()));
                }
                self.generation = Some(generation);
            }
            Command::Detach => self.detach(),
            Command::Close => {}
            Command::Order(generation, order) if self.serves(generation) => match order {
                Order::Feed(feeds) => self.feed(feeds),
                Order::Release(partitions) => self.release(&partitions),
                Order::Publish(offsets) => self.publish(&offsets),
                Order::Renew(reason) => self.give_up(reason),
                Order::Leave => {}
            },
            Command::Order(generation, _) => debug!(generation, "an order of a former generation"),
        }
    }

    /// Callbacks, rebalances and errors: everything that is not data.
    fn serve_group(&mut self, wait: Duration) {
        if let Some(Err(error)) = self.consumer.poll(wait) {
            self.group_error(&error);
        }
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            self.life.end();
            self.fail(match code {
                RDKafkaErrorCode::FencedInstanceId => SourceError::Configuration(
                    "another process has joined the group with the same group.instance.id and takes this one's place: \
                     give each instance one of its own (kafka.properties.\"group.instance.id\")"
                        .to_owned(),
                ),
                code => SourceError::Unavailable(format!("{reason} ({code})")),
            });
        }
        while let Some(note) = self.consumer.context().next() {
            fault_point!("poller::rebalance");
            match note {
                Note::Assign(partitions) => self.assigned(partitions),
                Note::Revoke(partitions) => self.revoked(partitions),
                Note::BrokersAway(reason) => {
                    if let Some(generation) = &self.generation {
                        generation.tell(SourceEvent::BrokersAway(reason));
                    }
                }
            }
        }
    }

    /// The group refuses this member; where its settings are at fault, trying again changes nothing.
    fn group_error(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let wrong = match error.rdkafka_error_code() {
            Some(Code::InvalidSessionTimeout) => {
                "session.timeout.ms lies outside what the brokers allow (group.min.session.timeout.ms, 6 s by default, to \
                 group.max.session.timeout.ms)"
            }
            Some(Code::InconsistentGroupProtocol) => {
                "the group's other members use another protocol or assignment strategy: stop them, or set kafka.group to \
                 a name of its own"
            }
            Some(Code::InvalidGroupId) => "kafka.group is no name that the brokers take",
            Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => {
                if let Some(generation) = &self.generation {
                    generation.tell(SourceEvent::Refused(error.to_string()));
                }
                return;
            }
            _ => {
                if self.trouble.is_news(()) {
                    warn!(%error, "Kafka consumer; the client goes on trying");
                }
                return;
            }
        };
        self.fail(SourceError::Configuration(format!("{error}: {wrong}")));
    }

    fn assigned(&mut self, partitions: Vec<PartitionId>) {
        info!(partitions = %numbers(&partitions), "the group assigns partitions");
        self.assigned.extend(&partitions);
        self.has_joined = true;
        if let Some(generation) = &self.generation {
            generation.tell(SourceEvent::Joined);
        }
        match &self.generation {
            Some(generation) if !partitions.is_empty() => {
                generation.tell(SourceEvent::Assigned(partitions));
            }
            // The group waits for an answer, also where there is nothing to take up.
            _ => self.take_up(&self.list([])),
        }
    }

    fn revoked(&mut self, partitions: Vec<PartitionId>) {
        info!(partitions = %numbers(&partitions), "the group revokes partitions");
        self.owes_release = true;
        for partition in &partitions {
            self.assigned.remove(partition);
        }
        match &self.generation {
            Some(generation) if !partitions.is_empty() => {
                generation.tell(SourceEvent::Revoked(partitions));
            }
            _ => self.release(&partitions),
        }
    }

    fn feed(&mut self, feeds: Vec<Feed>) {
        let Some(generation) = &mut self.generation else { return };
        let mut from = BTreeMap::new();
        for feed in feeds {
            if self.assigned.contains(&feed.partition) {
                debug!(partition = %feed.partition, from = %feed.from, "reading");
                self.queue.forward(&self.topic, feed.partition);
                from.insert(feed.partition, Position::of(feed.from));
                generation.sinks.insert(feed.partition, feed.sink);
            }
        }
        let list = self.list(from.iter().map(|(partition, at)| (*partition, Some(at.next))));
        self.take_up(&list);
        self.positions.extend(from);
    }

    fn take_up(&mut self, list: &TopicPartitionList) {
        self.consumer.context().taken_up();
        fault_point!("poller::taken_up", undone);
        self.answer("taken up", assign(&self.consumer, list));
    }

    fn release(&mut self, partitions: &[PartitionId]) {
        if let Some(generation) = &mut self.generation {
            generation.sinks.retain(|partition, _| !partitions.contains(partition));
        }
        // What was given and is not fetched yet is let go by this answer alone.
        let fetched =
            partitions.iter().filter(|partition| self.positions.remove(partition).is_some());
        let fetched: Vec<_> = fetched.copied().collect();
        self.put_down(fetched);
    }

    /// Stops fetching without leaving the group: what was fetched for a former generation must not reach the next. What
    /// it had not yet let go is let go by that, also where nothing of it was ever fetched.
    fn stop_fetching(&mut self) {
        let fetched: Vec<_> = std::mem::take(&mut self.positions).into_keys().collect();
        if self.owes_release || !fetched.is_empty() {
            self.put_down(fetched);
        }
    }

    fn put_down(&mut self, fetched: Vec<PartitionId>) {
        let list = self.list(fetched.into_iter().map(|partition| (partition, None)));
        self.owes_release = false;
        self.answer("put down", unassign(&self.consumer, &list));
    }

    fn publish(&mut self, offsets: &[(PartitionId, Offset)]) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in
            offsets.iter().filter(|(partition, _)| self.assigned.contains(partition))
        {
            // Only an offset below zero is refused.
            let _ =
                list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(offset.0));
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            debug!(%error, "offsets are not shown to lag tools");
        }
    }

    /// Takes one batch of at most `room` messages and hands each partition its share.
    fn deliver(&mut self, room: usize) {
        let messages = self.queue.take(room, BATCH_WAIT);
        fault_point!("poller::batch");
        for (partition, share) in shares(messages) {
            if let Some(error) = share.error {
                self.partition_error(partition, error);
            }
            if !self.follows(partition, &share) {
                continue;
            }
            let Some(generation) = &self.generation else { return };
            if let (Some(sink), true) = (generation.sinks.get(&partition), share.has_news()) {
                let records = KafkaRecords {
                    messages: share.messages,
                    _consumer: Arc::clone(&self.consumer),
                };
                let intake = &generation.attachment.intake;
                let credit = intake.lend(records.messages.len(), records.bytes());
                sink(RecordBatch { records: Box::new(records), credit, end: share.end });
            }
        }
    }

    fn partition_error(&mut self, partition: PartitionId, error: RDKafkaErrorCode) {
        if error == RDKafkaErrorCode::AutoOffsetReset {
            // The wanted offset is gone; a new generation compares progress with what the brokers have.
            self.fail(SourceError::Unavailable(format!("partition {partition}: {error}")));
        } else if self.trouble.is_news(()) {
            warn!(%partition, %error, "partition; the client goes on trying");
        }
    }

    fn leave(mut self) {
        self.consumer.context().leave();
        self.stop_fetching();
        close(&self.consumer, if self.has_joined { LEAVE_LIMIT } else { NEVER_JOINED_LIMIT });
        if let Some(generation) = self.generation.take() {
            generation.attachment.watch.retire();
            generation.tell(SourceEvent::Left);
        }
    }

    /// A sign of life, for this generation and for the next.
    fn beat(&mut self) {
        if self.last_beat.elapsed() < HEARTBEAT {
            return;
        }
        self.last_beat = Instant::now();
        self.life.heart.beat();
        if let Some(generation) = &self.generation {
            generation.attachment.watch.beat();
            for partition in self.positions.keys() {
                if let Some(end) = self.queue.end_of(&self.topic, *partition) {
                    generation.attachment.partitions.ends(*partition, end);
                }
            }
        }
    }

    fn detach(&mut self) {
        if let Some(generation) = self.generation.take() {
            generation.attachment.watch.retire();
        }
        self.stop_fetching();
    }

    /// Ends the generation; the next finds out what there is to do.
    fn fail(&mut self, error: SourceError) {
        if let Some(generation) = self.generation.take() {
            generation.attachment.watch.retire();
            generation.tell(SourceEvent::Failed(error));
        }
    }

    /// Whether a share continues where the partition was left. Where the client skips offsets behind an end that it told,
    /// it is asked once more: markers of transactions are skipped again, a record is not.
    fn follows(&mut self, partition: PartitionId, share: &Share) -> bool {
        let Some(position) = self.positions.get_mut(&partition) else { return true };
        if let Some(first) = share.first()
            && position.must_be_asked_again(first)
        {
            let from = position.next;
            debug!(%partition, %from, to = %first, "offsets were skipped; reading them again");
            self.seek([(partition, from)]);
            return false;
        }
        position.taken(share.last(), share.end);
        true
    }

    /// Reads on from these offsets.
    fn seek(&self, positions: impl IntoIterator<Item = (PartitionId, Offset)>) {
        let list = self.list(positions.into_iter().map(|(partition, at)| (partition, Some(at))));
        if list.count() > 0
            && let Err(error) = self.consumer.seek_partitions(list, Duration::ZERO)
        {
            warn!(%error, "partitions cannot be read on from where they were left");
        }
    }

    fn list(
        &self,
        partitions: impl IntoIterator<Item = (PartitionId, Option<Offset>)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            let offset =
                offset.map_or(KafkaOffset::Invalid, |offset| KafkaOffset::Offset(offset.0));
            // Only an offset below zero is refused, and then the partition is read from nowhere, which is noticed.
            let _ = list.add_partition_offset(&self.topic, partition.0, offset);
        }
        list
    }

    /// Gives the client up: the next generation gets another.
    fn give_up(&mut self, reason: String) {
        self.life.end();
        self.fail(SourceError::Unavailable(reason));
    }

    /// After an answer to the group the client reads all other partitions on from where it believes them to be. With
    /// batches it counts the word that a partition has ended as a record (librdkafka #4844, in every release that
    /// rdkafka-sys has), and would skip one.
    ///
    /// Where the client takes no answer, the group would wait for one for ever.
    fn answer(&mut self, what: &str, outcome: Result<(), KafkaError>) {
        if let Err(error) = outcome {
            return self.give_up(format!("partitions are not {what}: {error}"));
        }
        self.seek(self.positions.iter().map(|(partition, at)| (*partition, at.next)));
    }
}

/// Partitions for people: `0, 3, 7`.
fn numbers(partitions: &[PartitionId]) -> String {
    let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}
