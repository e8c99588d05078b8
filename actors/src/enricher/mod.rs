//! `Enricher`: one of a pool that completes events by where their visitors are. For now it passes them through with
//! empty geographic columns; its place in the epoch is what it will stay.

pub mod database;

use std::collections::BTreeMap;

use actix::{Actor, Context, Handler};
use hitstream_domain::rollup::KeyHasher;

use crate::faults::fault_point;
use crate::link::{DeathWatch, Link, Watched};
use crate::messages::{EpochPart, EventBatch, EventsEnd, HitsEnd, Part};
use crate::packed::{FrozenRows, PackedRows};
use crate::window::WindowShard;
use crate::writer::Writer;

/// Columns of `processed_events` in the order in which they are sent.
pub const EVENT_FIELDS: &[&str] = &[
    "topic",
    "incarnation",
    "partition",
    "\"offset\"",
    "kafka_time",
    "event_time",
    "host",
    "referrer",
    "url",
    "user_agent",
    "ip",
    "headers",
    "geo_source",
    "geo_status",
    "country_code",
    "country",
    "region",
    "city",
    "latitude",
    "longitude",
    "time_zone",
    "asn",
    "as_name",
];

/// How many columns that is, as a row's header has it.
pub(crate) const EVENT_COLUMNS: i16 = 23;

/// How many of them this actor adds: those from `geo_source` on.
const GEO_COLUMNS: usize = 11;
/// What they take in each row while they are NULL.
pub(crate) const GEO_BYTES: usize = GEO_COLUMNS * size_of::<i32>();

/// The enricher, of `count`, that looks after an address, so that each address lives in one cache.
pub(crate) fn enricher_for(ip: Option<&str>, hasher: &KeyHasher, count: usize) -> usize {
    hasher.shard(ip, count)
}

/// Completes events, keyed by IP.
pub struct Enricher {
    /// Sums by geographic keys will go there, and the mark goes there now.
    shards: Vec<Link<WindowShard>>,
    writer: Link<Writer>,
    /// Completed events by epoch, a piece for each batch: consumers pass a cut one after another, so that two epochs
    /// overlap here.
    rows: BTreeMap<u64, Vec<FrozenRows>>,
    /// Consumers whose events of the ending epoch are all here.
    marks: usize,
    watch: DeathWatch,
}

impl Enricher {
    /// An enricher without events.
    pub fn new(shards: Vec<Link<WindowShard>>, writer: Link<Writer>, watch: DeathWatch) -> Self {
        Self { shards, writer, rows: BTreeMap::new(), marks: 0, watch }
    }
}

impl Watched for Enricher {
    fn watch(&self) -> &DeathWatch {
        &self.watch
    }
}

impl Actor for Enricher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.live(ctx);
    }
}

impl Handler<EventBatch> for Enricher {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Self::Context) {
        if let Some(range) = batch.events.range() {
            self.watch.working_on(range);
        }
        fault_point!("enricher::events");
        let (count, bytes) = (batch.events.len(), batch.events.bytes());
        let mut rows = PackedRows::with_capacity(count, bytes + count * GEO_BYTES);
        for (origin, fields) in batch.events.rows() {
            rows.fields(fields);
            for _ in 0..GEO_COLUMNS {
                rows.null();
            }
            rows.end(origin.partition, origin.offset, origin.day);
        }
        self.rows.entry(batch.epoch).or_default().push(rows.freeze());
    }
}

impl Handler<EventsEnd> for Enricher {
    type Result = ();

    fn handle(&mut self, EventsEnd(cut): EventsEnd, _: &mut Self::Context) {
        self.marks += 1;
        if self.marks < cut.consumers {
            return;
        }
        self.marks = 0;
        fault_point!("enricher::before_handing_over");
        let rows = self.rows.remove(&cut.epoch).unwrap_or_default();
        for shard in &self.shards {
            shard.send(HitsEnd(cut));
        }
        self.writer.send(EpochPart { cut, part: Part::Events(rows) });
        fault_point!("enricher::after_handing_over");
    }
}
