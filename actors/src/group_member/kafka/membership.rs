//! The consumer and its place in the group: rebalances are noted here and answered later, by command.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitstream_domain::progress::PartitionId;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka_sys::RDKafkaRespErr;
use tracing::{debug, error, info, warn};

use super::complaint::{Complaint, unusable_settings};
use super::place::Place;
use super::seldom::Seldom;
use crate::clock;
use crate::contact::Unconfirmed;
use crate::settings::{DEFAULT_SESSION_TIMEOUT_MS, KafkaSettings};
use crate::source::SourceError;

/// The Kafka consumer.
pub(super) type Consumer = BaseConsumer<Membership>;

/// What hitstream sets unless `[kafka.properties]` says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "hitstream"),
    ("partition.assignment.strategy", STRATEGY),
    // A killed instance's partitions move within 10 s: this, a heartbeat of the others, and their first commit. Brokers
    // allow no less than 6 s unless told to.
    ("session.timeout.ms", DEFAULT_SESSION_TIMEOUT_MS),
    ("heartbeat.interval.ms", "1000"),
    ("fetch.queue.backoff.ms", "5"),
    // A response is unpacked in memory as a whole, to several times its size: small ones bound that. A batch that is
    // larger still comes, alone.
    ("fetch.max.bytes", "2097152"),
    ("fetch.message.max.bytes", "262144"),
    ("queued.max.messages.kbytes", "8192"),
    // So long may a topic that is created after the start, or a partition that is added, go unnoticed.
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// Those of them that the client refuses with `group.protocol=consumer`: there the brokers have the say.
const BROKERS_DECIDE: &[&str] =
    &["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

/// The one strategy whose assignments are taken up and given back partition by partition.
const STRATEGY: &str = "cooperative-sticky";

/// What hitstream needs: offsets live in PostgreSQL, ends of partitions are told, lost records are noticed.
const REQUIRED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
];

/// How often a member's client tells at which step of joining it is.
const STATISTICS: (&str, &str) = ("statistics.interval.ms", "2000");

/// What the client has called back with.
#[derive(Debug)]
pub(super) enum Note {
    /// The group gives partitions, and waits for the answer.
    Assign(Vec<PartitionId>),
    /// The group takes partitions back, and waits for the answer.
    Revoke(Vec<PartitionId>),
    /// No broker can be reached.
    BrokersAway(String),
}

/// Notes callbacks for the poller. librdkafka waits for the answer, which need not come from the callback.
#[derive(Debug)]
pub(super) struct Membership {
    notes: Mutex<VecDeque<Note>>,
    place: Mutex<Place>,
    said: Mutex<Seldom<Option<RDKafkaErrorCode>>>,
    trouble: Complaint,
    leaving: AtomicBool,
    /// Whether its complaints are for whoever asked, and not for the log.
    is_quiet: bool,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            notes: Mutex::default(),
            place: Mutex::new(Place::new(clock::monotonic())),
            said: Mutex::default(),
            trouble: Complaint::default(),
            leaving: AtomicBool::new(false),
            is_quiet: false,
        }
    }
}

impl Membership {
    /// The oldest note not yet heeded.
    pub(super) fn next(&self) -> Option<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// What the client last complained of: a refused connection, refused credentials.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.last()
    }

    /// From now on rebalances are answered at once.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// What the group has not confirmed.
    pub(super) fn unconfirmed(&self) -> Option<Unconfirmed> {
        self.place().unconfirmed(clock::monotonic())
    }

    /// The group's partitions were taken up.
    pub(super) fn taken_up(&self) {
        self.place().taken_up();
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: Note) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push_back(note);
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            _ if self.is_quiet => {
                debug!(facility, "{message}");
                self.trouble.line(message);
            }
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(facility, "{message}")
            }
            // A connection that fails is an error to the client; it goes on trying.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(facility, "{message}"),
            RDKafkaLogLevel::Debug => debug!(facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.place().told(clock::monotonic(), statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_quiet {
            debug!(%error, reason, "Kafka client");
        } else if said.is_news(code) {
            warn!(%error, reason, "Kafka client");
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(Note::BrokersAway(reason.to_owned()));
        } else {
            self.trouble.error(reason);
        }
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers: Vec<PartitionId> =
            partitions.elements().iter().map(|element| PartitionId(element.partition())).collect();
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS if !self.leaving.load(Relaxed) => {
                self.place().assigned();
                self.note(Note::Assign(numbers));
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if !self.leaving.load(Relaxed) => {
                self.note(Note::Revoke(numbers));
            }
            _ => {
                if let Err(error) = unassign(consumer, partitions) {
                    warn!(%error, "partitions could not be let go");
                }
            }
        }
    }
}

/// Takes partitions up, in the manner of the group's protocol.
pub(super) fn assign(
    consumer: &Consumer,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

/// Lets partitions go, in the manner of the group's protocol.
pub(super) fn unassign(
    consumer: &Consumer,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

/// How long leaving the group may take.
pub(super) const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// Leaves the group in order, as far as the brokers answer; blocks until that is done, at most for `limit`.
pub(super) fn close(consumer: &Consumer, limit: Duration) {
    let begun = clock::monotonic();
    consumer.context().leave();
    // What the group still waits for. Not later: librdkafka drops without a word what it is told when the end has come, and
    // whoever told it waits for ever.
    let nothing = TopicPartitionList::new();
    for answered in [assign(consumer, &nothing), unassign(consumer, &nothing)] {
        if let Err(error) = answered {
            debug!(%error, "partitions could not be let go");
        }
    }
    if let Err(error) = consumer.close_queue() {
        debug!(%error, "the group is not left in order");
        return;
    }
    while !consumer.closed() {
        if clock::monotonic().saturating_sub(begun) >= limit {
            warn!(
                ?limit,
                "no broker answers that the group is left; partitions move when the session ends"
            );
            return;
        }
        consumer.poll(Duration::from_millis(50));
    }
}

/// Takes what a client that nobody polls has called back with since.
pub(super) fn forget_callbacks(consumer: &Consumer) {
    while consumer.poll(Duration::ZERO).is_some() || consumer.context().next().is_some() {}
}

/// Makes the client of a member.
pub(super) fn member(settings: &KafkaSettings) -> Result<Consumer, SourceError> {
    with_context(settings, Membership::default(), Some(STATISTICS))
}

/// Makes a client for questions, which joins nothing.
pub(super) fn consumer(settings: &KafkaSettings) -> Result<Consumer, SourceError> {
    with_context(settings, Membership::default(), None)
}

/// Makes a client for one question, whose answer has what it complains of.
pub(super) fn asker(settings: &KafkaSettings) -> Result<Consumer, SourceError> {
    with_context(settings, Membership { is_quiet: true, ..Membership::default() }, None)
}

fn with_context(
    settings: &KafkaSettings,
    context: Membership,
    own: Option<(&str, &str)>,
) -> Result<Consumer, SourceError> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        if !(settings.uses_consumer_protocol() && BROKERS_DECIDE.contains(key)) {
            config.set(*key, *value);
        }
    }
    if let Some(strategy) = settings.property("partition.assignment.strategy")
        && strategy != STRATEGY
    {
        return Err(SourceError::Configuration(format!(
            "kafka.properties \"partition.assignment.strategy\" is {strategy:?}, but hitstream needs {STRATEGY:?}: remove it"
        )));
    }
    for (key, value) in &settings.properties {
        if let Some((_, needed)) =
            REQUIRED.iter().find(|(required, needed)| required == key && needed != value)
        {
            return Err(SourceError::Configuration(format!(
                "kafka.properties {key:?} is {value:?}, but hitstream keeps offsets itself and needs {needed:?}: remove it"
            )));
        }
        config.set(key, value);
    }
    for (key, value) in REQUIRED.iter().copied().chain(own) {
        config.set(key, value);
    }
    config.set("group.id", &settings.group);
    if context.is_quiet {
        config.set_log_level(RDKafkaLogLevel::Info);
    }
    config
        .create_with_context(context)
        .map_err(|error| SourceError::Configuration(unusable_settings(&error)))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::settings::{OnDataLoss, StartAt};

    #[test]
    fn client_that_met_no_broker_ends_at_once_whenever_it_is_told_to() {
        let settings = KafkaSettings {
            properties: vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())],
            topic: "hits".to_owned(),
            group: "nobody".to_owned(),
            start: StartAt::Earliest,
            on_data_loss: OnDataLoss::Fail,
        };
        // Side by side: threads that are kept waiting meet what they say to one another half way.
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let consumer = member(&settings).unwrap();
                        consumer.subscribe(&[&settings.topic]).unwrap();
                        close(&consumer, Duration::from_secs(30));
                        assert!(consumer.closed());
                    }
                });
            }
        });
    }
}
