//! When to cut: one epoch at a time on its way, the next as soon as it may and something asks for it.

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
