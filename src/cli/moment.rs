//! A moment as answers tell it.

use std::fmt;

use hitstream_domain::time::EventTime;
use serde::{Serialize, Serializer};

/// A moment in RFC 3339 and UTC: to the second for people, in full as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) EventTime);

impl Moment {
    /// The frontier; `None` before the first window is final.
    pub(crate) fn of_frontier(frontier: EventTime) -> Option<Self> {
        (frontier > EventTime::NEG_INFINITY).then_some(Self(frontier))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match self.0 {
            EventTime::NEG_INFINITY | EventTime::INFINITY => self.0.fmt(f),
            // Down, never up: nothing is said to be reached that is not.
            _ => EventTime::from_micros(micros - micros.rem_euclid(1_000_000)).fmt(f),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_whole_seconds_and_scripts_all_of_it() {
        let moment = |micros| Moment(EventTime::from_micros(micros));
        let told = moment(1_715_947_203_999_001);
        assert_eq!(told.to_string(), "2024-05-17T12:00:03Z");
        assert_eq!(serde_json::to_string(&told).unwrap(), r#""2024-05-17T12:00:03.999001Z""#);
        assert_eq!(moment(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(Moment(EventTime::INFINITY).to_string(), "infinity");
    }

    #[test]
    fn frontier_before_the_first_final_window_is_none() {
        assert_eq!(Moment::of_frontier(EventTime::NEG_INFINITY), None);
        let zero = EventTime::from_micros(0);
        assert_eq!(Moment::of_frontier(zero), Some(Moment(zero)));
    }
}
