//! Where one partition ended, and when: how far behind its progress is, in records and in time.

use std::time::Duration;

use hitstream_domain::progress::Offset;
use hitstream_domain::time::EventTime;

/// For how long an end counts as known: brokers are asked six times meanwhile.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(30);
/// More ends than this, and every second one is forgotten.
const MOST_ENDS: usize = 128;

/// What the brokers said, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// When they were asked, and the end; neither falls.
    told: Vec<(EventTime, Offset)>,
    /// When the newest one was heard of, on the monotonic clock.
    heard: Option<Duration>,
}

impl Ends {
    /// The brokers, asked at `asked`, said that the partition ended there. An end that is lower than one before is that of
    /// another topic, or of one that was cut off.
    pub(super) fn tell(&mut self, end: Offset, asked: EventTime, now: Duration) {
        if self.last().is_some_and(|last| end < last) {
            self.told.clear();
        }
        match self.told.last_mut() {
            Some((at, last)) if *last == end => *at = asked.max(*at),
            _ => self.told.push((asked, end)),
        }
        if self.told.len() > MOST_ENDS {
            // The newest, at an even place, is kept.
            let mut is_kept = false;
            self.told.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.heard = Some(now);
    }

    /// The newest end, however old.
    fn last(&self) -> Option<Offset> {
        self.told.last().map(|(_, end)| *end)
    }

    /// The newest end, unless it was not heard of for long.
    pub(super) fn known(&self, now: Duration) -> Option<Offset> {
        let silence = now.saturating_sub(self.heard?);
        self.last().filter(|_| silence <= KNOWN_FOR)
    }

    /// A time before which nothing had come that lies at this offset or behind it; `None` where it is older than all that
    /// is remembered.
    pub(super) fn came_after(&self, next: Offset) -> Option<EventTime> {
        self.told.iter().rev().find(|(_, end)| *end <= next).map(|(asked, _)| *asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn at(second: i64) -> EventTime {
        EventTime::from_micros(second * 1_000_000)
    }

    #[test]
    fn end_is_known_for_as_long_as_it_is_heard_of() {
        let mut ends = Ends::default();
        assert_eq!(ends.known(NOW), None);
        ends.tell(Offset(5), at(0), NOW);
        assert_eq!(ends.known(NOW + KNOWN_FOR), Some(Offset(5)));
        let later = NOW + KNOWN_FOR + Duration::from_secs(1);
        assert_eq!(ends.known(later), None);
        ends.tell(Offset(5), at(60), later);
        assert_eq!(ends.known(later), Some(Offset(5)));
    }

    #[test]
    fn record_came_after_the_last_time_at_which_it_was_not_there() {
        let mut ends = Ends::default();
        for (second, end) in [(0, 5), (5, 5), (10, 8), (15, 20)] {
            ends.tell(Offset(end), at(second), NOW);
        }
        let came = |next| ends.came_after(Offset(next));
        assert_eq!(
            [came(4), came(5), came(7), came(8)],
            [None, Some(at(5)), Some(at(5)), Some(at(10))]
        );
    }

    #[test]
    fn however_many_there_were_few_are_remembered_and_the_newest_among_them() {
        let mut ends = Ends::default();
        for second in 0..10_000 {
            ends.tell(Offset(second), at(second), NOW);
            assert!(ends.told.len() <= MOST_ENDS);
            assert_eq!(ends.last(), Some(Offset(second)));
        }
        assert!(ends.came_after(Offset(5_000)).unwrap() <= at(5_000));
    }

    #[test]
    fn lower_end_is_another_topics() {
        let mut ends = Ends::default();
        ends.tell(Offset(50), at(0), NOW);
        ends.tell(Offset(3), at(5), NOW);
        assert_eq!((ends.last(), ends.came_after(Offset(60))), (Some(Offset(3)), Some(at(5))));
    }
}
