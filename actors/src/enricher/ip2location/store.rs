//! Where answers and the budget outlive the process: the trait. The real one is in [`crate::writer::postgres`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use hitstream_domain::geo::Location;

use super::settings::Budget;
use crate::store::StoreError;

/// What a reservation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Requests that may now be made, zero once the budget is used up.
    pub granted: u64,
    /// What is left to reserve in the period after that.
    pub left: u64,
    /// Until the next period begins; what is not used by then is void.
    pub ends_in: Duration,
    /// Which period it is of: days from 2000-01-01 to its first one.
    pub period: i32,
}

/// Keeps answers, and counts what they cost, across restarts and for all instances.
pub trait LocationStore: Send + Sync {
    /// Gives those of the addresses that were kept no longer than `keep_for` ago.
    ///
    /// # Errors
    /// `Unavailable` where the store cannot say.
    fn find<'a>(
        &'a self,
        addresses: &'a [IpAddr],
        keep_for: Duration,
    ) -> BoxFuture<'a, Result<Vec<(IpAddr, Location)>, StoreError>>;

    /// Keeps answers, in the place of older ones.
    ///
    /// # Errors
    /// `Unavailable` where they may not have been kept.
    fn keep<'a>(
        &'a self,
        answers: &'a [(IpAddr, Location)],
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Takes up to `wanted` requests out of what is left of the budget's period.
    ///
    /// # Errors
    /// `Unavailable` where it may have been taken, but cannot be used.
    fn reserve(&self, budget: Budget, wanted: u64) -> BoxFuture<'_, Result<Grant, StoreError>>;

    /// Gives back the granted requests of `rest`, which were not made.
    ///
    /// # Errors
    /// `Unavailable` where they may not have come back.
    fn give_back(&self, budget: Budget, rest: Grant) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets some answers kept longer than `keep_for` ago; zero when there are no more.
    ///
    /// # Errors
    /// `Unavailable` where the store cannot say.
    fn forget(&self, keep_for: Duration) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// The store in memory, for tests: nothing ages, and no period ends unless it is told to.
#[derive(Debug, Default)]
pub struct MemoryLocations(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    kept: HashMap<IpAddr, Location>,
    spent: u64,
    finds: u64,
    away: bool,
    ends_in: Option<Duration>,
}

impl MemoryLocations {
    /// Answers kept so far.
    pub fn kept(&self) -> HashMap<IpAddr, Location> {
        self.memory().kept.clone()
    }

    /// Requests reserved so far.
    pub fn spent(&self) -> u64 {
        self.memory().spent
    }

    /// How often something was looked up.
    pub fn finds(&self) -> u64 {
        self.memory().finds
    }

    /// From now on the store is out of reach, or in reach again.
    pub fn set_away(&self, away: bool) {
        self.memory().away = away;
    }

    /// Periods of what is reserved from now on end so soon; by themselves after a day.
    pub fn end_period_in(&self, ends_in: Duration) {
        self.memory().ends_in = Some(ends_in);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<'a, T: Send + 'a>(
        &self,
        answer: impl FnOnce(&mut Memory) -> T,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let mut memory = self.memory();
        let answer = if memory.away {
            Err(StoreError::Unavailable("out of reach by order of a test".to_owned()))
        } else {
            Ok(answer(&mut memory))
        };
        ready(answer).boxed()
    }
}

impl LocationStore for MemoryLocations {
    fn find<'a>(
        &'a self,
        addresses: &'a [IpAddr],
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<(IpAddr, Location)>, StoreError>> {
        self.answer(|memory| {
            memory.finds += 1;
            let kept = addresses.iter().filter_map(|ip| Some((*ip, memory.kept.get(ip)?.clone())));
            kept.collect()
        })
    }

    fn keep<'a>(
        &'a self,
        answers: &'a [(IpAddr, Location)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.answer(|memory| memory.kept.extend(answers.iter().cloned()))
    }

    fn reserve(&self, budget: Budget, wanted: u64) -> BoxFuture<'_, Result<Grant, StoreError>> {
        self.answer(|memory| {
            let left = budget.count.get().saturating_sub(memory.spent);
            let granted = wanted.min(left);
            memory.spent += granted;
            let ends_in = memory.ends_in.unwrap_or(Duration::from_secs(86_400));
            Grant { granted, left: left - granted, ends_in, period: 0 }
        })
    }

    fn give_back(&self, _: Budget, rest: Grant) -> BoxFuture<'_, Result<(), StoreError>> {
        self.answer(|memory| memory.spent = memory.spent.saturating_sub(rest.granted))
    }

    fn forget(&self, _: Duration) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.answer(|_| 0)
    }
}
