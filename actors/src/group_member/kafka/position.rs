//! How far a partition was taken from the client, and whether what comes next continues there.

use hitstream_domain::progress::Offset;

/// Where one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset.
    pub(super) next: Offset,
    /// The client said that the partition ends here.
    is_end: bool,
    /// What lies here was asked for once more.
    was_asked_again: bool,
}

impl Position {
    /// Nothing was taken yet.
    pub(super) fn of(next: Offset) -> Self {
        Self { next, is_end: false, was_asked_again: false }
    }

    /// Whether offsets between here and `first` are to be asked for once more: the client said that there was nothing, and
    /// now skips them. Says so once for each place.
    pub(super) fn must_be_asked_again(&mut self, first: Offset) -> bool {
        let skips = self.is_end && first > self.next;
        skips && !std::mem::replace(&mut self.was_asked_again, true)
    }

    /// Records up to `last` were taken, and the word that the partition ends at `end`.
    pub(super) fn taken(&mut self, last: Option<Offset>, end: Option<Offset>) {
        let next = last.map(Offset::next).max(end).unwrap_or(self.next).max(self.next);
        if next > self.next || end.is_some() {
            let was_asked_again = self.was_asked_again && next == self.next;
            *self = Self { next, is_end: end == Some(next), was_asked_again };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_skipped_behind_an_end_is_asked_for_once_more() {
        let mut position = Position::of(Offset(5));
        position.taken(Some(Offset(9)), Some(Offset(10)));
        assert!(!position.must_be_asked_again(Offset(10)));
        assert!(position.must_be_asked_again(Offset(11)));
        position.taken(None, Some(Offset(10)));
        assert!(!position.must_be_asked_again(Offset(11)), "a marker lies there");
        position.taken(Some(Offset(11)), Some(Offset(12)));
        assert!(position.must_be_asked_again(Offset(13)), "that is another place");
    }

    #[test]
    fn gap_between_records_is_no_reason_to_ask() {
        let mut position = Position::of(Offset(0));
        position.taken(Some(Offset(3)), None);
        assert!(!position.must_be_asked_again(Offset(7)), "compacted, or markers");
    }
}
