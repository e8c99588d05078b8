//! Keeps the model in step with the topic: a record counts when Kafka has acknowledged it, and not before.

use std::collections::VecDeque;

use super::model::{Hit, Model, Rules};

/// The model of a topic that was empty when we began and that nobody else writes to. Both are checked: every
/// acknowledgement must name the offset that follows the one before it.
#[derive(Debug)]
pub(crate) struct Tally {
    model: Model,
    partitions: Vec<Partition>,
    fault: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    in_flight: VecDeque<Sent>,
    next_offset: i64,
}

/// A record on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    kafka_micros: i64,
    hit: Option<Hit>,
}

impl Tally {
    /// A tally of an empty topic.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { model: Model::new(rules), partitions: Vec::new(), fault: None }
    }

    /// Remembers a record that was handed to the Kafka client. One producer keeps the order within a partition.
    pub(crate) fn sent(&mut self, partition: u32, kafka_micros: i64, hit: Option<Hit>) {
        let number = partition as usize;
        if number >= self.partitions.len() {
            self.partitions.resize(number + 1, Partition::default());
        }
        if let Some(partition) = self.partitions.get_mut(number) {
            partition.in_flight.push_back(Sent { kafka_micros, hit });
        }
    }

    /// Takes the answer to the oldest record of `partition` that has none yet: its offset, or that it failed.
    pub(crate) fn answered(&mut self, partition: u32, offset: Option<i64>) {
        let Some(state) = self.partitions.get_mut(partition as usize) else { return };
        let (Some(sent), Some(offset)) = (state.in_flight.pop_front(), offset) else { return };
        let due = state.next_offset;
        // A resent record that had arrived before may be acknowledged without its offset.
        let offset = if offset < 0 { due } else { offset };
        if offset != due {
            self.fault.get_or_insert_with(|| {
                format!(
                    "partition {partition} gave offset {offset} where {due} was due: another producer writes to the \
                     topic, or a record went in although its delivery had failed"
                )
            });
        }
        state.next_offset = offset + 1;
        self.model.record(partition, sent.kafka_micros, sent.hit);
    }

    /// The model of everything that was acknowledged.
    ///
    /// # Errors
    /// Says why the model is not what lies in the topic, given the topic's end offsets.
    pub(crate) fn finish(&self, end_offsets: &[i64]) -> Result<&Model, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        for (number, &end) in end_offsets.iter().enumerate() {
            let ours = self.partitions.get(number).map_or(0, |partition| partition.next_offset);
            if ours != end {
                return Err(format!(
                    "partition {number} holds {end} records, of which {ours} were acknowledged to us"
                ));
            }
        }
        Ok(&self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let rules = Rules {
            window_size: 300,
            window_slide: 300,
            watermark_delay: 60,
            max_future_skew: 300,
        };
        Tally::new(rules)
    }

    fn hit(micros: i64) -> Option<Hit> {
        Some(Hit { micros, host: None, referrer: None })
    }

    #[test]
    fn only_acknowledged_records_count() {
        let mut tally = tally();
        tally.sent(0, 1_000, hit(1));
        tally.sent(1, 1_000, None);
        tally.sent(0, 1_000, hit(2));
        tally.answered(1, Some(0));
        tally.answered(0, Some(0));
        let model = tally.finish(&[1, 1]).unwrap();
        assert_eq!((model.records(), model.rejected()), (2, 1));
    }

    #[test]
    fn failed_record_is_left_out() {
        let mut tally = tally();
        tally.sent(0, 1_000, None);
        tally.sent(0, 1_000, hit(1));
        tally.answered(0, None);
        tally.answered(0, Some(0));
        let model = tally.finish(&[1, 0]).unwrap();
        assert_eq!((model.records(), model.rejected()), (1, 0));
    }

    #[test]
    fn foreign_records_spoil_the_model() {
        let mut between = tally();
        between.sent(0, 1_000, hit(1));
        between.sent(0, 1_000, hit(2));
        between.answered(0, Some(0));
        between.answered(0, Some(2));
        assert!(between.finish(&[3, 0]).unwrap_err().contains("offset 2 where 1 was due"));

        let mut after = tally();
        after.sent(0, 1_000, hit(1));
        after.answered(0, Some(0));
        assert!(after.finish(&[1, 7]).unwrap_err().contains("partition 1 holds 7 records"));
    }
}
