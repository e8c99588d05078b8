//! A panic is a bug: it is logged where it happens, and ends the program with a word instead of a trace.
//!
//! Panics of actors and other threads do not come this far; who watches them deals with them.

use std::panic::PanicHookInfo;
use std::sync::Mutex;

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Replaces the standard hook, which prints a trace.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let what = describe(info);
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "panic: {what}");
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
