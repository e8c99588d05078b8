//! A panic is a bug: it is logged where it happens, and ends the program with a word instead of a trace.
//!
//! Panics of actors and other threads do not come this far; who watches them deals with them.

use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::time::Duration;

use hitstream_actors::clock;

/// How often the same panic is logged: a decoder may panic at every record, and rejects each.
const SAY_EVERY: Duration = Duration::from_secs(10);

static LAST: Mutex<Option<String>> = Mutex::new(None);
static SAID: Mutex<Said> = Mutex::new(Said { last: None, left_out: 0 });

/// What was logged last, and when.
#[derive(Debug)]
struct Said {
    last: Option<(String, Duration)>,
    left_out: u64,
}

impl Said {
    /// Whether this is to be logged now, and how many like it were not since the last time.
    fn is_news(&mut self, what: &str, now: Duration) -> Option<u64> {
        if let Some((last, when)) = &self.last
            && last == what
            && now.saturating_sub(*when) < SAY_EVERY
        {
            self.left_out += 1;
            return None;
        }
        self.last = Some((what.to_owned(), now));
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Replaces the standard hook, which prints a trace.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let what = describe(info);
        let thread = std::thread::current();
        // Where it cannot be told, it is logged.
        let left_out =
            SAID.lock().map_or(Some(0), |mut said| said.is_news(&what, clock::monotonic()));
        if let Some(left_out) = left_out {
            tracing::error!(thread = thread.name().unwrap_or("unnamed"), left_out, "panic: {what}");
        }
        hitstream_actors::link::note_panic(&what);
        if let Ok(mut last) = LAST.lock() {
            *last = Some(what);
        }
    }));
}

/// Gives the message for a panic that nobody caught.
pub(super) fn last_words() -> String {
    let what = LAST.lock().ok().and_then(|mut last| last.take());
    format!("error: {}", bug_report(what.as_deref().unwrap_or("panic")))
}

/// Asks for a report of a bug.
pub(super) fn bug_report(what: &str) -> String {
    format!(
        "this is a bug in hitstream {}: {what}; please report it, with the command, at {}/issues",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_REPOSITORY"),
    )
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    match info.location() {
        Some(location) => format!("{message} ({}:{})", location.file(), location.line()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_panic_is_logged_seldom_and_then_with_how_many_were_not() {
        let mut said = Said { last: None, left_out: 0 };
        let mut at = |what: &str, second| said.is_news(what, Duration::from_secs(second));
        assert_eq!(at("a", 0), Some(0));
        assert_eq!([at("a", 1), at("a", 9)], [None, None]);
        assert_eq!(at("a", 10), Some(2));
        assert_eq!(at("b", 11), Some(0), "another one");
    }
}
