//! The second connection to the primary, which takes a snapshot beside the stream that flows.

use tokio::time::Instant;

use super::event::{Effect, Effects, Now};
use crate::settings::SNAPSHOT_RETRY_INTERVAL;

/// The second connection, if there is one. The primary forks for each, so there is one at a time, and a pause after it.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Its number.
    attempt: Option<u64>,
    not_before: Instant,
}

impl Fetch {
    pub(super) fn none(now: Now) -> Self {
        Self {
            attempt: None,
            not_before: now.mono,
        }
    }

    pub(super) fn is(&self, attempt: u64) -> bool {
        self.attempt == Some(attempt)
    }

    /// Whether it may be opened now.
    pub(super) fn may_begin(&self, now: Now) -> bool {
        self.attempt.is_none() && now.mono >= self.not_before
    }

    /// It was opened.
    pub(super) fn begins(&mut self, attempt: u64) {
        self.attempt = Some(attempt);
    }

    /// Ends it; the next one waits.
    pub(super) fn end(&mut self, effects: &mut Effects, now: Now) {
        if self.abort(effects) {
            self.not_before = now.mono + SNAPSHOT_RETRY_INTERVAL;
        }
    }

    /// Ends it, if there is one, and lets the next one come at once. Returns whether there was one.
    pub(super) fn abort(&mut self, effects: &mut Effects) -> bool {
        let aborted = self.attempt.take();
        if let Some(attempt) = aborted {
            effects.start(Effect::Disconnect { attempt });
        }
        aborted.is_some()
    }
}
