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

/// The lease is renewed at a sign of life, which is when it is likeliest that the primary is there to hear it.
const LIFE_JUST: Duration = Duration::from_millis(20);
/// What the primary waits for is acknowledged when it is safe here, so long after a sign of life.
const LIFE_FRESH: Duration = Duration::from_millis(100);
/// An acknowledgement that nobody has confirmed is given up with its connection when no sign of life has come for so
/// long, beside two round trips.
const UNCONFIRMED_MAX: Duration = Duration::from_millis(400);
/// Ticks that are so far apart tell that this process stood still, and not who else did.
const STOOD_STILL: Duration = Duration::from_millis(150);
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
    /// When the latest question was asked that the primary has answered.
    answered: Option<Instant>,
    ticked: Option<Instant>,
    /// When this process last went on after it had stood still.
    went_on: Option<Instant>,
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
            answered: None,
            ticked: None,
            went_on: None,
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

    /// The primary answered what it was asked at `asked`.
    pub(super) fn observe(&mut self, offset: Offset, asked: Instant, now: Instant) {
        self.observed = Some(offset);
        self.round_trip = now.saturating_duration_since(asked).min(ROUND_TRIP_MAX);
        self.answered = Some(asked);
        self.alive = Some(now);
    }

    /// Time passes. Whoever stood still has not listened: silence counts from when it went on.
    pub(super) fn tick(&mut self, now: Instant) {
        let since = |ticked| now.saturating_duration_since(ticked);
        if self.ticked.is_some_and(|ticked| since(ticked) > STOOD_STILL) {
            self.went_on = Some(now);
        }
        self.ticked = Some(now);
    }

    /// Whether the primary may hear of us now, and so have its lease renewed: it has just shown a sign of life.
    /// Acknowledgements to one that no longer answers would only lengthen the wait until another may take over.
    pub(super) fn may_renew(&self, now: Instant) -> bool {
        let limit = if self.acks.awaited().is_some() {
            LIFE_FRESH
        } else {
            LIFE_JUST
        };
        self.alive
            .is_some_and(|alive| now.saturating_duration_since(alive) <= limit)
    }

    /// Whether an acknowledgement may be on its way for long: nothing that was asked after it was answered, and no sign
    /// of life came either. It would arrive for as long as the connection lasts, and renew the lease of a primary that
    /// is about to be replaced.
    pub(super) fn is_unconfirmed(&self, now: Instant) -> bool {
        let limit = UNCONFIRMED_MAX + 2 * self.round_trip;
        let silent = |alive: Instant| now.saturating_duration_since(alive) > limit;
        self.renewed > self.answered && self.alive.max(self.went_on).is_some_and(silent)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A link that acknowledged at the returned time, just after a sign of life.
    fn acknowledged() -> (Link, Instant) {
        let start = Instant::now();
        let now = Now {
            mono: start,
            wall_ms: 0,
        };
        let mut link = Link::new(None, false, now);
        link.streaming(now);
        (link, start)
    }

    #[test]
    fn an_acknowledgement_that_nobody_confirms_is_given_up() {
        let (link, start) = acknowledged();
        assert!(!link.is_unconfirmed(start + 400 * MS));
        assert!(link.is_unconfirmed(start + 401 * MS));
    }

    #[test]
    fn an_answer_confirms_only_what_went_out_before_its_question() {
        let (mut link, start) = acknowledged();
        // On its way already when the acknowledgement went out.
        link.observe(Offset::new(1), start - 10 * MS, start + 10 * MS);
        assert!(link.is_unconfirmed(start + 500 * MS));
        link.observe(Offset::new(1), start + 10 * MS, start + 11 * MS);
        assert!(!link.is_unconfirmed(start + 5000 * MS));
    }

    #[test]
    fn bytes_confirm_nothing_but_show_that_it_lives() {
        let (mut link, start) = acknowledged();
        link.heard(start + 300 * MS);
        assert!(!link.is_unconfirmed(start + 700 * MS));
        assert!(link.is_unconfirmed(start + 701 * MS));
    }

    #[test]
    fn a_lease_is_renewed_at_a_sign_of_life_and_who_waits_gets_a_moment_more() {
        let (mut link, start) = acknowledged();
        assert!(link.may_renew(start + 20 * MS) && !link.may_renew(start + 21 * MS));
        link.acks.asked(Offset::new(1));
        assert!(link.may_renew(start + 100 * MS) && !link.may_renew(start + 101 * MS));
    }

    #[test]
    fn silence_counts_from_when_this_process_listens_again() {
        let (mut link, start) = acknowledged();
        link.tick(start);
        link.tick(start + 2000 * MS);
        assert!(!link.is_unconfirmed(start + 2400 * MS));
        link.tick(start + 2050 * MS);
        assert!(link.is_unconfirmed(start + 2401 * MS));
    }

    #[test]
    fn a_far_primary_has_two_round_trips_more() {
        let (mut link, start) = acknowledged();
        link.observe(Offset::new(1), start - 200 * MS, start);
        assert!(!link.is_unconfirmed(start + 800 * MS));
        assert!(link.is_unconfirmed(start + 801 * MS));
    }
}
