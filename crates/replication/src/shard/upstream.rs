//! The primary: the attempt to follow it that is under way, what it may be answered, what is acknowledged to it.

use std::time::Duration;

use sterna_model::{HoldReason, LinkState};
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::event::{Effect, Effects, Now};
use super::failures::Failures;
use super::liveness::Liveness;
use crate::acks::Acks;
use crate::lineage::{Assessment, Grounds, Held, HistoryEnd, Lineage, assess};
use crate::source::Purpose;
use crate::status::{Notice, Status};

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
enum FullResyncPermit {
    /// Any history may come: there is nothing here, or a person accepted that it is overwritten.
    Any,
    /// Only this history, which is known to be a successor of ours.
    Successor(ReplicationId),
}

/// What may be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct AckRule {
    /// What the setting allows.
    pub(super) safe: Offset,
    /// The primary hands over and waits until this is acknowledged, though it does not ask.
    pub(super) handover_at: Option<Offset>,
    /// Acknowledgements are a lease: only a primary that shows signs of life is given one.
    pub(super) lease: bool,
}

/// The primary that is followed, or looked for.
#[derive(Debug)]
pub(super) struct Upstream {
    /// Where to look for it, if anybody is followed.
    target: Option<sterna_node::Upstream>,
    /// Numbers given to attempts, the last one.
    attempts: u64,
    /// Number of the attempt under way; reports of others are ignored.
    attempt: u64,
    phase: Phase,
    pending: Option<Pending>,
    permit: FullResyncPermit,
    /// The history that the primary was promoted from, and the last offset that it shares with it, as it says.
    previous: Option<(ReplicationId, Offset)>,
    acks: Acks,
    acks_out: Option<watch::Sender<Offset>>,
    /// What was acknowledged last on this connection.
    acked: Option<Offset>,
    liveness: Liveness,
    failures: Failures,
    peer: Option<String>,
    /// The primary's own offset when last asked.
    observed: Option<Offset>,
}

impl Upstream {
    pub(super) fn new(target: Option<sterna_node::Upstream>, now: Now) -> Self {
        Self {
            target,
            attempts: 0,
            attempt: 0,
            phase: Phase::Connecting,
            pending: None,
            permit: FullResyncPermit::Any,
            previous: None,
            acks: Acks::new(now.mono),
            acks_out: None,
            acked: None,
            liveness: Liveness::default(),
            failures: Failures::none(),
            peer: None,
            observed: None,
        }
    }

    /// Whether this is the number of the attempt under way.
    pub(super) fn is_attempt(&self, attempt: u64) -> bool {
        attempt == self.attempt
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn peer(&self) -> &str {
        self.peer.as_deref().unwrap_or("the primary")
    }

    /// Begins a new attempt after `delay`, which replaces the one before; nothing where nobody is to be followed.
    pub(super) fn connect(&mut self, delay: Duration, effects: &mut Effects) {
        let (acks_out, acks) = watch::channel(Offset::ZERO);
        if let Some(attempt) = self.begin_attempt(Purpose::Follow, delay, acks, effects) {
            self.attempt = attempt;
            self.phase = Phase::Connecting;
            self.acks_out = Some(acks_out);
        }
    }

    /// Opens a second connection that takes a snapshot; its number.
    pub(super) fn connect_for_snapshot(&mut self, effects: &mut Effects) -> Option<u64> {
        let (_, acks) = watch::channel(Offset::ZERO);
        self.begin_attempt(Purpose::Snapshot, Duration::ZERO, acks, effects)
    }

    fn begin_attempt(
        &mut self,
        purpose: Purpose,
        delay: Duration,
        acks: watch::Receiver<Offset>,
        effects: &mut Effects,
    ) -> Option<u64> {
        let upstream = Box::new(self.target.clone()?);
        self.attempts += 1;
        effects.start(Effect::Connect {
            attempt: self.attempts,
            purpose,
            upstream,
            delay,
            acks,
        });
        Some(self.attempts)
    }

    /// Ends the attempt under way, if there is one.
    pub(super) fn disconnect(&mut self, effects: &mut Effects) {
        effects.start(Effect::Disconnect {
            attempt: self.attempt,
        });
        self.pending = None;
        self.acks_out = None;
        self.phase = Phase::Connecting;
        self.observed = None;
        self.attempts += 1;
        self.attempt = self.attempts;
    }

    /// Whether this primary was found and follows on, or is about to.
    pub(super) fn follows(&self, target: Option<&sterna_node::Upstream>) -> bool {
        self.phase != Phase::Connecting && target.is_some() && self.target.as_ref() == target
    }

    /// Another primary is followed from now on, or none.
    pub(super) fn follow(&mut self, target: Option<sterna_node::Upstream>) {
        self.target = target;
        self.failures.forget_primary();
    }

    /// A primary was found; what it shall be told is decided when the log stands still.
    pub(super) fn found(&mut self, pending: Pending) {
        self.peer = Some(pending.peer.clone());
        self.pending = Some(pending);
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.pending.is_some()
    }

    /// How to follow the primary that was found; `accepted` is a person's word that anything may be overwritten.
    pub(super) fn assess(
        &mut self,
        held: Option<Held>,
        decided: Option<HistoryEnd>,
        accepted: bool,
        now: Now,
    ) -> Option<Assessment> {
        let lineage = self.pending.as_ref()?.lineage;
        self.previous = lineage.previous;
        self.permit = match held {
            Some(_) if !accepted => FullResyncPermit::Successor(lineage.id),
            _ => FullResyncPermit::Any,
        };
        let grounds = Grounds {
            silent_for: self.liveness.silent_for(now.mono),
            decided,
            accepted,
        };
        Some(assess(held, &lineage, &grounds))
    }

    /// Tells the primary that was found how it is followed.
    pub(super) fn answer(&mut self, position: PsyncRequest, effects: &mut Effects, now: Now) {
        let Some(Pending { peer, reply, .. }) = self.pending.take() else {
            return;
        };
        self.phase = Phase::Asked;
        // A replica that continues counts as one that acknowledged, whether its answer arrives here or not.
        self.liveness.renewed(now.mono);
        // The attempt has ended if this fails, and says so.
        let _ = reply.send(Ok(position));
        effects.notify(Notice::Connected { primary: peer });
    }

    /// The primary that was found is not followed.
    pub(super) fn refuse(&mut self, reason: HoldReason, effects: &mut Effects) {
        let text = reason.to_string();
        if let Some(Pending { peer, reply, .. }) = self.pending.take() {
            tracing::warn!(%peer, reason = text, "not following");
            let _ = reply.send(Err(text));
        }
        self.failures.hold(reason, effects);
    }

    /// Whether a full copy of this history may replace what is here.
    pub(super) fn permits(&self, id: ReplicationId) -> bool {
        match self.permit {
            FullResyncPermit::Any => true,
            FullResyncPermit::Successor(successor) => id == successor,
        }
    }

    /// Where the history that we are in ends, as the primary that was promoted from it says.
    pub(super) fn end_of(&self, current: Option<ReplicationId>) -> Option<Offset> {
        let same = |(id, _): &(ReplicationId, Offset)| Some(*id) == current;
        self.previous.filter(same).map(|(_, last)| last)
    }

    /// A full copy arrives on the link.
    pub(super) fn full_sync(&mut self) {
        self.phase = Phase::FullSync;
        self.failures.full_sync_begins();
    }

    /// The attempt reached the stream, `after_snapshot` or not.
    pub(super) fn stream_flows(&mut self, after_snapshot: bool, now: Now) {
        self.phase = Phase::Streaming;
        self.acks = if after_snapshot {
            Acks::after_snapshot(now.mono)
        } else {
            Acks::new(now.mono)
        };
        self.acked = None;
        self.failures.stream_flows();
        self.liveness.heard(now.mono);
        // A replica that continues counts as one that has just acknowledged.
        self.liveness.renewed(now.mono);
    }

    /// Bytes of a snapshot came.
    pub(super) fn heard(&mut self, now: Now) {
        self.liveness.heard(now.mono);
    }

    /// Bytes of the stream came, with a question for an acknowledgement of `getack` or without.
    pub(super) fn stream_came(&mut self, getack: Option<Offset>, now: Now) {
        self.liveness.heard(now.mono);
        self.acks.opened();
        if let Some(offset) = getack {
            self.acks.asked(offset);
        }
    }

    /// The primary answered what it was asked at `asked`.
    pub(super) fn observe(&mut self, offset: Offset, asked: Instant, now: Now) {
        self.observed = Some(offset);
        self.liveness.answered(asked, now.mono);
    }

    /// Time passes, `late` later than it was meant to.
    pub(super) fn tick(&mut self, late: Duration, now: Now) {
        self.liveness.tick(late, now.mono);
    }

    pub(super) fn failures(&mut self) -> &mut Failures {
        &mut self.failures
    }

    /// A primary hands over: the next acknowledgement is due at once.
    pub(super) fn expect_handover(&mut self, now: Now) {
        self.acks = Acks::new(now.mono);
    }

    /// The offset that the primary waits for, if it waits.
    pub(super) fn awaited(&self) -> Option<Offset> {
        self.acks.awaited()
    }

    /// Acknowledges what is due. Returns whether the connection must be given up instead: with what is on its way, for
    /// nobody knows whether it arrives, and the lease counts from now.
    pub(super) fn acknowledge(&mut self, rule: AckRule, now: Now) -> bool {
        match self.phase {
            Phase::Streaming => {}
            // It may count us as a replica any moment, and whether it does may never be heard here.
            Phase::Asked | Phase::FullSync => {
                self.liveness.renewed(now.mono);
                return false;
            }
            Phase::Connecting => return false,
        }
        if rule.lease && self.liveness.is_unconfirmed(now.mono) {
            self.liveness.renewed(now.mono);
            return true;
        }
        if rule.lease && !self.liveness.may_renew(self.acks.awaited().is_some(), now.mono) {
            return false;
        }
        if let Some(at) = rule.handover_at.filter(|at| self.acked != Some(*at)) {
            self.acks.asked(at);
        }
        if let Some(offset) = self.acks.take(rule.safe, now.mono)
            && let Some(acks) = &self.acks_out
        {
            self.liveness.renewed(now.mono);
            self.acked = Some(offset);
            acks.send_replace(offset);
        }
        false
    }

    /// Fills in what a status tells of the primary; `progress` is that of a full copy.
    pub(super) fn show(&self, status: &mut Status, progress: (u64, Option<u64>)) {
        status.link = match (&self.target, self.phase) {
            (None, _) => LinkState::ServeOnly,
            (_, Phase::Streaming) => LinkState::Streaming,
            (_, Phase::FullSync) => LinkState::FullSync {
                received_bytes: progress.0,
                total_bytes: progress.1,
            },
            (_, Phase::Connecting | Phase::Asked) => self.failures.link_state(),
        };
        status.primary.clone_from(&self.peer);
        status.primary_offset = self.observed;
        status.heard_at = self.liveness.heard_at();
        status.alive_at = self.liveness.alive_at();
        status.renewed_at = self.liveness.renewed_at();
    }
}
