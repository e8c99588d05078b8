//! One instance: the domain's pieces put together as the actors do it.

use std::collections::BTreeMap;

use hitstream_domain::decode::Decoder;
use hitstream_domain::progress::{Ledger, Offset, PartitionId};
use hitstream_domain::reject::{Reject, RejectReason};
use hitstream_domain::rollup::{Delta, KeyHasher, Presum};
use hitstream_domain::time::EventTime;
use hitstream_domain::watermark::{TimeRules, Watermark};

use crate::model::Record;
use crate::store::{Epoch, Part, Store};

/// What an instance holds in memory; a crash loses it.
pub(crate) struct Instance {
    hasher: KeyHasher,
    shards: usize,
    decoder: Decoder,
    readers: BTreeMap<PartitionId, Reader>,
    pub(crate) on_its_way: Option<Epoch>,
}

struct Reader {
    from: Offset,
    next: Offset,
    watermark: Watermark,
    sums: Presum,
    ledger: Ledger,
    rejects: Vec<(Offset, RejectReason)>,
}

impl Instance {
    /// Starts with these partitions, from committed progress.
    pub(crate) fn start(
        partitions: impl Iterator<Item = PartitionId>,
        store: &Store,
        rules: &TimeRules,
        shards: usize,
    ) -> Self {
        let mut instance = Self {
            hasher: KeyHasher::default(),
            shards,
            decoder: Decoder::default(),
            readers: BTreeMap::new(),
            on_its_way: None,
        };
        partitions.for_each(|partition| instance.take_up(partition, store, rules));
        instance
    }

    pub(crate) fn take_up(&mut self, partition: PartitionId, store: &Store, rules: &TimeRules) {
        let progress = store.progress(partition);
        let reader = Reader {
            from: progress.next_offset,
            next: progress.next_offset,
            watermark: Watermark::new(progress.max_event_time, rules.delay),
            sums: Presum::new(self.hasher.clone(), self.shards),
            ledger: Ledger::default(),
            rejects: Vec::new(),
        };
        self.readers.insert(partition, reader);
    }

    /// Reads at most `count` records of one of its partitions, or of none.
    pub(crate) fn read(
        &mut self,
        topic: &[Vec<Record>],
        partition: PartitionId,
        count: usize,
        rules: &TimeRules,
        now: EventTime,
    ) {
        let Some(reader) = self.readers.get_mut(&partition) else { return };
        let records = &topic[usize::try_from(partition.0).unwrap()];
        let next = usize::try_from(reader.next.0).unwrap();
        for record in records[next..].iter().take(count) {
            let read = reader.record(&mut self.decoder, record, rules, now);
            if let Err(reject) = read {
                reader.ledger.rejected += 1;
                reader.rejects.push((reader.next, reject.reason));
            }
            reader.ledger.records += 1;
            reader.next = reader.next.next();
        }
    }

    /// Ends the epoch, unless one is on its way.
    pub(crate) fn cut(&mut self) {
        if self.on_its_way.is_some() {
            return;
        }
        let mut shards = vec![Delta::new(self.hasher.clone()); self.shards];
        let mut parts = Vec::new();
        for (partition, reader) in &mut self.readers {
            shards.iter_mut().zip(reader.sums.take()).for_each(|(sum, delta)| sum.merge(&delta));
            parts.push(Part {
                partition: *partition,
                from: reader.from,
                to: reader.next,
                max_event_time: reader.watermark.max_event_time(),
                ledger: std::mem::take(&mut reader.ledger),
                rejects: std::mem::take(&mut reader.rejects),
            });
            reader.from = reader.next;
        }
        self.on_its_way = Some(Epoch { parts, shards });
    }
}

impl Reader {
    fn record(
        &mut self,
        decoder: &mut Decoder,
        record: &Record,
        rules: &TimeRules,
        now: EventTime,
    ) -> Result<(), Reject> {
        let event = decoder.decode(record.value.as_deref())?;
        rules.check_skew(event.event_time, record.timestamp.map(EventTime::from_micros), now)?;
        let placement = self.watermark.place(event.event_time, &rules.window);
        let pairs = self.sums.add(event.host, [event.referrer], placement);
        self.ledger.accepted += 1;
        self.ledger.counted += pairs.on_time;
        self.ledger.late += pairs.late;
        Ok(())
    }
}
