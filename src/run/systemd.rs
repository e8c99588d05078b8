//! What systemd is told where it has started this instance with `Type=notify`: that it is up, that it lives, what keeps it
//! from its work, that it ends. Elsewhere nobody listens and nothing is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hitstream_actors::readiness::{Part, Readiness};
use sd_notify::NotifyState;
use tracing::warn;

/// The variable that says where systemd listens.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often it is looked whether the state has changed.
const LOOK_AT_STATE: Duration = Duration::from_secs(1);
/// Whether the end has begun; the status stays what was told then.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Says that the instance is up, which it is before Kafka and PostgreSQL have answered: those are waited for, and a start
/// that failed for their sake would only be tried again. What keeps the instance from its work is told as its status.
///
/// The watchdog is fed by the thread that all supervision runs on.
pub(super) async fn keep_told(readiness: Readiness) {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    tell(&[NotifyState::Ready]);
    let half_of_watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let pause = half_of_watchdog.map_or(LOOK_AT_STATE, |half| half.min(LOOK_AT_STATE));
    let mut look = tokio::time::interval(pause.max(Duration::from_millis(1)));
    let mut told = String::new();
    loop {
        look.tick().await;
        if half_of_watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
        let status = status(&readiness.reasons());
        if status != told && !ENDS.load(Ordering::Relaxed) {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
    }
}

/// Says that the end has begun.
pub(super) fn stopping() {
    ENDS.store(true, Ordering::Relaxed);
    tell(&[NotifyState::Stopping, NotifyState::Status("committing what was read")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd is not told how this instance is ({SOCKET})");
    }
}

/// One line, as `systemctl status` shows it.
fn status(reasons: &BTreeMap<Part, String>) -> String {
    if reasons.is_empty() {
        return "ready".to_owned();
    }
    let mut line = "not ready".to_owned();
    for (at, (part, reason)) in reasons.iter().enumerate() {
        let reason = reason.replace(['\n', '\r'], " ");
        // Writing to a string does not fail.
        let _ = write!(line, "{} {part}: {reason}", if at == 0 { ":" } else { ";" });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_one_line() {
        let reasons = [(Part::Kafka, "no\nbroker".to_owned()), (Part::Actors, "die".to_owned())];
        assert_eq!(status(&reasons.into()), "not ready: kafka: no broker; actors: die");
        assert_eq!(status(&BTreeMap::new()), "ready");
    }
}
