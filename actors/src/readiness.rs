//! Whether the pipeline does its work, and what keeps it from it: shared by those who know with those who ask.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

/// A part of the pipeline that can keep it from its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The consumer group: not joined, or the brokers are away.
    Kafka,
    /// The database: not reached, or it does not commit.
    Postgres,
    /// The actors: they die again and again.
    Actors,
    /// Commits: they do not follow, while records wait ([`crate::stall`]).
    Commits,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Actors, Self::Commits];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Actors => "actors",
            Self::Commits => "commits",
        })
    }
}

/// What keeps the pipeline from its work; ready when there is nothing. All clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeMap<Part, String>>>);

impl Default for Readiness {
    /// Not ready: neither has the group answered yet, nor the database said where to go on.
    fn default() -> Self {
        let waiting = [
            (Part::Kafka, "the consumer group is not joined yet".to_owned()),
            (Part::Postgres, "the progress in PostgreSQL is not read yet".to_owned()),
        ];
        Self(Arc::new(Mutex::new(waiting.into())))
    }
}

impl Readiness {
    /// The part works.
    pub fn works(&self, part: Part) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.remove(&part).is_some() && reasons.is_empty() {
            info!("ready");
        }
    }

    /// The part does not work, and why.
    pub fn fails(&self, part: Part, reason: impl Into<String>) {
        let reason = reason.into();
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.insert(part, reason.clone()).is_none() {
            warn!(%part, reason, "not ready");
        }
    }

    /// Each part that does not work, and why.
    pub fn reasons(&self) -> BTreeMap<Part, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everything works.
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_part_works() {
        let readiness = Readiness::default();
        readiness.works(Part::Kafka);
        assert!(!readiness.is_ready());
        readiness.works(Part::Postgres);
        assert!(readiness.is_ready());
        readiness.fails(Part::Actors, "they die");
        assert_eq!(readiness.reasons().into_values().collect::<Vec<_>>(), ["they die"]);
    }
}
