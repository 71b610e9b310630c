//! The state of the link to the primary.

use std::time::Duration;

use sterna_node::Upstream;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::event::{Handover, Now};
use crate::acks::Acks;
use crate::backoff::Backoff;
use crate::lineage::{HoldReason, Lineage};

/// A lease is renewed just after a sign of life, so that the next one soon tells that it arrived.
const LIFE_FRESH: Duration = Duration::from_millis(100);
/// An acknowledgement that no sign of life has followed for so long, beside two round trips, is given up with its
/// connection.
const UNCONFIRMED_MAX: Duration = Duration::from_millis(400);
/// No network is slower than this for the purpose.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// How far the current attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No attempt is under way, or it has not found a primary yet.
    Connecting,
    /// It was told how to follow; the answer to `PSYNC` is awaited. The log stands still.
    Asked,
    /// A snapshot arrives.
    FullSync,
    /// The stream flows.
    Streaming,
}

/// A primary was found and waits to be told how it will be followed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) peer: String,
    pub(super) lineage: Lineage,
    pub(super) reply: oneshot::Sender<Result<PsyncRequest, String>>,
}

/// What a `+FULLRESYNC` may mean for the attempt that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FullResyncPermit {
    /// Any history may come: there is nothing here, or a person accepted that it is overwritten.
    Any,
    /// Only this history, which is known to be a successor of ours.
    Successor(ReplicationId),
}

/// The link to the primary.
#[derive(Debug)]
pub(super) struct Link {
    /// Whom to follow, if anybody.
    pub(super) upstream: Option<Upstream>,
    /// The latest term that was heard of.
    pub(super) epoch: u64,
    /// What to do about a primary that hands over.
    pub(super) handover: Handover,
    /// The primary that is followed steps down: when it does, it is not looked for again.
    pub(super) hands_over: bool,
    /// When the primary last heard, or may have heard, that this replica is there.
    pub(super) renewed: Option<Instant>,
    /// The history that the primary was promoted from, and the last offset that it shares with it, as it says.
    pub(super) previous: Option<(ReplicationId, Offset)>,
    /// What was acknowledged last on this connection.
    pub(super) acked: Option<Offset>,
    alive: Option<Instant>,
    round_trip: Duration,
    /// Number of the attempt under way; reports of others are ignored.
    pub(super) attempt: u64,
    pub(super) phase: Phase,
    pub(super) pending: Option<Pending>,
    pub(super) permit: FullResyncPermit,
    pub(super) acks: Acks,
    pub(super) acks_out: Option<mpsc::UnboundedSender<Offset>>,
    pub(super) backoff: Backoff,
    pub(super) hold: Option<HoldReason>,
    pub(super) last_failure: Option<String>,
    /// The unit at which bad data came (none: in a snapshot), and how often in a row.
    pub(super) corrupt: Option<(Option<Offset>, u32)>,
    /// After how many bytes a snapshot broke off, and how often in a row.
    pub(super) broken_off: Option<(u64, u32)>,
    heard: Option<Instant>,
    accept_new_history: bool,
    peer: Option<String>,
    observed: Option<Offset>,
    attempts: u64,
}

impl Link {
    pub(super) fn new(upstream: Option<Upstream>, accept_new_history: bool, now: Now) -> Self {
        Self {
            upstream,
            epoch: 0,
            handover: Handover::Refuse,
            hands_over: false,
            renewed: None,
            previous: None,
            acked: None,
            alive: None,
            round_trip: Duration::ZERO,
            attempt: 0,
            phase: Phase::Connecting,
            pending: None,
            permit: FullResyncPermit::Any,
            acks: Acks::new(now.mono),
            acks_out: None,
            backoff: Backoff::default(),
            hold: None,
            last_failure: None,
            corrupt: None,
            broken_off: None,
            heard: None,
            accept_new_history,
            peer: None,
            observed: None,
            attempts: 0,
        }
    }

    /// A number for a new attempt, never used before.
    pub(super) fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    pub(super) fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    pub(super) fn found(&mut self, peer: String) {
        self.peer = Some(peer);
    }

    pub(super) fn observed(&self) -> Option<Offset> {
        self.observed
    }

    pub(super) fn observe(&mut self, offset: Offset, took: Duration, now: Instant) {
        self.observed = Some(offset);
        self.round_trip = took.min(ROUND_TRIP_MAX);
        self.alive = Some(now);
    }

    /// Whether the primary's lease may be renewed now: it has just shown a sign of life. Acknowledgements to one that no
    /// longer answers would only lengthen the wait until another may take over.
    pub(super) fn may_renew(&self, now: Instant) -> bool {
        self.alive
            .is_some_and(|alive| now.saturating_duration_since(alive) <= LIFE_FRESH)
    }

    /// Whether an acknowledgement is on its way that no sign of life has followed for long: it may arrive for as long as
    /// the connection lasts, and would renew the lease of a primary that is about to be replaced.
    pub(super) fn is_unconfirmed(&self, now: Instant) -> bool {
        let limit = UNCONFIRMED_MAX + 2 * self.round_trip;
        self.renewed > self.alive
            && self
                .alive
                .is_some_and(|alive| now.saturating_duration_since(alive) > limit)
    }

    /// When the primary last showed a sign of life.
    pub(super) fn alive_at(&self) -> Option<Instant> {
        self.alive
    }

    /// Whether a command of this term is to be obeyed.
    pub(super) fn admits(&mut self, epoch: u64) -> bool {
        self.epoch = self.epoch.max(epoch);
        epoch == self.epoch
    }

    pub(super) fn forget_observed(&mut self) {
        self.observed = None;
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.alive = Some(now);
    }

    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_duration_since(heard))
    }

    pub(super) fn accept_new_history(&mut self) {
        self.accept_new_history = true;
    }

    pub(super) fn accepts_new_history(&self) -> bool {
        self.accept_new_history
    }

    /// The person's word was used: it counts for one new history only.
    pub(super) fn new_history_taken(&mut self) {
        self.accept_new_history = false;
    }

    /// The attempt reached the stream: what went wrong before is over.
    pub(super) fn streaming(&mut self, now: Now) {
        self.phase = Phase::Streaming;
        self.acks = Acks::new(now.mono);
        self.acked = None;
        self.backoff.reset();
        self.hold = None;
        self.broken_off = None;
        self.last_failure = None;
        self.heard(now.mono);
        // A replica that continues counts as one that has just acknowledged.
        self.renewed = Some(now.mono);
    }
}
