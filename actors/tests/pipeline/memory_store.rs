//! Tables in memory: the twin of `writer::postgres`, with faults to order.

use std::collections::BTreeSet;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_actors::enricher::EVENT_FIELDS;
use hitstream_actors::messages::PartitionPart;
use hitstream_actors::packed::FrozenRows;
use hitstream_actors::refuse::{Kept, RefuseList};
use hitstream_actors::source::TopicDescription;
use hitstream_actors::store::{Claims, Move, Open, Store, StoreError, Survey, TopicProgress};
use hitstream_actors::window::SortedRow;
use hitstream_actors::writer::Epoch;
use hitstream_domain::frontier::PartitionClock;
use hitstream_domain::progress::{Ledger, Offset, PartitionId, PartitionProgress};
use hitstream_domain::rollup::ROLLUPS;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::TimeRules;
use tokio::sync::watch;

use crate::model::Sums;

/// What happens to one try to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Out of reach, nothing done.
    Before,
    /// Done, but the answer is lost.
    After,
    /// Another owner was there.
    Fenced,
    /// A defect: the actor that asked dies.
    Panic,
}

/// What the tables do not take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusals {
    /// Sums of this host.
    pub(crate) host: Option<&'static str>,
    /// The event of this record.
    pub(crate) event: Option<(i32, i64)>,
    /// The rejected record at this place, unless it comes without payload.
    pub(crate) reject: Option<(i32, i64)>,
}

/// What is committed.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) frontier: EventTime,
    pub(crate) progress: BTreeMap<PartitionId, (PartitionProgress, Ledger)>,
    pub(crate) finals: Sums,
    pub(crate) open: Sums,
    pub(crate) late: Sums,
    /// Reasons, by partition and offset.
    pub(crate) rejected: BTreeMap<(i32, i64), String>,
    /// Host and referrer, by partition and offset.
    pub(crate) events: BTreeMap<(i32, i64), (Option<String>, Option<String>)>,
    /// Source, status and country code, by partition and offset.
    pub(crate) places: BTreeMap<(i32, i64), [Option<String>; 3]>,
    /// Hits of the rollups beside the first, on time or late, by rollup, window, host and country code.
    pub(crate) by_place: BTreeMap<(usize, i64, Option<String>, Option<String>), u64>,
}

/// The store itself.
pub(crate) struct MemoryStore {
    rules: TimeRules,
    tables: Mutex<Tables>,
    /// What happens to the next tries; afterwards all is well.
    pub(crate) faults: Mutex<VecDeque<Option<Fault>>>,
    pub(crate) refusals: Refusals,
    /// Whether the next survey is a defect, so that the actor that asked dies.
    pub(crate) survey_panics: AtomicBool,
    /// Commits wait while this is false.
    pub(crate) gate: watch::Sender<bool>,
    /// Tries to commit.
    pub(crate) tries: AtomicUsize,
}

impl MemoryStore {
    pub(crate) fn new(rules: TimeRules) -> Self {
        let tables = Tables {
            frontier: EventTime::NEG_INFINITY,
            progress: BTreeMap::new(),
            finals: Sums::new(),
            open: Sums::new(),
            late: Sums::new(),
            rejected: BTreeMap::new(),
            events: BTreeMap::new(),
            places: BTreeMap::new(),
            by_place: BTreeMap::new(),
        };
        Self {
            rules,
            tables: Mutex::new(tables),
            faults: Mutex::default(),
            refusals: Refusals::default(),
            survey_panics: AtomicBool::new(false),
            gate: watch::Sender::new(true),
            tries: AtomicUsize::new(0),
        }
    }

    pub(crate) fn tables(&self) -> Tables {
        self.tables.lock().unwrap().clone()
    }

    fn commit_now(&self, epoch: &Epoch) -> Result<Ledger, StoreError> {
        let refused = self.refused(epoch);
        if !refused.is_empty() {
            return Err(StoreError::Refused("as ordered".to_owned()));
        }
        let fault = self.faults.lock().unwrap().pop_front().flatten();
        match fault {
            Some(Fault::Before) => return Err(StoreError::Unavailable("as ordered".to_owned())),
            Some(Fault::Fenced) => return Err(StoreError::Fenced("as ordered".to_owned())),
            Some(Fault::Panic) => panic!("the writer dies, as ordered"),
            Some(Fault::After) | None => {}
        }
        let ledger = self.tables.lock().unwrap().commit(epoch, &self.rules)?;
        match fault {
            Some(_) => Err(StoreError::Unavailable("the answer is lost, as ordered".to_owned())),
            None => Ok(ledger),
        }
    }

    fn refused(&self, epoch: &Epoch) -> RefuseList {
        let mut list = RefuseList::default();
        let rows = epoch.rows(0);
        let of_host = |row: &&SortedRow<'_>| {
            self.refusals.host.is_some() && row.texts.clone().next() == Some(self.refusals.host)
        };
        let said: Arc<str> = "refused, as ordered".into();
        let key = |row: &SortedRow<'_>| ((row.window_start, row.row_key), Arc::clone(&said));
        list.keys.extend(rows.iter().filter(of_host).map(key));
        for (at, _) in epoch.events.iter().flat_map(unpacked) {
            if self.refusals.event == Some(at) {
                list.events.insert((PartitionId(at.0), Offset(at.1)), Arc::clone(&said));
            }
        }
        for (at, fields) in epoch.partitions.iter().flat_map(|part| unpacked(&part.rejects)) {
            if self.refusals.reject == Some(at) && fields[6].is_some() {
                list.rejects.insert((PartitionId(at.0), Offset(at.1)), Kept::Payload);
            }
        }
        list
    }
}

impl Store for MemoryStore {
    fn open_topic<'a>(
        &'a self,
        topic: &'a TopicDescription,
    ) -> BoxFuture<'a, Result<TopicProgress, StoreError>> {
        let mut tables = self.tables.lock().unwrap();
        for range in &topic.partitions {
            let fresh = PartitionProgress {
                partition: range.partition,
                start_offset: range.low,
                next_offset: range.low,
                max_event_time: None,
            };
            tables.progress.entry(range.partition).or_insert((fresh, Ledger::default()));
        }
        let rows = tables.progress.iter().map(|(partition, (row, _))| (*partition, *row));
        let progress = TopicProgress { incarnation: 1, partitions: rows.collect() };
        async { Ok(progress) }.boxed()
    }

    fn commit<'a>(&'a self, epoch: &'a Epoch) -> BoxFuture<'a, Result<Ledger, StoreError>> {
        async {
            self.tries.fetch_add(1, SeqCst);
            // The sender is `self`'s own.
            let _ = self.gate.subscribe().wait_for(|is_open| *is_open).await;
            self.commit_now(epoch)
        }
        .boxed()
    }

    fn find_refused<'a>(
        &'a self,
        epoch: &'a Epoch,
    ) -> BoxFuture<'a, Result<RefuseList, StoreError>> {
        async { Ok(self.refused(epoch)) }.boxed()
    }

    fn survey(&self) -> BoxFuture<'_, Result<Survey, StoreError>> {
        async {
            assert!(!self.survey_panics.swap(false, SeqCst), "the finalizer dies, as ordered");
            Ok(self.tables.lock().unwrap().survey())
        }
        .boxed()
    }

    fn advance(&self, claims: Claims) -> BoxFuture<'_, Result<EventTime, StoreError>> {
        async move {
            let mut tables = self.tables.lock().unwrap();
            let computed = tables.survey().computed(self.rules.delay, claims);
            tables.frontier = tables.frontier.max(computed);
            Ok(tables.frontier)
        }
        .boxed()
    }

    fn move_window(&self) -> BoxFuture<'_, Result<Move, StoreError>> {
        async { Ok(self.tables.lock().unwrap().move_window(&self.rules)) }.boxed()
    }

    fn open(&self) -> BoxFuture<'_, Result<Open, StoreError>> {
        let open = &self.tables.lock().unwrap().open;
        let windows: BTreeSet<_> = open.keys().map(|(window, ..)| window).collect();
        let counted = Open { windows: windows.len() as i64, rows: vec![open.len() as i64] };
        async move { Ok(counted) }.boxed()
    }
}

impl Tables {
    fn commit(&mut self, epoch: &Epoch, rules: &TimeRules) -> Result<Ledger, StoreError> {
        let is_moved = |part: &&PartitionPart| part.from != part.to || part.claim.is_some();
        let moved: Vec<&PartitionPart> = epoch.partitions.iter().filter(is_moved).collect();
        for part in &moved {
            let stands = self.progress[&part.partition].0.next_offset;
            if stands != part.from {
                let reason = format!("partition {} stands at {stands}", part.partition);
                return Err(StoreError::Fenced(reason));
            }
        }
        let mut diverted = self.add_hits(epoch, rules);
        let mut sum = Ledger::default();
        for part in &moved {
            let mut ledger = part.ledger;
            let diverted = std::mem::take(&mut diverted);
            ledger.counted -= diverted;
            ledger.diverted += diverted;
            let (row, books) = self.progress.get_mut(&part.partition).unwrap();
            row.next_offset = part.to;
            row.max_event_time = row.max_event_time.max(part.max_event_time);
            *books += ledger;
            sum += ledger;
            for (at, fields) in unpacked(&part.rejects) {
                let reason = fields[4].clone().unwrap();
                assert_eq!(self.rejected.insert(at, reason), None, "{at:?} is rejected twice");
            }
        }
        for (at, fields) in epoch.events.iter().flat_map(unpacked) {
            let texts = (fields[6].clone(), fields[7].clone());
            assert_eq!(self.events.insert(at, texts), None, "{at:?} is stored twice");
            assert_eq!(fields.len(), EVENT_FIELDS.len(), "{at:?}");
            self.places.insert(at, [12, 13, 14].map(|column| fields[column].clone()));
        }
        Ok(sum)
    }

    fn add_hits(&mut self, epoch: &Epoch, rules: &TimeRules) -> i64 {
        let is_behind = |start| rules.window.starting(start).end <= self.frontier;
        for row in epoch.rows(0) {
            let mut texts = row.texts.clone().map(|text| text.map(str::to_owned));
            let key = (row.window_start.as_micros(), texts.next().unwrap(), texts.next().unwrap());
            let open = if is_behind(row.window_start) { 0 } else { row.tally.on_time };
            let late = row.tally.on_time + row.tally.late - open;
            for (sums, hits) in [(&mut self.open, open), (&mut self.late, late)] {
                if hits > 0 {
                    *sums.entry(key.clone()).or_default() += hits;
                }
            }
        }
        for rollup in 1..ROLLUPS.len() {
            for row in epoch.rows(rollup) {
                let mut texts = row.texts.clone().map(|text| text.map(str::to_owned));
                let (host, country) = (texts.next().unwrap(), texts.next().unwrap());
                let key = (rollup, row.window_start.as_micros(), host, country);
                *self.by_place.entry(key).or_default() += row.tally.on_time + row.tally.late;
            }
        }
        epoch.behind(is_behind)
    }

    fn survey(&self) -> Survey {
        let clock = |row: &PartitionProgress| PartitionClock {
            max_event_time: row.max_event_time,
            idle_until: None,
        };
        let partitions = self.progress.values().map(|(row, _)| row);
        Survey {
            frontier: self.frontier,
            now: EventTime::from_micros(0),
            partitions: partitions
                .map(|row| (row.partition, row.next_offset, clock(row)))
                .collect(),
        }
    }

    fn move_window(&mut self, rules: &TimeRules) -> Move {
        let Some((start, ..)) = self.open.keys().next().cloned() else { return Move::Nothing };
        if rules.window.starting(EventTime::from_micros(start)).end > self.frontier {
            return Move::Nothing;
        }
        assert!(
            self.finals.keys().all(|(moved, ..)| *moved != start),
            "window {start} moves twice"
        );
        self.finals.extend(self.open.extract_if(.., |(window, ..), _| *window == start));
        Move::Moved(EventTime::from_micros(start))
    }
}

/// A row by partition and offset; its fields read as texts, whether they are or not.
type Unpacked = ((i32, i64), Vec<Option<String>>);

fn unpacked(rows: &FrozenRows) -> Vec<Unpacked> {
    let bytes = rows.slices(|_| true).unwrap().concat();
    let mut rest = &bytes[..];
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count);
        rest = left;
        taken
    };
    let unpack = |origin: hitstream_actors::packed::RowOrigin| {
        let columns = i16::from_be_bytes(take(2).try_into().unwrap());
        let field = |_| {
            let length = i32::from_be_bytes(take(4).try_into().unwrap());
            let length = usize::try_from(length).ok()?; // −1 is NULL
            Some(String::from_utf8_lossy(take(length)).into_owned())
        };
        ((origin.partition.0, origin.offset.0), (0..columns).map(field).collect())
    };
    rows.origins().map(unpack).collect()
}
