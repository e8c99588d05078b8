//! The state of one partition within an epoch: records in, sums and rows out. No actor, no clock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hitstream_domain::decode::Decoder;
use hitstream_domain::event::Event;
use hitstream_domain::idle::IdleClaim;
use hitstream_domain::progress::{Ledger, Offset, OffsetRange, PartitionId, PartitionProgress};
use hitstream_domain::reject::{Reject, RejectReason};
use hitstream_domain::rollup::{Delta, KeyHasher, Presum, RowKey, encode_key, row_key};
use hitstream_domain::text::Text;
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::{Placement, TimeRules, Watermark};

use super::book;
use crate::enricher::{EVENT_COLUMNS, RowLayout, enricher_for};
use crate::messages::{PartitionPart, Told};
use crate::packed::{Day, PackedRows};
use crate::refuse::{Kept, RefuseList};
use crate::settings::KeepSettings;
use crate::source::Record;

/// Columns of `rejected_events` that are sent: topic, incarnation, partition, offset, reason, detail, payload,
/// kafka_time.
const REJECT_COLUMNS: i16 = 8;

/// What all partitions of a pipeline have in common.
#[derive(Clone, Debug)]
pub struct FoldSettings {
    /// The topic's name, stored with each row.
    pub topic: Arc<str>,
    /// The topic's incarnation, stored with each row.
    pub incarnation: i32,
    /// Windows, watermark delay and skew.
    pub rules: TimeRules,
    /// Hashes keys in memory, the same for all who exchange sums.
    pub hasher: KeyHasher,
    /// How many window shards there are.
    pub shards: usize,
    /// How many enrichers there are; none where hits are neither stored nor located.
    pub enrichers: usize,
    /// What enrichers are sent of each hit.
    pub layout: RowLayout,
    /// Whether enrichers sum rollups, and need to know each hit's windows.
    pub sums_by_place: bool,
    /// What PostgreSQL refused before.
    pub refuse: Arc<RefuseList>,
    /// What is kept of visitors and records.
    pub keep: Arc<KeepSettings>,
}

/// One partition's state since the last cut, and its watermark.
#[derive(Debug)]
pub struct PartitionFold {
    settings: FoldSettings,
    partition: PartitionId,
    stop_at: Option<Offset>,
    from: Offset,
    next: Offset,
    watermark: Watermark,
    /// Away while a record is decoded.
    decoder: Option<Decoder>,
    sums: Presum,
    ledger: Ledger,
    rejects: PackedRows,
    /// For each enricher, rows with the windows of each.
    events: Vec<(PackedRows, Vec<Placement>)>,
    /// Bytes of events handed on since the last cut: they still take memory.
    events_sent_bytes: usize,
    /// Bytes of events that an enricher's last batch had, more or less.
    typical_batch: usize,
    claim: Option<IdleClaim>,
    told: Told,
}

impl PartitionFold {
    /// Continues after `progress`, or at `first` where the brokers no longer have what comes before; records from
    /// `stop_at` on are ignored.
    pub fn new(
        settings: FoldSettings,
        progress: PartitionProgress,
        first: Offset,
        stop_at: Option<Offset>,
    ) -> Self {
        let next = progress.next_offset.max(first);
        Self {
            partition: progress.partition,
            stop_at,
            from: progress.next_offset,
            next,
            watermark: Watermark::new(progress.max_event_time, settings.rules.delay),
            decoder: None,
            sums: Presum::new(settings.hasher.clone(), settings.shards),
            ledger: Ledger { lost: next.0 - progress.next_offset.0, ..Ledger::default() },
            rejects: PackedRows::default(),
            events: vec![Default::default(); settings.enrichers],
            events_sent_bytes: 0,
            typical_batch: 0,
            claim: None,
            told: Told::default(),
            settings,
        }
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The offset before which everything was taken.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The records taken since the last cut.
    pub fn range(&self) -> OffsetRange {
        OffsetRange { partition: self.partition, from: self.from, to: self.next }
    }

    /// Whether everything before `stop_at` was taken.
    pub fn has_reached_stop(&self) -> bool {
        self.stop_at.is_some_and(|stop| self.next >= stop)
    }

    /// Records accepted since the last cut.
    pub fn accepted(&self) -> i64 {
        self.ledger.accepted
    }

    /// Lets the epoch carry a claim that the partition is idle; a record accepted later takes it off again.
    pub fn claim(&mut self, claim: Option<IdleClaim>) {
        self.claim = claim.or(self.claim);
    }

    /// Distinct (window, key) pairs summed since sums were taken out.
    pub fn keys(&self) -> usize {
        self.sums.len()
    }

    /// Bytes of memory that the epoch holds through this partition, sums that were taken out aside.
    pub fn bytes(&self) -> usize {
        let events: usize = self.events.iter().map(|(rows, _)| rows.bytes()).sum();
        self.sums.bytes() + self.rejects.bytes() + events + self.events_sent_bytes
    }

    /// Takes one record; `now` is the reader's clock.
    pub fn record(&mut self, record: Record<'_>, now: EventTime) {
        if record.offset < self.next {
            return; // delivered before
        }
        if self.stop_at.is_some_and(|end| record.offset >= end) {
            self.ended_at(record.offset);
            return;
        }
        self.next = record.offset.next();
        self.ledger.records += 1;
        if let Some(arrived) = record.timestamp {
            self.told.arrivals.add(arrived);
            self.told.last = Some(arrived);
        }
        // The decoder is moved out so that the event may borrow from it while the rest of the state changes.
        let mut decoder = self.decoder.take().unwrap_or_default();
        let decoded = decode(&mut decoder, record.value);
        let outcome = decoded.and_then(|event| self.accept(&event, record, now));
        if let Err(reject) = outcome {
            self.reject(record, &reject);
        }
        self.decoder = Some(decoder);
    }

    /// Everything before `end` was delivered, also where offsets hold no record (transaction markers, compaction).
    pub fn ended_at(&mut self, end: Offset) {
        let end = self.stop_at.map_or(end, |stop| stop.min(end));
        self.next = self.next.max(end);
    }

    /// Takes out the events since the last call, one batch for each enricher.
    pub fn take_events(&mut self) -> Vec<(PackedRows, Vec<Placement>)> {
        let taken: Vec<_> = self.events.iter_mut().map(std::mem::take).collect();
        let bytes: usize = taken.iter().map(|(rows, _)| rows.bytes()).sum();
        self.events_sent_bytes += bytes;
        self.typical_batch = bytes / taken.len().max(1);
        taken
    }

    /// Takes out the sums since the last call, one for each shard.
    pub fn take_sums(&mut self) -> Vec<Delta> {
        self.sums.take()
    }

    /// Ends the epoch, once its events and sums were taken out: the partition's part in it.
    pub fn cut(&mut self) -> PartitionPart {
        let watermark = self.watermark.value();
        self.told.watermark = (watermark > EventTime::NEG_INFINITY).then_some(watermark);
        let part = PartitionPart {
            partition: self.partition,
            incarnation: self.settings.incarnation,
            from: self.from,
            to: self.next,
            max_event_time: self.watermark.max_event_time(),
            ledger: std::mem::take(&mut self.ledger),
            rejects: std::mem::take(&mut self.rejects).freeze(),
            claim: self.claim.take(),
            told: std::mem::take(&mut self.told),
        };
        self.from = self.next;
        self.events_sent_bytes = 0;
        part
    }

    fn accept(
        &mut self,
        event: &Event<'_>,
        record: Record<'_>,
        now: EventTime,
    ) -> Result<(), Reject> {
        self.settings.rules.check_skew(event.event_time, record.timestamp, now)?;
        // Of what is not kept nothing may be grouped by, either.
        let referrer = event.referrer.map(|referrer| self.settings.keep.privacy.url(referrer));
        let event = &Event { referrer: referrer.as_deref(), ..*event };
        self.check_refused(event, record.offset)?;
        let placement = self.watermark.place(event.event_time, &self.settings.rules.window);
        let pairs = self.sums.add(event.host, [event.referrer], placement.clone());
        self.ledger.accepted += 1;
        self.claim = None;
        self.ledger.sanitised += i64::from(event.sanitised);
        book(&mut self.ledger, pairs);
        self.send(event, record, placement);
        Ok(())
    }

    /// Rejects what PostgreSQL refused before, ahead of the watermark.
    fn check_refused(&self, event: &Event<'_>, offset: Offset) -> Result<(), Reject> {
        let refuse = &self.settings.refuse;
        if refuse.keys.is_empty() && refuse.events.is_empty() {
            return Ok(());
        }
        let refused_key = || {
            let mut key = Vec::new();
            encode_key([event.host, event.referrer], &mut key);
            let row_key: RowKey = row_key(&key);
            let mut windows = self.settings.rules.window.windows_of(event.event_time);
            windows.find_map(|window| refuse.keys.get(&(window.start, row_key)))
        };
        let said = refuse.events.get(&(self.partition, offset)).or_else(refused_key);
        said.map_or(Ok(()), |said| Err(Reject::new(RejectReason::Refused, said.to_string())))
    }

    /// Packs a hit for the enricher of its visitor. The address stays whole until that has located it.
    fn send(&mut self, event: &Event<'_>, record: Record<'_>, placement: Placement) {
        if self.events.is_empty() {
            return;
        }
        let keep = &self.settings.keep;
        // To unescape them costs more than all else here: only where somebody looks at them.
        let are_used = keep.client.is_some() || self.settings.layout == RowLayout::Event;
        let headers = event.headers.filter(|_| are_used).map(Text::to_str);
        let mut ip = event.ip.map(Text::to_str);
        if let Some(rule) = &keep.client
            && let Some(client) = ip
                .as_deref()
                .zip(headers.as_deref())
                .and_then(|(ip, headers)| rule.client(ip, headers))
        {
            ip = Some(client.to_string().into());
        }
        let at = enricher_for(ip.as_deref(), &self.settings.hasher, self.events.len());
        let Some((rows, placements)) = self.events.get_mut(at) else { return };
        if rows.is_empty() {
            // Buffers that grow by doubling leave holes behind.
            rows.reserve(0, self.typical_batch);
        }
        if self.settings.sums_by_place {
            placements.push(placement);
        }
        match self.settings.layout {
            RowLayout::HostAndIp => {
                rows.begin(2).text(event.host).text(ip.as_deref());
            }
            RowLayout::Event => {
                let url = event.url.map(Text::to_str);
                rows.begin(EVENT_COLUMNS)
                    .text(Some(&self.settings.topic))
                    .int(self.settings.incarnation)
                    .int(self.partition.0)
                    .bigint(record.offset.0)
                    .time(record.timestamp)
                    .time(Some(event.event_time))
                    .text(event.host)
                    .text(event.referrer)
                    .text(url.as_deref().map(|url| keep.privacy.url(url)).as_deref())
                    .text(event.user_agent.map(Text::to_str).as_deref())
                    .text(ip.as_deref())
                    .text(
                        headers
                            .as_deref()
                            .and_then(|headers| keep.privacy.headers(headers))
                            .as_deref(),
                    );
                self.ledger.stored += 1;
            }
        }
        rows.end(self.partition, record.offset, Day::of(event.event_time));
    }

    fn reject(&mut self, record: Record<'_>, reject: &Reject) {
        self.ledger.rejected += 1;
        if let Some(count) = self.told.rejected.get_mut(reject.reason as usize) {
            *count += 1;
        }
        let kept = self.settings.refuse.rejects.get(&(self.partition, record.offset));
        let (with_detail, with_payload) = match kept {
            // What is wrong with it is told in words of its own.
            _ if !self.settings.keep.payloads => (false, false),
            None => (true, true),
            Some(Kept::Payload) => (false, true),
            Some(Kept::Detail) => (true, false),
            Some(Kept::Neither) => (false, false),
        };
        let detail = reject.detail.replace('\0', "\u{fffd}");
        self.rejects
            .begin(REJECT_COLUMNS)
            .text(Some(&self.settings.topic))
            .int(self.settings.incarnation)
            .int(self.partition.0)
            .bigint(record.offset.0)
            .text(Some(reject.reason.as_str()))
            .text(with_detail.then_some(&*detail));
        match record.value.filter(|_| with_payload) {
            Some(payload) => self.rejects.raw(payload),
            None => self.rejects.null(),
        };
        self.rejects.time(record.timestamp).end(self.partition, record.offset, Day(0));
    }
}

/// Decodes; a panic, which would be a defect of the decoder, rejects the record like any other fault.
fn decode<'a>(decoder: &'a mut Decoder, value: Option<&'a [u8]>) -> Result<Event<'a>, Reject> {
    let given = AssertUnwindSafe((decoder, value));
    let decoding = move || {
        let whole = given; // or the closure would capture its fields, without the assertion
        let AssertUnwindSafe((decoder, value)) = whole;
        decoder.decode(value)
    };
    catch_unwind(decoding)
        .unwrap_or_else(|_| Err(Reject::new(RejectReason::DecoderPanic, "the decoder panicked")))
}
