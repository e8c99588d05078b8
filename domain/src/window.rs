//! Event-time windows: half-open `[start, end)`, aligned to the epoch, tumbling or sliding.

use std::time::Duration;

use crate::time::{EventTime, micros};

/// Size and slide of all windows of a pipeline.
///
/// ```
/// use std::time::Duration;
/// use hitstream_domain::{time::EventTime, window::WindowSpec};
///
/// let sliding = WindowSpec::new(Duration::from_secs(300), Duration::from_secs(60)).unwrap();
/// let hit = EventTime::from_micros(300_000_000);
/// assert_eq!(sliding.windows_of(hit).count(), 5);
/// assert!(sliding.windows_of(hit).all(|w| w.start <= hit && hit < w.end));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    size: i64,
    slide: i64,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First instant that belongs to the window.
    pub start: EventTime,
    /// First instant that no longer does.
    pub end: EventTime,
}

/// Why a size and a slide make no windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowSpecError {
    /// A window or a slide of no length.
    #[error("window.size and window.slide must be at least 1 microsecond")]
    Zero,
    /// Events between two windows would be counted nowhere.
    #[error("window.slide is longer than window.size: hits between two windows would be lost")]
    Gaps,
}

impl WindowSpec {
    /// Windows of `size` that start every `slide`.
    ///
    /// # Errors
    /// Zero lengths, and a slide longer than the size.
    pub fn new(size: Duration, slide: Duration) -> Result<Self, WindowSpecError> {
        let spec = Self { size: micros(size), slide: micros(slide) };
        if spec.size == 0 || spec.slide == 0 {
            return Err(WindowSpecError::Zero);
        }
        if spec.slide > spec.size {
            return Err(WindowSpecError::Gaps);
        }
        Ok(spec)
    }

    /// The windows' length.
    pub fn size(&self) -> Duration {
        Duration::from_micros(self.size.unsigned_abs())
    }

    /// The distance between two windows' starts.
    pub fn slide(&self) -> Duration {
        Duration::from_micros(self.slide.unsigned_abs())
    }

    /// The window that starts at `start`.
    pub fn starting(&self, start: EventTime) -> Window {
        Window { start, end: start.plus(self.size()) }
    }

    /// The windows that hold `t`, from the earliest.
    pub fn windows_of(&self, t: EventTime) -> Windows {
        let t = t.as_micros();
        // The first multiple of `slide` after `t - size` starts the earliest window that still holds `t`.
        let first = t
            .saturating_sub(self.size)
            .div_euclid(self.slide)
            .saturating_add(1)
            .saturating_mul(self.slide);
        Windows { spec: *self, next: first, until: t }
    }
}

/// The windows that hold one instant, from the earliest.
#[derive(Clone, Debug)]
pub struct Windows {
    spec: WindowSpec,
    next: i64,
    until: i64,
}

impl Iterator for Windows {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        if self.next > self.until {
            return None;
        }
        let start = EventTime::from_micros(self.next);
        self.next = self.next.saturating_add(self.spec.slide);
        Some(self.spec.starting(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(size: u64, slide: u64) -> WindowSpec {
        WindowSpec::new(Duration::from_micros(size), Duration::from_micros(slide)).unwrap()
    }

    fn starts(spec: WindowSpec, t: i64) -> Vec<i64> {
        spec.windows_of(EventTime::from_micros(t)).map(|w| w.start.as_micros()).collect()
    }

    #[test]
    fn tumbling_window_holds_its_start_and_not_its_end() {
        assert_eq!(starts(spec(10, 10), 19), [10]);
        assert_eq!(starts(spec(10, 10), 20), [20]);
        assert_eq!(starts(spec(10, 10), -1), [-10]);
    }

    #[test]
    fn sliding_windows_overlap_and_may_not_divide_the_size() {
        assert_eq!(starts(spec(10, 5), 12), [5, 10]);
        assert_eq!(starts(spec(10, 4), 12), [4, 8, 12]);
        assert_eq!(starts(spec(10, 4), 14), [8, 12]);
    }

    #[test]
    fn slide_longer_than_size_is_refused() {
        let longer = WindowSpec::new(Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(longer, Err(WindowSpecError::Gaps));
    }
}
