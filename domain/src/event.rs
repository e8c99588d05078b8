//! One web hit, as decoded from a record.

use std::borrow::Cow;

use crate::time::EventTime;

/// A well-formed hit that borrows its texts from the record wherever they need no unescaping.
///
/// Every text is free of NUL characters and is valid UTF-8: what was not is U+FFFD already, and `sanitised` says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When the hit happened.
    pub event_time: EventTime,
    /// The site that was hit; `None` is a group of its own.
    pub host: Option<Cow<'a, str>>,
    /// Where the visitor came from; `None` and `""` are different groups.
    pub referrer: Option<Cow<'a, str>>,
    /// The request target.
    pub url: Option<Cow<'a, str>>,
    /// The visitor's user agent, as sent.
    pub user_agent: Option<Cow<'a, str>>,
    /// The visitor's address: any text, not necessarily an IP address.
    pub ip: Option<Cow<'a, str>>,
    /// The request's headers as text, often JSON.
    pub headers: Option<Cow<'a, str>>,
    /// Whether a NUL or invalid UTF-8 was replaced in one of the texts above.
    pub sanitised: bool,
}
