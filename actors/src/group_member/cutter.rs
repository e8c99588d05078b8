//! When to cut: one epoch at a time on its way, the next as soon as it may and something asks for it.

use std::time::Duration;

/// How old an epoch becomes.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Age at which it is cut.
    pub interval: Duration,
    /// Age at which it is cut while much more waits behind it; without effect where that is shorter.
    pub catch_up: Duration,
}

impl Rhythm {
    /// Whether an epoch of this age that holds `held` records is over, while `uncommitted` are not committed, its own among
    /// them. Rows are written once for an epoch, so that fewer epochs catch up sooner; and each holds a third of what is left
    /// at most, so that they become short again before the end is reached.
    pub fn is_over(self, age: Duration, held: usize, uncommitted: i64) -> bool {
        let thrice = i64::try_from(held).unwrap_or(i64::MAX).saturating_mul(3);
        let is_behind = held > 0 && uncommitted >= thrice;
        age >= self.interval && (!is_behind || age >= self.catch_up)
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
        let rhythm = Rhythm { interval: second(1), catch_up: second(5) };
        for (age, held, uncommitted, is_over) in [
            (0, 0, 0, false),
            (0, 10, 1000, false),
            (1, 0, 0, true),
            (1, 0, 1000, true),
            (1, 10, 10, true),
            (1, 10, 29, true),
            (1, 10, 30, false),
            (4, 10, 30, false),
            (5, 10, 30, true),
        ] {
            let said = rhythm.is_over(second(age), held, uncommitted);
            assert_eq!(said, is_over, "{age} s, {held} of {uncommitted}");
        }
        let rare = Rhythm { interval: second(9), ..rhythm };
        assert!(!rare.is_over(second(5), 10, 30) && rare.is_over(second(9), 10, 30));
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
