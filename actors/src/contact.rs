//! How a source stands with its brokers and its group: what keeps it from being ready, and when its client is lost.

use std::time::Duration;

/// So long brokers may be silent before that is a reason not to be ready: two looks in a row.
const SILENCE: Duration = Duration::from_secs(10);
/// So long the group may settle before that is one. A member that died is waited for until its session ends.
const SETTLING: Duration = Duration::from_secs(15);

/// What a source knows without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Time since brokers last answered a question; since the start, where they never have.
    pub silence: Duration,
    /// For how long every question was answered; zero where the last one was not.
    pub answering: Duration,
    /// What the group has not confirmed; `None` while this member's partitions are settled, be it that it has none.
    pub unconfirmed: Option<Unconfirmed>,
    /// How long that may last while brokers answer, before another client is to try.
    pub patience: Duration,
}

/// A member waits for its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unconfirmed {
    /// For how long.
    pub time: Duration,
    /// At which step the client is, in its own words.
    pub step: String,
}

impl Contact {
    /// Why the source cannot do its work, if that lasts.
    pub fn trouble(&self) -> Option<String> {
        if self.silence >= SILENCE {
            return Some(format!("the brokers have not answered for {} s", self.silence.as_secs()));
        }
        let Unconfirmed { time, step } = self.unconfirmed.as_ref()?;
        (*time >= SETTLING).then(|| {
            format!(
                "the group has not said for {} s which partitions are this instance's (the Kafka client is at {step:?})",
                time.as_secs()
            )
        })
    }

    /// Why another client has to take this one's place, if that is so: brokers answer, and the group it waits for does not
    /// come. While brokers are away every client would wait.
    pub fn loss(&self) -> Option<String> {
        let Unconfirmed { time, step } = self.unconfirmed.as_ref()?;
        let waited = *time.min(&self.answering);
        (waited >= self.patience).then(|| {
            format!(
                "brokers answer, and for {} s the group has not said which partitions are this instance's (the client is at \
                 {step:?})",
                waited.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn contact(silence: u64, answering: u64, unconfirmed: Option<u64>) -> Contact {
        Contact {
            silence: s(silence),
            answering: s(answering),
            unconfirmed: unconfirmed
                .map(|time| Unconfirmed { time: s(time), step: "wait-join".to_owned() }),
            patience: s(14),
        }
    }

    #[test]
    fn silent_brokers_are_a_reason_and_no_loss() {
        assert_eq!(contact(9, 9, None).trouble(), None);
        let silent = contact(12, 0, Some(90));
        assert_eq!(silent.trouble().unwrap(), "the brokers have not answered for 12 s");
        assert_eq!(silent.loss(), None, "another client would wait just the same");
    }

    #[test]
    fn group_that_does_not_settle_is_a_reason_and_with_answering_brokers_a_loss() {
        assert_eq!(contact(1, 100, None).trouble(), None, "also without a partition");
        assert_eq!(contact(1, 100, None).loss(), None);
        assert_eq!(contact(1, 100, Some(13)).trouble(), None);
        assert_eq!(contact(1, 100, Some(13)).loss(), None);
        assert_eq!(contact(1, 13, Some(90)).loss(), None, "they have only just come back");
        let lost = contact(1, 20, Some(90));
        assert!(lost.trouble().unwrap().contains("for 90 s"));
        assert!(
            lost.loss().unwrap().contains("for 20 s") && lost.loss().unwrap().contains("wait-join")
        );
    }
}
