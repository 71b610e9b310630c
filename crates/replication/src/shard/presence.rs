//! Signs of life of a follower, and how long it may go without.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::{REPLACED_SILENCE_MAX, SilenceLimits};

/// What may be expected of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// It waits for an answer, which it does without a word.
    Waits,
    /// It is given a copy, or loads it: it takes what it is sent, or says a newline now and then.
    Loads,
    /// It follows the stream, and acknowledges once a second. What its socket takes is no sign of life: the kernels at both
    /// ends hold megabytes for a node that is gone.
    Follows,
}

/// When a follower last showed that it is there.
#[derive(Debug)]
pub(super) struct Presence {
    /// It said something.
    spoke: Instant,
    /// Its socket took bytes.
    took: Instant,
    /// Another connection has taken its place since, of the same node, or of one that looks the same from here: two behind an
    /// address translation may. Which of them, it shows by what it says next, or does not say.
    replaced: Option<Instant>,
}

impl Presence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            spoke: now,
            took: now,
            replaced: None,
        }
    }

    /// It said something, or is expected to from now on.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.spoke = now;
        self.replaced = self
            .replaced
            .filter(|since| now.saturating_duration_since(*since) < REPLACED_SILENCE_MAX);
    }

    pub(super) fn took(&mut self, now: Instant) {
        self.took = now;
    }

    /// A node of the same place has attached.
    pub(super) fn replaced(&mut self, now: Instant) {
        self.replaced.get_or_insert(now);
    }

    /// When it last said something.
    pub(super) fn heard_at(&self) -> Instant {
        self.spoke
    }

    /// Why it must be taken for gone, if it must.
    pub(super) fn lost(&self, duty: Duty, limits: SilenceLimits, now: Instant) -> Option<String> {
        let silent = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let (since, limit) = match duty {
            Duty::Waits => return None,
            Duty::Follows if self.replaced.is_some() && silent(self.spoke, REPLACED_SILENCE_MAX) => {
                return Some("the node has come with a new connection".to_owned());
            }
            Duty::Follows => (self.spoke, limits.replica),
            Duty::Loads => (self.spoke.max(self.took), limits.replica_loading),
        };
        silent(since, limit).then(|| format!("it has been silent for more than {} s", limit.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn limits() -> SilenceLimits {
        SilenceLimits {
            replica: 10 * S,
            replica_loading: 60 * S,
            ..SilenceLimits::default()
        }
    }

    fn is_lost(presence: &Presence, duty: Duty, at: Instant) -> bool {
        presence.lost(duty, limits(), at).is_some()
    }

    #[test]
    fn who_follows_must_speak_and_who_loads_may_only_take() {
        let start = Instant::now();
        let mut presence = Presence::new(start);
        presence.took(start + 9 * S);
        assert!(!is_lost(&presence, Duty::Follows, start + 10 * S));
        assert!(is_lost(&presence, Duty::Follows, start + 11 * S));
        assert!(!is_lost(&presence, Duty::Loads, start + 69 * S));
        assert!(is_lost(&presence, Duty::Loads, start + 70 * S));
        assert!(!is_lost(&presence, Duty::Waits, start + 900 * S));
    }

    #[test]
    fn one_whose_place_was_taken_is_another_if_it_goes_on_speaking_and_gone_if_not() {
        let start = Instant::now();
        let (mut other, mut gone) = (Presence::new(start), Presence::new(start));
        other.replaced(start);
        gone.replaced(start);
        for second in 1..=3 {
            other.spoke(start + second * S);
        }
        // On its way when the place was taken.
        gone.spoke(start + S / 10);
        assert!(!is_lost(&gone, Duty::Follows, start + 2 * S));
        assert!(is_lost(&gone, Duty::Follows, start + 3 * S));
        assert!(!is_lost(&other, Duty::Follows, start + 8 * S));
    }

    /// It says nothing for long, and begins anew where it is taken for gone.
    #[test]
    fn one_that_loads_is_not_replaced() {
        let start = Instant::now();
        let mut presence = Presence::new(start);
        presence.replaced(start);
        assert!(!is_lost(&presence, Duty::Loads, start + 30 * S));
    }
}
