//! This member's place in its group, as the client tells it.
//!
//! Callbacks alone do not tell: a member without partitions hears nothing of a session that ended, and none hears that a
//! join is not answered. The client's statistics say at which step it is.

use std::time::Duration;

use serde::Deserialize;

use crate::contact::Unconfirmed;

/// The step of a member whose partitions, if any, are settled.
const SETTLED: &str = "steady";
/// The step of a member that is to take partitions up.
const TO_TAKE_UP: &str = "wait-assign-call";

/// Of the client's statistics, what is of the group.
#[derive(Deserialize)]
struct Statistics {
    cgrp: Option<Group>,
}

#[derive(Deserialize)]
struct Group {
    /// Whether its coordinator is known and connected.
    state: String,
    /// The step of joining it.
    join_state: String,
}

/// Since when the group has not confirmed what this member has, on the monotonic clock, and the client's step.
#[derive(Debug)]
pub(super) struct Place {
    unconfirmed: Option<(Duration, String)>,
    /// Whether the client waits for partitions to be taken up, as is known here.
    owes_taking_up: bool,
}

impl Place {
    /// Of a client that begins to join.
    pub(super) fn new(now: Duration) -> Self {
        Self { unconfirmed: Some((now, "init".to_owned())), owes_taking_up: false }
    }

    /// The group has said what this member has; the client waits for that to be taken up.
    pub(super) fn assigned(&mut self) {
        *self = Self { unconfirmed: None, owes_taking_up: true };
    }

    /// The client was answered.
    pub(super) fn taken_up(&mut self) {
        self.owes_taking_up = false;
    }

    /// The client's statistics at `now`, as JSON.
    pub(super) fn told(&mut self, now: Duration, statistics: &[u8]) {
        let Ok(Statistics { cgrp: Some(group) }) = serde_json::from_slice(statistics) else {
            return;
        };
        let step = group.join_state;
        if step == SETTLED || (step == TO_TAKE_UP && self.owes_taking_up) {
            self.unconfirmed = None;
            return;
        }
        let step = if group.state == "up" { step } else { format!("{step}, {}", group.state) };
        let since = self.unconfirmed.take().map_or(now, |(since, _)| since);
        self.unconfirmed = Some((since, step));
    }

    /// What the group has not confirmed at `now`.
    pub(super) fn unconfirmed(&self, now: Duration) -> Option<Unconfirmed> {
        let (since, step) = self.unconfirmed.as_ref()?;
        Some(Unconfirmed { time: now.saturating_sub(*since), step: step.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_waits_from_the_first_step_back_to_the_settled_one() {
        let s = Duration::from_secs;
        let mut place = Place::new(s(1));
        let told = |place: &mut Place, second, state: &str, step: &str| {
            let json = format!(
                r#"{{"name":"x","cgrp":{{"state":"{state}","stateage":3,"join_state":"{step}"}}}}"#
            );
            place.told(s(second), json.as_bytes());
            place.unconfirmed(s(second)).map(|waits| (waits.time, waits.step))
        };
        let waits = |seconds, step: &str| Some((s(seconds), step.to_owned()));
        assert_eq!(told(&mut place, 3, "up", "wait-join"), waits(2, "wait-join"));
        place.assigned();
        assert_eq!(place.unconfirmed(s(4)), None);
        assert_eq!(told(&mut place, 5, "up", "wait-assign-call"), None, "that is up to us");
        place.taken_up();
        assert_eq!(told(&mut place, 7, "up", "steady"), None);
        assert_eq!(told(&mut place, 9, "up", "wait-unassign-call"), waits(0, "wait-unassign-call"));
        assert_eq!(told(&mut place, 12, "query-coord", "init"), waits(3, "init, query-coord"));
        place.told(s(13), b"{}");
        assert_eq!(place.unconfirmed(s(13)).unwrap().time, s(4));
        assert_eq!(told(&mut place, 14, "up", "steady"), None);
    }

    #[test]
    fn answer_that_the_client_did_not_take_is_waited_for() {
        let mut place = Place::new(Duration::ZERO);
        place.assigned();
        place.taken_up();
        let json = br#"{"cgrp":{"state":"up","join_state":"wait-assign-call"}}"#;
        place.told(Duration::from_secs(4), json);
        assert!(place.unconfirmed(Duration::from_secs(4)).is_some());
    }
}
