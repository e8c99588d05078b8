//! When the records of an epoch came to Kafka: a few slots of time instead of an instant for each.

use hitstream_domain::time::EventTime;

/// Slots are powers of two of microseconds: 65 ms at first.
const FINEST_SHIFT: u32 = 16;
/// More slots than this, and they are made coarser.
const MOST_SLOTS: usize = 256;

/// Counts of records by the slot of their Kafka timestamps. Records come nearly in order, so the last slot is nearly always
/// the right one.
#[derive(Clone, Debug)]
pub struct Arrivals {
    shift: u32,
    slots: Vec<(i64, u64)>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { shift: FINEST_SHIFT, slots: Vec::new() }
    }
}

impl Arrivals {
    /// Counts one record.
    #[inline]
    pub fn add(&mut self, arrived: EventTime) {
        let slot = arrived.as_micros() >> self.shift;
        match self.slots.last_mut() {
            Some((last, count)) if *last == slot => *count += 1,
            _ => self.begin_slot(slot),
        }
    }

    #[inline(never)]
    fn begin_slot(&mut self, slot: i64) {
        self.slots.push((slot, 1));
        while self.slots.len() > MOST_SLOTS {
            self.shift += 1;
            for (slot, _) in &mut self.slots {
                *slot >>= 1;
            }
            self.slots.sort_unstable_by_key(|(slot, _)| *slot);
            self.slots.dedup_by(|next, kept| {
                let is_same = next.0 == kept.0;
                kept.1 += if is_same { next.1 } else { 0 };
                is_same
            });
        }
    }

    /// The middle of each slot, and how many records came in it.
    pub fn slots(&self) -> impl Iterator<Item = (EventTime, u64)> {
        let half = (1 << self.shift) / 2;
        self.slots
            .iter()
            .map(move |(slot, count)| (EventTime::from_micros((slot << self.shift) + half), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_counted_near_its_time_however_many_slots_there_were() {
        for step in [1, 1_000, 100_000, 10_000_000] {
            let mut arrivals = Arrivals::default();
            for at in 0..10_000 {
                arrivals.add(EventTime::from_micros(at * step));
            }
            let slots: Vec<_> = arrivals.slots().collect();
            assert!(slots.len() <= MOST_SLOTS + 1);
            assert_eq!(slots.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
            let mean: i64 =
                slots.iter().map(|(at, count)| at.as_micros() / 10_000 * *count as i64).sum();
            let span = step * 10_000;
            assert!((mean - span / 2).abs() < (1 << FINEST_SHIFT) + span / 50, "{mean} of {span}");
        }
    }
}
