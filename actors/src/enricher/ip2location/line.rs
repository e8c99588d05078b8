//! The addresses that wait to be asked for, hottest first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// A bounded priority queue of addresses by their hits; of equals the first to come is first.
#[derive(Debug)]
pub(super) struct WaitingLine {
    capacity: usize,
    /// Rises with each address that comes.
    arrivals: u64,
    places: HashMap<IpAddr, Place>,
    order: BTreeSet<(Place, IpAddr)>,
}

/// Compares as hotter, then as earlier.
type Place = (u64, Reverse<u64>);

impl WaitingLine {
    /// An empty line for at most `capacity` addresses.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, arrivals: 0, places: HashMap::new(), order: BTreeSet::new() }
    }

    /// Lets an address wait; gives the coldest one that has no room any more, which may be the same.
    pub(super) fn push(&mut self, ip: IpAddr, hits: u64) -> Option<IpAddr> {
        self.arrivals += 1;
        self.put(ip, (hits, Reverse(self.arrivals)));
        if self.places.len() <= self.capacity {
            return None;
        }
        let (_, coldest) = self.order.pop_first()?;
        self.places.remove(&coldest);
        Some(coldest)
    }

    /// Makes an address that waits as hot as that; what does not wait stays away.
    pub(super) fn heat(&mut self, ip: IpAddr, hits: u64) {
        if let Some(&(_, arrival)) = self.places.get(&ip) {
            self.put(ip, (hits, arrival));
        }
    }

    /// Takes the hottest address.
    pub(super) fn pop(&mut self) -> Option<IpAddr> {
        let (_, hottest) = self.order.pop_last()?;
        self.places.remove(&hottest);
        Some(hottest)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn put(&mut self, ip: IpAddr, place: Place) {
        if let Some(before) = self.places.insert(ip, place) {
            self.order.remove(&(before, ip));
        }
        self.order.insert((place, ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([8, 8, 8, last])
    }

    fn drain(line: &mut WaitingLine) -> Vec<IpAddr> {
        std::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn hottest_goes_first_and_of_equals_the_earliest() {
        let mut line = WaitingLine::new(10);
        for (last, hits) in [(1, 1), (2, 5), (3, 1), (4, 9)] {
            assert_eq!(line.push(ip(last), hits), None);
        }
        assert_eq!(drain(&mut line), [ip(4), ip(2), ip(1), ip(3)]);
        assert!(line.is_empty());
    }

    #[test]
    fn more_hits_move_an_address_forward_in_its_place_among_equals() {
        let mut line = WaitingLine::new(10);
        for last in 1..=3 {
            line.push(ip(last), 1);
        }
        line.heat(ip(3), 7);
        line.heat(ip(2), 7);
        line.heat(ip(9), 99);
        assert_eq!(line.len(), 3);
        assert_eq!(drain(&mut line), [ip(2), ip(3), ip(1)]);
    }

    #[test]
    fn full_line_lets_its_coldest_go() {
        let mut line = WaitingLine::new(2);
        line.push(ip(1), 3);
        line.push(ip(2), 2);
        assert_eq!(line.push(ip(3), 1), Some(ip(3)), "the newcomer itself");
        assert_eq!(line.push(ip(4), 5), Some(ip(2)));
        assert_eq!(drain(&mut line), [ip(4), ip(1)]);
    }
}
