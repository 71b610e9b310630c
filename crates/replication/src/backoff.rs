//! How long to wait before the next attempt: exponential with full jitter, so that many links do not knock at once.

use std::time::Duration;

/// The wait after the first failure.
pub(crate) const FIRST: Duration = Duration::from_millis(50);
/// No wait is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// A source of random numbers: a seam, so that a simulation can own it.
pub(crate) trait Random: Send {
    fn next_u64(&mut self) -> u64;
}

/// The operating system's.
pub(crate) struct OsRandom;

impl Random for OsRandom {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }
}

/// Failures in a row, and the wait that follows from them.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// An attempt succeeded: the next failure starts from the beginning.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed: how long to wait, between half of the current step and the whole of it.
    pub(crate) fn failed(&mut self, random: &mut dyn Random) -> Duration {
        let step = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half_ms = u64::try_from(step.as_millis() / 2).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(half_ms + random.next_u64() % half_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);

    impl Random for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    #[test]
    fn waits_grow_to_the_longest_and_never_past_it() {
        for jitter in [0, u64::MAX, 12345] {
            let mut backoff = Backoff::default();
            let waits: Vec<_> = (0..40).map(|_| backoff.failed(&mut Fixed(jitter))).collect();
            assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2, "{waits:?}");
            assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
            assert!(waits[39] >= LONGEST / 2, "{waits:?}");
            backoff.reset();
            assert!(backoff.failed(&mut Fixed(jitter)) <= FIRST);
        }
    }
}
