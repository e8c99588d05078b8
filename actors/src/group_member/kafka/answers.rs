//! When brokers answered what was asked beside the group.

use std::time::Duration;

use crate::source::SourceError;

/// The last answer, and the row of answers that it ends. Times are on the monotonic clock.
#[derive(Debug)]
pub(super) struct Answers {
    last: Duration,
    /// Since when every question was answered.
    since: Option<Duration>,
}

impl Answers {
    /// Nothing was answered before `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self { last: now, since: None }
    }

    /// What came of a question.
    pub(super) fn heard<T>(&mut self, now: Duration, answer: &Result<T, SourceError>) {
        match answer {
            Ok(_) => {
                self.last = now;
                self.since.get_or_insert(now);
            }
            // An answer, too; but without its topic no group can settle.
            Err(SourceError::TopicMissing(_)) => (self.last, self.since) = (now, None),
            Err(_) => self.since = None,
        }
    }

    /// Time since the last answer.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last)
    }

    /// For how long every question was answered, as far as is known.
    pub(super) fn answering(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| self.last.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_of_answers_ends_with_one_that_does_not_come() {
        let s = Duration::from_secs;
        let mut answers = Answers::new(s(1));
        let none = Err::<(), _>(SourceError::Unavailable("timed out".to_owned()));
        answers.heard(s(5), &Ok(()));
        answers.heard(s(12), &Ok(()));
        assert_eq!((answers.silence(s(14)), answers.answering()), (s(2), s(7)));
        answers.heard(s(17), &none);
        assert_eq!((answers.silence(s(20)), answers.answering()), (s(8), s(0)));
        answers.heard(s(22), &Err::<(), _>(SourceError::TopicMissing("hits".to_owned())));
        assert_eq!((answers.silence(s(23)), answers.answering()), (s(1), s(0)));
    }
}
