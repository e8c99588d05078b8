//! The chain of providers: the first answer wins.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use hitstream_domain::geo::{GeoSource, GeoStatus, Location, address};
use lru::LruCache;

use super::answer::Answer;
use super::database::{Database, DatabaseHandle};
use crate::refuse::RefuseList;

/// So long what a remote provider did not know is taken for unknown here; it remembers for longer by its own settings.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// So long what it knew is kept here; where answers are stored, asking again costs no request.
const ANSWER_KEPT: Duration = Duration::from_secs(3600);

/// Somebody who has to be asked, and takes time to answer.
pub trait RemoteLocator: Send + Sync {
    /// Who that is.
    fn source(&self) -> GeoSource;

    /// Asks where an address is that so many hits wait for; none does where it is asked for later use. Those who ask for the same address get the same answer.
    fn locate(&self, ip: IpAddr, hits: u32) -> BoxFuture<'static, Result<Location, GeoStatus>>;

    /// Whether it failed so often that it is asked nothing for a while: an error then says nothing of the address.
    fn is_left_alone(&self) -> bool {
        false
    }

    /// Ends: asks nothing more, and is done when what was asked for is answered and kept.
    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// One provider.
#[derive(Clone)]
pub enum Provider {
    /// A database in memory.
    Database(Arc<DatabaseHandle>),
    /// Somebody elsewhere.
    Remote(Arc<dyn RemoteLocator>),
}

/// All providers, in the order in which they are asked; they outlive generations.
#[derive(Clone, Default)]
pub struct Providers(Arc<[Provider]>);

impl Providers {
    /// These, in this order.
    pub fn new(chain: Vec<Provider>) -> Self {
        Self(chain.into())
    }

    /// The provider that has to be asked, if there is one.
    pub fn remote(&self) -> Option<Arc<dyn RemoteLocator>> {
        self.0.iter().find_map(|provider| match provider {
            Provider::Remote(remote) => Some(Arc::clone(remote)),
            Provider::Database(_) => None,
        })
    }

    /// The databases as they are now, to tell later whether one was replaced; they are not held.
    pub fn databases(&self) -> Vec<Weak<Database>> {
        let databases = self.0.iter().filter_map(|provider| match provider {
            Provider::Database(database) => Some(Arc::downgrade(&database.current())),
            Provider::Remote(_) => None,
        });
        databases.collect()
    }

    /// Locates an address that no hit of the present waits for. As for those, the first answer in the chain wins.
    ///
    /// # Errors
    /// What the remote provider says, or `NotFound` where there is none.
    pub async fn locate_for_later(&self, ip: IpAddr) -> Result<(Location, GeoSource), GeoStatus> {
        let mut status = GeoStatus::NotFound;
        for provider in &*self.0 {
            match provider {
                Provider::Database(database) => {
                    if let Some(location) = database.current().lookup(ip) {
                        return Ok((location, GeoSource::Database));
                    }
                }
                Provider::Remote(remote) => match remote.locate(ip, 0).await {
                    Ok(location) => return Ok((location, remote.source())),
                    Err(why) => status = why,
                },
            }
        }
        Err(status)
    }

    /// Looks whether files of databases were replaced. It may read them, so call it where blocking is allowed.
    pub fn refresh(&self) {
        for provider in &*self.0 {
            if let Provider::Database(database) = provider {
                database.refresh();
            }
        }
    }
}

/// What a look at an address came to.
pub(super) enum Look {
    Known {
        answer: Arc<Answer>,
        /// Whether it was in the cache.
        is_cached: bool,
    },
    /// The remote provider at this place of the chain has to be asked.
    Ask(IpAddr, usize),
}

impl Look {
    fn fresh(answer: Arc<Answer>) -> Self {
        Self::Known { answer, is_cached: false }
    }
}

/// One enricher's way to answers, with a cache of its own.
pub(super) struct Locator {
    providers: Providers,
    cache: LruCache<IpAddr, Cached>,
    /// Databases as of the present batch, by their places in the chain.
    databases: Vec<Option<Arc<Database>>>,
    refuse: Arc<RefuseList>,
    unlocated: Unlocated,
}

struct Cached {
    answer: Arc<Answer>,
    /// When it must not be used any more, on the monotonic clock.
    until: Option<Duration>,
}

impl Locator {
    /// Keeps what it learns of this many addresses; places that were refused are none.
    pub(super) fn new(
        providers: Providers,
        addresses: NonZeroUsize,
        refuse: Arc<RefuseList>,
    ) -> Self {
        let databases = vec![None; providers.0.len()];
        let cache = LruCache::new(addresses);
        Self { providers, cache, databases, refuse, unlocated: Unlocated::new() }
    }

    /// Takes up databases that were replaced; for the beginning of a batch.
    pub(super) fn refresh(&mut self) {
        let mut is_replaced = false;
        for (provider, known) in self.providers.0.iter().zip(&mut self.databases) {
            let Provider::Database(database) = provider else { continue };
            let current = database.current();
            is_replaced |= known.as_ref().is_some_and(|known| !Arc::ptr_eq(known, &current));
            *known = Some(current);
        }
        if is_replaced {
            self.cache.clear();
        }
    }

    /// Looks an address up at `now`, on the monotonic clock.
    pub(super) fn look(&mut self, ip: Option<&str>, now: Duration) -> Look {
        let ip = match ip.map_or(Err(GeoStatus::InvalidIp), address) {
            Ok(ip) => ip,
            Err(status) => return Look::fresh(self.unlocated.of(status)),
        };
        if let Some(cached) = self.cache.get(&ip)
            && cached.until.is_none_or(|until| now < until)
        {
            return Look::Known { answer: Arc::clone(&cached.answer), is_cached: true };
        }
        match self.look_up(ip) {
            Look::Known { answer, .. } => {
                self.keep(ip, &answer, None);
                Look::fresh(answer)
            }
            ask @ Look::Ask(..) => ask,
        }
    }

    /// Asks the remote provider at this place.
    pub(super) fn ask(
        &self,
        place: usize,
        ip: IpAddr,
        hits: u32,
    ) -> BoxFuture<'static, Result<Location, GeoStatus>> {
        match self.providers.0.get(place) {
            Some(Provider::Remote(remote)) => remote.locate(ip, hits),
            _ => Box::pin(std::future::ready(Err(GeoStatus::Error))),
        }
    }

    /// What the remote provider at `place` has answered, kept for the hits to come.
    pub(super) fn learn(
        &mut self,
        place: usize,
        ip: IpAddr,
        said: Result<Location, GeoStatus>,
        now: Duration,
    ) -> Arc<Answer> {
        let kept_for = if said.is_ok() { ANSWER_KEPT } else { FAILURE_KEPT };
        let answer = self.conclude(place, ip, said);
        self.keep(ip, &answer, Some(now.saturating_add(kept_for)));
        answer
    }

    /// The answer after what the remote provider at `place` said.
    fn conclude(&self, place: usize, ip: IpAddr, said: Result<Location, GeoStatus>) -> Arc<Answer> {
        match (said, self.providers.0.get(place)) {
            (Ok(location), Some(Provider::Remote(remote))) => {
                self.located(location, remote.source())
            }
            (Ok(_), _) => self.unlocated.of(GeoStatus::Error),
            (Err(status), _) => self.conclude_without_remote(ip, status),
        }
    }

    /// The answer where the remote provider has none: what a database knows, or why not. Those before it were asked.
    pub(super) fn conclude_without_remote(&self, ip: IpAddr, status: GeoStatus) -> Arc<Answer> {
        let behind = self.databases.iter().flatten();
        let mut found = behind.filter_map(|database| database.lookup(ip));
        match found.next() {
            Some(location) => self.located(location, GeoSource::Database),
            None => self.unlocated.of(status),
        }
    }

    fn look_up(&self, ip: IpAddr) -> Look {
        for (place, provider) in self.providers.0.iter().enumerate() {
            match (provider, self.databases.get(place)) {
                (Provider::Remote(_), _) => return Look::Ask(ip, place),
                (Provider::Database(_), Some(Some(database))) => {
                    if let Some(location) = database.lookup(ip) {
                        return Look::fresh(self.located(location, GeoSource::Database));
                    }
                }
                (Provider::Database(_), _) => {}
            }
        }
        let nobody = self.providers.0.is_empty();
        let status = if nobody { GeoStatus::Disabled } else { GeoStatus::NotFound };
        Look::fresh(self.unlocated.of(status))
    }

    fn located(&self, location: Location, source: GeoSource) -> Arc<Answer> {
        let answer = Answer::located(location, source);
        if self.refuse.places.contains(answer.columns()) {
            return self.unlocated.of(GeoStatus::Error);
        }
        Arc::new(answer)
    }

    fn keep(&mut self, ip: IpAddr, answer: &Arc<Answer>, until: Option<Duration>) {
        self.cache.put(ip, Cached { answer: Arc::clone(answer), until });
    }
}

/// One answer for each reason why there is none.
struct Unlocated(Vec<(GeoStatus, Arc<Answer>)>);

impl Unlocated {
    fn new() -> Self {
        Self(
            GeoStatus::ALL
                .iter()
                .map(|status| (*status, Arc::new(Answer::unlocated(*status))))
                .collect(),
        )
    }

    fn of(&self, status: GeoStatus) -> Arc<Answer> {
        let known = self.0.iter().find(|(of, _)| *of == status);
        known.map_or_else(|| Arc::new(Answer::unlocated(status)), |(_, answer)| Arc::clone(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TEXT: &str = "8.8.8.8";

    /// Somebody whose words the test says itself.
    struct Elsewhere;

    impl RemoteLocator for Elsewhere {
        fn source(&self) -> GeoSource {
            GeoSource::Ip2Location
        }

        fn locate(&self, _: IpAddr, _: u32) -> BoxFuture<'static, Result<Location, GeoStatus>> {
            Box::pin(std::future::pending())
        }
    }

    fn locator(refuse: RefuseList) -> Locator {
        let providers = Providers::new(vec![Provider::Remote(Arc::new(Elsewhere))]);
        Locator::new(providers, NonZeroUsize::MIN, Arc::new(refuse))
    }

    fn sweden() -> Location {
        Location { country_code: Some("SE".into()), ..Location::default() }
    }

    /// What is known of the address at a time; nothing where somebody has to be asked.
    fn known(locator: &mut Locator, now: Duration) -> Option<Vec<u8>> {
        match locator.look(Some(TEXT), now) {
            Look::Known { answer, .. } => Some(answer.columns().to_vec()),
            Look::Ask(..) => None,
        }
    }

    #[test]
    fn what_a_remote_provider_did_not_know_is_asked_again_soon_and_what_it_knew_is_not() {
        let (said, began) = ([Err(GeoStatus::NotFound), Ok(sweden())], 100 * SECOND);
        for (said, kept_for) in said.into_iter().zip([FAILURE_KEPT, ANSWER_KEPT]) {
            let mut locator = locator(RefuseList::default());
            assert_eq!(known(&mut locator, began), None);
            let answer = locator.learn(0, TEXT.parse().unwrap(), said, began);
            let columns = Some(answer.columns().to_vec());
            assert_eq!(known(&mut locator, began), columns);
            assert_eq!(known(&mut locator, began + kept_for - SECOND), columns);
            assert_eq!(known(&mut locator, began + kept_for), None);
        }
        assert!(FAILURE_KEPT <= 10 * SECOND, "the provider itself remembers for longer");
    }

    #[test]
    fn place_that_was_refused_is_none() {
        let refused = Answer::located(sweden(), GeoSource::Ip2Location).columns().into();
        let mut locator = locator(RefuseList { places: [refused].into(), ..RefuseList::default() });
        let of = |answer: Arc<Answer>| answer.columns().to_vec();
        let ip = TEXT.parse().unwrap();
        let error = Answer::unlocated(GeoStatus::Error).columns().to_vec();
        assert_eq!(of(locator.learn(0, ip, Ok(sweden()), SECOND)), error);
        assert_eq!(known(&mut locator, SECOND), Some(error));
        let elsewhere = Location { country_code: Some("NO".into()), ..Location::default() };
        let norway = Answer::located(elsewhere.clone(), GeoSource::Ip2Location).columns().to_vec();
        assert_eq!(of(locator.learn(0, ip, Ok(elsewhere), SECOND)), norway);
    }
}
