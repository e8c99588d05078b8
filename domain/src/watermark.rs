//! How far one partition has come in event time, and what is late there.

use std::time::Duration;

use crate::reject::{Reject, RejectReason};
use crate::time::EventTime;
use crate::window::{Window, WindowSpec, Windows};

/// Kafka timestamps before this are no reference: some producers send zero or uptime.
const YEAR_2000: EventTime = EventTime::from_millis(946_684_800_000);

/// The settings that decide where in time a hit belongs; the same for all partitions and instances of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRules {
    /// `window.size` and `window.slide`.
    pub window: WindowSpec,
    /// `watermark.delay`: how much disorder a partition may show before a hit counts as late.
    pub delay: Duration,
    /// `input.max_future_skew`: how far ahead of its reference a hit may claim to be.
    pub max_future_skew: Duration,
}

impl TimeRules {
    /// Refuses a hit that lies too far in the future, so that one wrong clock cannot close every window.
    ///
    /// The reference is the record's Kafka timestamp, or the reader's clock `now` where that is missing, before 2000,
    /// or itself too far ahead of `now` (DESIGN section 2).
    ///
    /// # Errors
    /// [`RejectReason::FutureTime`].
    pub fn check_skew(
        &self,
        event_time: EventTime,
        record_time: Option<EventTime>,
        now: EventTime,
    ) -> Result<(), Reject> {
        let reference = record_time
            .filter(|&t| t >= YEAR_2000 && t <= now.plus(self.max_future_skew))
            .unwrap_or(now);
        if event_time <= reference.plus(self.max_future_skew) {
            return Ok(());
        }
        let detail = format!("event_time {event_time} is ahead of its record's time {reference}");
        Err(Reject::new(RejectReason::FutureTime, detail))
    }
}

/// The watermark of one partition: the greatest event time seen in it, less the delay. It only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    max_event_time: Option<EventTime>,
    delay: Duration,
}

impl Watermark {
    /// The watermark after a partition's progress so far.
    pub fn new(max_event_time: Option<EventTime>, delay: Duration) -> Self {
        Self { max_event_time, delay }
    }

    /// The greatest event time seen, if any was.
    pub fn max_event_time(&self) -> Option<EventTime> {
        self.max_event_time
    }

    /// The watermark itself; −infinity without data.
    pub fn value(&self) -> EventTime {
        self.max_event_time.map_or(EventTime::NEG_INFINITY, |t| t.minus(self.delay))
    }

    /// Places a hit in its windows by the watermark as it stands, then lets the hit move it.
    pub fn place(&mut self, event_time: EventTime, windows: &WindowSpec) -> Placement {
        let placement =
            Placement { windows: windows.windows_of(event_time), watermark: self.value() };
        self.max_event_time = self.max_event_time.max(Some(event_time));
        placement
    }
}

/// The windows of one hit, each with its lateness.
#[derive(Clone, Debug)]
pub struct Placement {
    windows: Windows,
    watermark: EventTime,
}

impl Iterator for Placement {
    /// The window, and whether the hit is late for it.
    type Item = (Window, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let window = self.windows.next()?;
        Some((window, window.end <= self.watermark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(60);

    fn seconds(s: i64) -> EventTime {
        EventTime::from_micros(s * 1_000_000)
    }

    fn five_minutes() -> WindowSpec {
        WindowSpec::new(Duration::from_secs(300), Duration::from_secs(300)).unwrap()
    }

    #[test]
    fn hit_behind_its_watermark_is_late_only_once_the_watermark_reaches_the_window_end() {
        let mut watermark = Watermark::new(None, DELAY);
        let late = |w: &mut Watermark, s| w.place(seconds(s), &five_minutes()).next().unwrap().1;
        assert!(!late(&mut watermark, 299));
        assert!(!late(&mut watermark, 359)); // moves the watermark to 299
        assert!(!late(&mut watermark, 10));
        assert!(!late(&mut watermark, 360)); // moves it to 300: the first window's end
        assert!(late(&mut watermark, 299));
        assert_eq!(watermark.value(), seconds(300));
    }

    #[test]
    fn skew_reference_falls_back_to_the_readers_clock() {
        let rules = TimeRules {
            window: five_minutes(),
            delay: DELAY,
            max_future_skew: Duration::from_secs(300),
        };
        let now = seconds(1_700_000_000);
        let check = |event, record: Option<i64>| {
            rules.check_skew(seconds(event), record.map(seconds), now).is_ok()
        };
        assert!(check(1_600_000_300, Some(1_600_000_000)));
        assert!(!check(1_600_000_301, Some(1_600_000_000)));
        assert!(check(1_700_000_300, None));
        assert!(!check(1_700_000_301, None));
        assert!(check(1_700_000_300, Some(0))); // before 2000: no reference
        assert!(!check(1_800_000_000, Some(1_800_000_000))); // a broker from the future is none either
    }
}
