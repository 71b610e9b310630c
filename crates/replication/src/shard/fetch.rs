//! The second connection to the primary, which takes a snapshot beside the stream that flows.

use std::time::Duration;

use sterna_protocol::rdb::RdbError;
use tokio::time::Instant;

use super::event::{Effect, Effects, Now};
use super::origin::Origin;
use crate::settings::{SNAPSHOT_PAUSE_MAX, SNAPSHOT_PAUSE_MIN};
use crate::source::SourceError;
use crate::status::Notice;

/// The second connection, if there is one. The primary forks for each, so there is one at a time, and a pause after it,
/// which grows while they fail.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Its number.
    attempt: Option<u64>,
    /// Whom it found.
    peer: String,
    /// What it is to bring.
    origin: Origin,
    not_before: Instant,
    /// How often in a row it failed, and why.
    failures: u32,
    error: Option<String>,
}

impl Fetch {
    pub(super) fn none(now: Now) -> Self {
        Self {
            attempt: None,
            peer: String::new(),
            origin: Origin::default(),
            not_before: now.mono,
            failures: 0,
            error: None,
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

    /// It found the primary, which is asked for this.
    pub(super) fn found(&mut self, peer: String, origin: Origin) {
        self.peer = peer;
        self.origin = origin;
    }

    /// What it is to bring.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Nobody can load what it would bring, which is no failure.
    pub(super) fn of_no_use(&mut self, effects: &mut Effects, now: Now) {
        self.error = None;
        self.pause(SNAPSHOT_PAUSE_MIN, effects, now);
    }

    /// What it brought can't be right.
    pub(super) fn bad_data(&self, what: &RdbError) -> SourceError {
        SourceError::BadData(format!("{} sent bytes that can't be right: {what}", self.peer))
    }

    /// It brought what it was for.
    pub(super) fn done(&mut self, effects: &mut Effects, now: Now) {
        self.failures = 0;
        self.error = None;
        self.pause(SNAPSHOT_PAUSE_MAX, effects, now);
    }

    /// It failed, which is told once.
    pub(super) fn failed(&mut self, reason: String, effects: &mut Effects, now: Now) {
        if self.error.as_ref() != Some(&reason) {
            let reason = reason.clone();
            effects.notify(Notice::CopyFailed { reason });
        }
        self.error = Some(reason);
        let pause = SNAPSHOT_PAUSE_MIN * 2_u32.saturating_pow(self.failures);
        self.failures += 1;
        self.pause(pause.min(SNAPSHOT_PAUSE_MAX), effects, now);
    }

    /// What failed was of another primary, or another history.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        self.error = None;
    }

    /// Why the last ones failed, until one succeeds.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Ends it; the next one waits.
    fn pause(&mut self, pause: Duration, effects: &mut Effects, now: Now) {
        if self.abort(effects) {
            self.not_before = now.mono + pause;
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
