//! Waiting for PostgreSQL without a limit, and not without a word: a lock that somebody holds, or a server that hangs.

use std::pin::pin;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::clock;
use crate::readiness::{Part, Readiness};
use crate::store::StoreError;

/// An answer of a few rows that takes longer is a reason not to be ready.
pub const LONG: Duration = Duration::from_secs(10);
/// The same for an answer that takes as long as there are rows.
pub const LONG_FOR_MANY: Duration = Duration::from_secs(30);
/// How often the log says so again.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How often the reason is brought up to date.
const TICK: Duration = Duration::from_secs(1);

/// Waits for the answer, which is about `what`; says so once it takes `long`, as a reason not to be ready and in the log.
///
/// # Errors
/// That of the answer.
pub async fn awaited<T>(
    readiness: &Readiness,
    what: &str,
    long: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begin = clock::monotonic();
    let mut answer = pin!(answer);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_word = long;
    loop {
        let waited = tokio::select! {
            biased;
            answer = &mut answer => {
                if next_word > long && answer.is_ok() {
                    info!("PostgreSQL has answered about {what}");
                    readiness.works(Part::Postgres);
                }
                return answer;
            }
            _ = ticks.tick() => clock::monotonic().saturating_sub(begin),
        };
        if waited < long {
            continue;
        }
        let seconds = waited.as_secs();
        readiness.fails(
            Part::Postgres,
            format!("an answer about {what} is waited for since {seconds} s: it hangs, or somebody holds a lock"),
        );
        if waited >= next_word {
            warn!(
                seconds,
                "PostgreSQL does not answer about {what}: it hangs, or somebody holds a lock; waiting"
            );
            next_word = waited + SAY_AGAIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quick_answer_leaves_readiness_alone() {
        let readiness = Readiness::default();
        let before = readiness.reasons();
        assert_eq!(awaited(&readiness, "x", LONG, async { Ok(1) }).await, Ok(1));
        assert_eq!(readiness.reasons(), before);
    }
}
