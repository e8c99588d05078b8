//! What the provider is told: validated values, no defaults.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// How to use IP2Location.io, or what speaks like it.
#[derive(Clone, Debug)]
pub struct Ip2LocationSettings {
    /// Where to ask, `http` or `https`; parameters are added to what it has.
    pub base_url: String,
    /// Sent as the parameter `key`; without one the service gives its keyless answers.
    pub key: Option<ApiKey>,
    /// A PEM file of certificates to trust beside those of the system, for a proxy or a service of one's own.
    pub root_ca: Option<PathBuf>,
    /// How long one request may take altogether; connecting may take half of it.
    pub timeout: Duration,
    /// Requests under way at a time.
    pub concurrency: NonZeroUsize,
    /// Requests begun within any one second, by this instance.
    pub per_second: NonZeroU32,
    /// Requests, retries included, of all instances of one schema in a day or month; `None` has no bound.
    pub budget: Option<Budget>,
    /// How often an address is asked for again after a failure that may pass.
    pub retries: u32,
    /// How long an address that nobody knows is not asked for again.
    pub negative_ttl: Duration,
    /// How long an answer is kept in PostgreSQL; `None` keeps none and looks none up, as privacy may demand.
    pub keep_for: Option<Duration>,
    /// How long nothing is asked after several failures in a row; doubles up to eightfold while they go on.
    pub failing_rest: Duration,
    /// How long nothing is asked after the service said that the key is wrong or out of credit.
    pub refused_rest: Duration,
}

/// Longer than any process lives; clocks cannot add much more.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Ip2LocationSettings {
    /// The same, with no time so long that a clock could not reach its end.
    pub(super) fn bounded(mut self) -> Self {
        let times = [
            &mut self.timeout,
            &mut self.negative_ttl,
            &mut self.failing_rest,
            &mut self.refused_rest,
        ];
        for time in times {
            *time = FOR_EVER.min(*time);
        }
        self
    }
}

/// How many requests a period may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests.
    pub count: NonZeroU64,
    /// In each of these.
    pub period: BudgetPeriod,
}

impl Budget {
    /// How many requests are reserved at a time: a hundredth, so that what a crash loses is little, and 500 at most.
    pub fn chunk(&self) -> u64 {
        (self.count.get() / 100).clamp(1, 500)
    }
}

/// A period of a budget; it begins at midnight UTC by PostgreSQL's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetPeriod {
    /// Each day.
    Day,
    /// Each calendar month.
    Month,
}

impl BudgetPeriod {
    /// The word that configuration and PostgreSQL have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The key of an account; however it is printed, it shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps a key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself, for the one place that sends it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Settings for unit tests; nothing is ever asked with them.
#[cfg(test)]
pub(super) fn tests_settings() -> Ip2LocationSettings {
    Ip2LocationSettings {
        base_url: "http://127.0.0.1:9/".to_owned(),
        key: Some(ApiKey::new("canary")),
        root_ca: None,
        timeout: Duration::from_secs(1),
        concurrency: NonZeroUsize::MIN,
        per_second: NonZeroU32::MIN,
        budget: None,
        retries: 0,
        negative_ttl: Duration::from_secs(60),
        keep_for: None,
        failing_rest: Duration::from_secs(10),
        refused_rest: Duration::from_secs(1800),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_masked_when_printed() {
        let key = ApiKey::new("hunter2");
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "*** Some(***)");
        assert_eq!(key.reveal(), "hunter2");
    }

    #[test]
    fn budget_is_reserved_in_small_parts() {
        let chunk = |count| {
            let count = NonZeroU64::new(count).unwrap();
            Budget { count, period: BudgetPeriod::Day }.chunk()
        };
        assert_eq!([1, 100, 1_000, 50_000, 10_000_000].map(chunk), [1, 1, 10, 500, 500]);
    }
}
