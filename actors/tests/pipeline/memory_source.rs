//! A consumer group in memory: the twin of `group_member::kafka`, a thread that serves orders and delivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_actors::contact::Contact;
use hitstream_actors::messages::{RecordBatch, SourceEvent};
use hitstream_actors::source::{
    Attachment, Feed, FirstTimestamps, PartitionEnds, PartitionRange, Record, Records, Source,
    SourceError, TopicDescription,
};
use hitstream_domain::progress::{Offset, OffsetRange, PartitionId};
use hitstream_domain::time::EventTime;
use tokio::sync::oneshot;

use crate::model;

const TOPIC_ID: &str = "11111111111111111111111111111111";
/// How long to wait for an order while nothing can be delivered.
const PAUSE: Duration = Duration::from_millis(1);

/// All records of a topic, by partition and offset.
pub(crate) type Topic = Arc<Vec<Vec<model::Record>>>;

/// One membership.
pub(crate) struct MemorySource {
    topic: Topic,
    orders: mpsc::Sender<Order>,
    pub(crate) seen: Arc<Seen>,
}

/// What a test sees and sets of a source.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Records and bytes handed out.
    pub(crate) records: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
    /// How often in a row nothing was handed out because the intake was closed.
    pub(crate) refused: AtomicUsize,
    /// Whether everything fed was handed out, up to the limit.
    pub(crate) is_dry: AtomicBool,
    pub(crate) has_left: AtomicBool,
    /// Generations that attached.
    pub(crate) generations: AtomicUsize,
    /// Whether partitions that were let go are still delivered, and how many such orders were seen.
    pub(crate) holds_releases: AtomicBool,
    pub(crate) releases: AtomicUsize,
    /// Assignments and revocations that the generation was told of.
    pub(crate) assignments: AtomicUsize,
    pub(crate) revocations: AtomicUsize,
    /// The offset past which nothing is handed out, in any partition.
    pub(crate) limit: AtomicUsize,
    /// The end of every partition by the next description; by later ones it is where the records end.
    pub(crate) end: AtomicUsize,
    /// The record that panics the next time it is visited.
    pub(crate) trap: Mutex<Option<(PartitionId, Offset)>>,
    /// How the source stands with brokers and group, until it is renewed.
    pub(crate) contact: Mutex<Contact>,
    /// Why it was renewed.
    pub(crate) renewals: Mutex<Vec<String>>,
}

enum Order {
    Attach(Attachment),
    Detach,
    Feed(Vec<Feed>),
    Release(Vec<PartitionId>),
    Leave,
    Assign(Vec<PartitionId>),
    Revoke(Vec<PartitionId>, oneshot::Sender<()>),
    Lose(Vec<PartitionId>),
    Renew(String),
}

impl MemorySource {
    /// A member to whom `assigned` is given, and who hands out `batch` records at a time.
    pub(crate) fn join(topic: &Topic, assigned: Vec<PartitionId>, batch: usize) -> Arc<Self> {
        let (sender, orders) = mpsc::channel();
        let seen = Arc::new(Seen {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            is_dry: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            generations: AtomicUsize::new(0),
            holds_releases: AtomicBool::new(false),
            releases: AtomicUsize::new(0),
            assignments: AtomicUsize::new(0),
            revocations: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            end: AtomicUsize::new(usize::MAX),
            trap: Mutex::new(None),
            contact: Mutex::default(),
            renewals: Mutex::default(),
        });
        let poller = Poller {
            topic: Arc::clone(topic),
            batch,
            seen: Arc::clone(&seen),
            assigned: assigned.into_iter().collect(),
            generation: None,
            revoked: Vec::new(),
            held: Vec::new(),
        };
        std::thread::spawn(move || poller.run(&orders));
        Arc::new(Self { topic: Arc::clone(topic), orders: sender, seen })
    }

    fn order(&self, order: Order) {
        let _ = self.orders.send(order); // a member that left obeys no more
    }

    /// The group gives partitions.
    pub(crate) fn assign(&self, partitions: Vec<PartitionId>) {
        self.order(Order::Assign(partitions));
    }

    /// The group takes partitions back; the answer comes once they are let go.
    pub(crate) fn revoke(&self, partitions: Vec<PartitionId>) -> oneshot::Receiver<()> {
        let (released, answer) = oneshot::channel();
        self.order(Order::Revoke(partitions, released));
        answer
    }

    /// The group takes partitions away from a member that does not hear of it.
    pub(crate) fn lose(&self, partitions: Vec<PartitionId>) {
        self.order(Order::Lose(partitions));
    }
}

impl Source for MemorySource {
    fn attach(&self, generation: Attachment) {
        self.order(Order::Attach(generation));
    }

    fn detach(&self) {
        self.order(Order::Detach);
    }

    fn describe(&self, _: Duration) -> BoxFuture<'static, Result<TopicDescription, SourceError>> {
        let end = self.seen.end.swap(usize::MAX, SeqCst);
        let range = |(partition, records): (i32, &Vec<_>)| PartitionRange {
            partition: PartitionId(partition),
            low: Offset(0),
            high: Offset(i64::try_from(records.len().min(end)).unwrap()),
        };
        let topic = TopicDescription {
            cluster_id: "memory".to_owned(),
            topic_id: TOPIC_ID.to_owned(),
            partitions: (0..).zip(&*self.topic).map(range).collect(),
        };
        async { Ok(topic) }.boxed()
    }

    fn topic_id(&self) -> BoxFuture<'static, Result<String, SourceError>> {
        async { Ok(TOPIC_ID.to_owned()) }.boxed()
    }

    fn end_of(&self, partition: PartitionId) -> BoxFuture<'static, Result<Offset, SourceError>> {
        let end = self.topic[usize::try_from(partition.0).unwrap()].len();
        async move { Ok(Offset(i64::try_from(end).unwrap())) }.boxed()
    }

    fn contact(&self) -> Contact {
        self.seen.contact.lock().unwrap().clone()
    }

    fn renew(&self, _: u64, reason: String) {
        self.order(Order::Renew(reason));
    }

    fn ends(&self) -> BoxFuture<'static, Result<PartitionEnds, SourceError>> {
        let end = |records: &Vec<_>| Some(Offset(i64::try_from(records.len()).unwrap()));
        let ends = (0..).map(PartitionId).zip(self.topic.iter().map(end)).collect();
        async { Ok(ends) }.boxed()
    }

    fn first_timestamps(
        &self,
        positions: Vec<(PartitionId, Offset)>,
    ) -> BoxFuture<'static, Result<FirstTimestamps, SourceError>> {
        let topic = Arc::clone(&self.topic);
        let came = move |(partition, at): (PartitionId, Offset)| {
            let records = &topic[usize::try_from(partition.0).unwrap()];
            let record = &records[usize::try_from(at.0).unwrap()];
            (partition, record.timestamp.map(EventTime::from_micros))
        };
        let found = positions.into_iter().map(came).collect();
        async { Ok(found) }.boxed()
    }

    fn feed(&self, _: u64, feeds: Vec<Feed>) {
        self.order(Order::Feed(feeds));
    }

    fn release(&self, _: u64, partitions: Vec<PartitionId>) {
        self.order(Order::Release(partitions));
    }

    fn publish_offsets(&self, _: u64, _: Vec<(PartitionId, Offset)>) {}

    fn leave(&self, _: u64) {
        self.order(Order::Leave);
    }
}

struct Poller {
    topic: Topic,
    batch: usize,
    seen: Arc<Seen>,
    assigned: BTreeSet<PartitionId>,
    generation: Option<Generation>,
    revoked: Vec<(BTreeSet<PartitionId>, oneshot::Sender<()>)>,
    held: Vec<PartitionId>,
}

struct Generation {
    attachment: Attachment,
    feeds: BTreeMap<PartitionId, (Feed, bool)>,
}

impl Poller {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            if !self.held.is_empty() && !self.seen.holds_releases.load(SeqCst) {
                let held = std::mem::take(&mut self.held);
                self.release(&held);
            }
            let order = if self.deliver() {
                orders.try_recv().map_err(|error| error == mpsc::TryRecvError::Disconnected)
            } else {
                let answer = orders.recv_timeout(PAUSE);
                answer.map_err(|error| error == mpsc::RecvTimeoutError::Disconnected)
            };
            match order {
                Ok(Order::Leave) | Err(true) => break,
                Ok(order) => self.obey(order),
                Err(false) => {}
            }
        }
        self.seen.has_left.store(true, SeqCst);
        self.tell(SourceEvent::Left);
        self.detach();
    }

    fn obey(&mut self, order: Order) {
        self.seen.is_dry.store(false, SeqCst);
        match order {
            Order::Attach(attachment) => {
                self.detach();
                self.generation = Some(Generation { attachment, feeds: BTreeMap::new() });
                self.seen.generations.fetch_add(1, SeqCst);
                self.tell(SourceEvent::Joined);
                self.given(self.assigned.iter().copied().collect());
            }
            Order::Detach => self.detach(),
            Order::Feed(feeds) => {
                let Some(generation) = &mut self.generation else { return };
                let known =
                    feeds.into_iter().filter(|feed| self.assigned.contains(&feed.partition));
                generation.feeds.extend(known.map(|feed| (feed.partition, (feed, false))));
            }
            Order::Release(partitions) if self.seen.holds_releases.load(SeqCst) => {
                self.held.extend(partitions);
                self.seen.releases.fetch_add(1, SeqCst);
            }
            Order::Release(partitions) => {
                self.seen.releases.fetch_add(1, SeqCst);
                self.release(&partitions);
            }
            Order::Leave => {}
            Order::Assign(partitions) => {
                self.assigned.extend(&partitions);
                self.given(partitions);
            }
            Order::Revoke(partitions, released) => {
                self.assigned.retain(|partition| !partitions.contains(partition));
                self.revoked.push((partitions.iter().copied().collect(), released));
                if self.generation.is_some() {
                    self.tell(SourceEvent::Revoked(partitions));
                    self.seen.revocations.fetch_add(1, SeqCst);
                } else {
                    self.release(&partitions);
                }
            }
            Order::Renew(reason) => {
                *self.seen.contact.lock().unwrap() = Contact::default();
                self.seen.renewals.lock().unwrap().push(reason.clone());
                self.tell(SourceEvent::Failed(SourceError::Unavailable(reason)));
                self.detach();
            }
            Order::Lose(partitions) => {
                self.assigned.retain(|partition| !partitions.contains(partition));
            }
        }
    }

    fn detach(&mut self) {
        if let Some(generation) = self.generation.take() {
            generation.attachment.watch.retire();
        }
    }

    fn given(&self, partitions: Vec<PartitionId>) {
        if !partitions.is_empty() {
            self.tell(SourceEvent::Assigned(partitions));
            self.seen.assignments.fetch_add(1, SeqCst);
        }
    }

    fn tell(&self, event: SourceEvent) {
        if let Some(generation) = &self.generation {
            generation.attachment.events.do_send(event);
        }
    }

    fn release(&mut self, partitions: &[PartitionId]) {
        if let Some(generation) = &mut self.generation {
            generation.feeds.retain(|partition, _| !partitions.contains(partition));
        }
        for (waiting, _) in &mut self.revoked {
            waiting.retain(|partition| !partitions.contains(partition));
        }
        for (_, released) in self.revoked.extract_if(.., |(waiting, _)| waiting.is_empty()) {
            let _ = released.send(());
        }
    }

    /// One batch of each partition, if there is any and it may be; whether there was.
    fn deliver(&mut self) -> bool {
        let Some(Generation { attachment, feeds }) = &mut self.generation else { return false };
        attachment.watch.beat();
        let intake = &attachment.intake;
        let limit = self.seen.limit.load(SeqCst);
        let mut any = false;
        for (feed, has_ended) in feeds.values_mut() {
            let partition = usize::try_from(feed.partition.0).unwrap();
            let from = usize::try_from(feed.from.0).unwrap();
            let end = self.topic[partition].len();
            let to = end.min(limit).min(from + self.batch);
            if from >= to && (from < end || *has_ended) {
                continue;
            }
            let room = intake.room();
            if room == 0 {
                self.seen.refused.fetch_add(1, SeqCst);
                return false;
            }
            let to = to.min(from + room);
            *has_ended = to == end;
            feed.from = Offset(i64::try_from(to).unwrap());
            let records = MemoryRecords {
                topic: Arc::clone(&self.topic),
                partition,
                offsets: from..to,
                seen: Arc::clone(&self.seen),
            };
            let bytes = records.bytes();
            self.seen.refused.store(0, SeqCst);
            self.seen.records.fetch_add(to - from, SeqCst);
            self.seen.bytes.fetch_add(bytes, SeqCst);
            let end = has_ended.then_some(feed.from);
            let credit = intake.lend(to - from, bytes);
            (feed.sink)(RecordBatch { records: Box::new(records), credit, end });
            any = true;
        }
        self.seen.is_dry.store(!any && !feeds.is_empty(), SeqCst);
        any
    }
}

/// Records that stay in their topic.
struct MemoryRecords {
    topic: Topic,
    partition: usize,
    offsets: std::ops::Range<usize>,
    seen: Arc<Seen>,
}

impl Records for MemoryRecords {
    fn for_each(&self, visit: &mut dyn FnMut(Record<'_>)) {
        for at in self.offsets.clone() {
            let offset = Offset(i64::try_from(at).unwrap());
            let here = (PartitionId(i32::try_from(self.partition).unwrap()), offset);
            let sprung = self.seen.trap.lock().unwrap().take_if(|trap| *trap == here);
            assert!(sprung.is_none(), "the trap at {here:?} is sprung, as ordered");
            let record = &self.topic[self.partition][at];
            visit(Record {
                offset,
                timestamp: record.timestamp.map(EventTime::from_micros),
                value: record.value.as_deref(),
            });
        }
    }

    fn range(&self) -> Option<OffsetRange> {
        let offset = |at: usize| Offset(i64::try_from(at).unwrap());
        let partition = PartitionId(i32::try_from(self.partition).unwrap());
        let (from, to) = (offset(self.offsets.start), offset(self.offsets.end));
        (from < to).then_some(OffsetRange { partition, from, to })
    }

    fn bytes(&self) -> usize {
        let records = &self.topic[self.partition][self.offsets.clone()];
        records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum()
    }
}
