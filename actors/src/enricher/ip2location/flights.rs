//! The addresses that are being located, each once, with all who want to know.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hitstream_domain::geo::{GeoStatus, Location};
use tokio::sync::oneshot;

use crate::backoff::Backoff;

/// The first wait before an address is asked for again.
const RETRY_LEAST: Duration = Duration::from_millis(250);
/// The longest.
const RETRY_GREATEST: Duration = Duration::from_secs(10);

/// What a caller gets.
pub(super) type Located = Result<Location, GeoStatus>;

/// Addresses from their first lookup to their answer.
#[derive(Debug, Default)]
pub(super) struct Flights(HashMap<IpAddr, Flight>);

#[derive(Debug)]
struct Flight {
    hits: u64,
    callers: Vec<oneshot::Sender<Located>>,
    retries: Backoff,
}

/// Whether a lookup began something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is the first for its address.
    New,
    /// It joined others, with so many hits together.
    Others(u64),
}

impl Flights {
    /// A caller wants to know where `ip` is, for so many hits.
    pub(super) fn join(
        &mut self,
        ip: IpAddr,
        hits: u32,
        caller: oneshot::Sender<Located>,
    ) -> Joined {
        if let Some(flight) = self.0.get_mut(&ip) {
            flight.hits += u64::from(hits);
            // Those that gave up would pile up behind an address that waits for long.
            flight.callers.retain(|caller| !caller.is_closed());
            flight.callers.push(caller);
            return Joined::Others(flight.hits);
        }
        let retries = Backoff::new(RETRY_LEAST, RETRY_GREATEST);
        let flight = Flight { hits: hits.into(), callers: vec![caller], retries };
        self.0.insert(ip, flight);
        Joined::New
    }

    /// The hits that want an address located.
    pub(super) fn hits(&self, ip: IpAddr) -> u64 {
        self.0.get(&ip).map_or(0, |flight| flight.hits)
    }

    /// Whether anybody still waits for it.
    pub(super) fn is_wanted(&self, ip: IpAddr) -> bool {
        let flight = self.0.get(&ip);
        flight.is_some_and(|flight| flight.callers.iter().any(|caller| !caller.is_closed()))
    }

    /// Counts a failure of an address; gives the wait before the next try, if there is to be one.
    pub(super) fn retry(&mut self, ip: IpAddr, retries: u32) -> Option<Duration> {
        let flight = self.0.get_mut(&ip)?;
        (flight.retries.tries() < retries).then(|| flight.retries.next_wait())
    }

    /// Tells all who wait, and forgets the address.
    pub(super) fn land(&mut self, ip: IpAddr, located: &Located) {
        let callers = self.0.remove(&ip).map(|flight| flight.callers).unwrap_or_default();
        for caller in callers {
            // Whoever gave up does not listen any more.
            let _ = caller.send(located.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_of_one_address_share_its_answer_and_add_their_hits() {
        let mut flights = Flights::default();
        let ip = IpAddr::from([8, 8, 8, 8]);
        let (first, mut told_first) = oneshot::channel();
        let (second, mut told_second) = oneshot::channel();
        assert_eq!(flights.join(ip, 2, first), Joined::New);
        assert_eq!(flights.join(ip, 3, second), Joined::Others(5));
        assert_eq!(flights.hits(ip), 5);
        flights.land(ip, &Err(GeoStatus::NotFound));
        assert_eq!(told_first.try_recv(), Ok(Err(GeoStatus::NotFound)));
        assert_eq!(told_second.try_recv(), Ok(Err(GeoStatus::NotFound)));
        assert_eq!(flights.hits(ip), 0);
    }

    #[test]
    fn address_is_wanted_while_anybody_listens() {
        let mut flights = Flights::default();
        let ip = IpAddr::from([8, 8, 8, 8]);
        let (caller, told) = oneshot::channel();
        flights.join(ip, 1, caller);
        assert!(flights.is_wanted(ip));
        drop(told);
        assert!(!flights.is_wanted(ip));
    }

    #[test]
    fn tries_come_to_an_end() {
        let mut flights = Flights::default();
        let ip = IpAddr::from([8, 8, 8, 8]);
        flights.join(ip, 1, oneshot::channel().0);
        let waits: Vec<_> = std::iter::from_fn(|| flights.retry(ip, 2)).collect();
        assert_eq!(waits.len(), 2);
        assert!(waits.iter().all(|wait| *wait >= RETRY_LEAST / 2));
    }
}
