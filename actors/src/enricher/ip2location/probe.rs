//! One question to see how the service stands, for somebody who looks at the settings.

use std::net::IpAddr;

use super::client::{Client, Failure, Outcome};
use super::{Ip2LocationError, Ip2LocationSettings};

/// What one request came to, in words for people; a key is in none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answers.
    Answers,
    /// It answers, but not for this address: with an error code that says neither.
    Declines,
    /// It says that the key is wrong or out of credit, and does not say which.
    RefusesKey,
    /// It wants fewer requests; with the seconds of its `Retry-After`.
    WantsRest(Option<u64>),
    /// It answers with this HTTP status.
    Status(u16),
    /// It sends what is no answer of IP2Location.io.
    Unreadable,
    /// Nothing came within `timeout`.
    Timeout,
    /// Connecting, sending or receiving failed, for this reason.
    Network(String),
}

/// Asks once about `ip`, without budget, retries or store.
///
/// # Errors
/// Where the settings are wrong, before anything is asked.
pub async fn probe(settings: Ip2LocationSettings, ip: IpAddr) -> Result<Probe, Ip2LocationError> {
    let client = Client::new(&settings.bounded())?;
    Ok(match client.ask(ip).await {
        Outcome::Located(_) | Outcome::Unknown => Probe::Answers,
        Outcome::Declined => Probe::Declines,
        Outcome::Refused => Probe::RefusesKey,
        Outcome::Limited(rest) => Probe::WantsRest(rest.map(|rest| rest.as_secs())),
        Outcome::Failed(Failure::Timeout) => Probe::Timeout,
        Outcome::Failed(Failure::Network(reason)) => Probe::Network(reason),
        Outcome::Failed(Failure::Status(status)) => Probe::Status(status.as_u16()),
        Outcome::Failed(Failure::Unreadable) => Probe::Unreadable,
    })
}
