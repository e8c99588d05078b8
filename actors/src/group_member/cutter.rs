//! When to cut: one epoch at a time on its way, the next as soon as it may and something asks for it.

use std::time::Duration;

/// How old an epoch becomes.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Age at which it is cut.
    pub interval: Duration,
    /// Age at which it is cut while much more waits behind it; without effect where that is shorter.
    pub catch_up: Duration,
    /// The run goes to an end that it knows: it catches up all the way.
    pub is_bounded: bool,
}

impl Rhythm {
    /// Whether the generation's epoch of this number, counted from 0, is over at this age, holding `held` records, while
    /// `uncommitted` are not committed, its own among them. Rows are written once for an epoch, so that fewer epochs catch
    /// up sooner. The first lasts one interval, each next up to twice the one before: a pipeline that something ends every
    /// few seconds commits in between. And each holds a third of what is left at most, so that they are short again once
    /// the newest hits are reached.
    pub fn is_over(self, epoch: u64, age: Duration, held: usize, uncommitted: i64) -> bool {
        let thrice = i64::try_from(held).unwrap_or(i64::MAX).saturating_mul(3);
        let is_behind = held > 0 && (self.is_bounded || uncommitted >= thrice);
        let doublings = u32::try_from(epoch).unwrap_or(u32::MAX);
        let stretched = self.interval.saturating_mul(2_u32.saturating_pow(doublings));
        age >= self.interval && (!is_behind || age >= self.catch_up.min(stretched))
    }
}

/// Decides about cuts; pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutter {
    accumulating: u64,
    on_its_way: Option<u64>,
    due: bool,
}

impl Cutter {
    /// The number of the epoch that is accumulating.
    pub fn accumulating(&self) -> u64 {
        self.accumulating
    }

    /// Whether an epoch was cut and is not yet committed.
    pub fn is_waiting(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// Asks for a cut: the interval is over, a limit is reached, or partitions are to be let go.
    pub fn ask(&mut self) {
        self.due = true;
    }

    /// Cuts, if asked to and nothing is on its way; returns the epoch that ends.
    pub fn cut(&mut self) -> Option<u64> {
        if !self.due || self.is_waiting() {
            return None;
        }
        let epoch = self.accumulating;
        *self = Self { accumulating: epoch + 1, on_its_way: Some(epoch), due: false };
        Some(epoch)
    }

    /// An epoch is committed.
    pub fn committed(&mut self, epoch: u64) {
        if self.on_its_way == Some(epoch) {
            self.on_its_way = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_last_longer_only_while_much_more_waits() {
        let second = Duration::from_secs;
        let rhythm = Rhythm { interval: second(1), catch_up: second(5), is_bounded: false };
        for (epoch, age, held, uncommitted, is_over) in [
            (9, 0, 0, 0, false),
            (9, 0, 10, 1000, false),
            (9, 1, 0, 0, true),
            (9, 1, 0, 1000, true),
            (9, 1, 10, 10, true),
            (9, 1, 10, 29, true),
            (9, 1, 10, 30, false),
            (9, 4, 10, 30, false),
            (9, 5, 10, 30, true),
            (u64::MAX, 4, 10, 30, false),
            (u64::MAX, 5, 10, 30, true),
            (0, 1, 10, 30, true),
            (1, 1, 10, 30, false),
            (1, 2, 10, 30, true),
            (2, 3, 10, 30, false),
            (2, 4, 10, 30, true),
            (3, 4, 10, 30, false),
            (3, 5, 10, 30, true),
        ] {
            let said = rhythm.is_over(epoch, second(age), held, uncommitted);
            assert_eq!(said, is_over, "epoch {epoch}, {age} s, {held} of {uncommitted}");
        }
        let bounded = Rhythm { is_bounded: true, ..rhythm };
        assert!(!bounded.is_over(9, second(4), 10, 10) && bounded.is_over(9, second(5), 10, 10));
        assert!(bounded.is_over(0, second(1), 10, 10) && bounded.is_over(9, second(1), 0, 0));
        let rare = Rhythm { interval: second(9), ..rhythm };
        assert!(!rare.is_over(9, second(5), 10, 30) && rare.is_over(9, second(9), 10, 30));
    }

    #[test]
    fn next_epoch_is_cut_only_after_the_one_before_is_committed() {
        let mut cutter = Cutter::default();
        assert_eq!(cutter.cut(), None);
        cutter.ask();
        assert_eq!(cutter.cut(), Some(0));
        cutter.ask();
        assert_eq!(cutter.cut(), None);
        cutter.committed(0);
        assert_eq!(cutter.cut(), Some(1));
        assert_eq!(cutter.accumulating(), 2);
    }
}
