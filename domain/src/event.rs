//! One web hit, as decoded from a record.

use crate::text::Text;
use crate::time::EventTime;

/// A well-formed hit. It borrows from the record and from its [`Decoder`](crate::decode::Decoder).
///
/// The texts that counting needs are ready; those that only stored events need are unescaped when asked for. Every text
/// is free of NUL characters and is valid UTF-8: what was not is U+FFFD already, and `sanitised` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When the hit happened.
    pub event_time: EventTime,
    /// The site that was hit; `None` is a group of its own.
    pub host: Option<&'a str>,
    /// Where the visitor came from; `None` and `""` are different groups.
    pub referrer: Option<&'a str>,
    /// The request target.
    pub url: Option<Text<'a>>,
    /// The visitor's user agent, as sent.
    pub user_agent: Option<Text<'a>>,
    /// The visitor's address: any text, not necessarily an IP address.
    pub ip: Option<Text<'a>>,
    /// The request's headers as text, often JSON.
    pub headers: Option<Text<'a>>,
    /// Whether a NUL in one of the texts above, or invalid UTF-8 anywhere in the value, was replaced.
    pub sanitised: bool,
}
