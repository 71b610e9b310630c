//! What the primary that is followed is told of what is safe here, and when: its lease runs by it.

use std::time::Duration;

use sterna_protocol::Offset;
use sterna_protocol::psync::Ack;
use tokio::sync::watch;
use tokio::time::Instant;

use super::event::Now;
use super::liveness::Liveness;
use crate::acks::Acks;
use crate::status::Status;

/// What may be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct AckRule {
    /// What the setting allows.
    pub(super) safe: Ack,
    /// The primary hands over and waits until this is acknowledged, though it does not ask.
    pub(super) handover_at: Option<Offset>,
    /// Acknowledgements are a lease: only a primary that shows signs of life is given one.
    pub(super) lease: bool,
}

/// The acknowledgements to the primary, and its signs of life, which they follow.
#[derive(Debug)]
pub(super) struct Acknowledger {
    acks: Acks,
    /// To the connection of the attempt under way.
    out: Option<watch::Sender<Ack>>,
    /// What was acknowledged last on this connection.
    acked: Option<Offset>,
    liveness: Liveness,
    /// The primary's own offset, and when it was asked for it.
    observed: Option<(Offset, Instant)>,
}

impl Acknowledger {
    pub(super) fn new(now: Now) -> Self {
        Self {
            acks: Acks::new(now.mono),
            out: None,
            acked: None,
            liveness: Liveness::default(),
            observed: None,
        }
    }

    /// A new connection will be attempted, which is told by this.
    pub(super) fn connects(&mut self, out: watch::Sender<Ack>) {
        self.out = Some(out);
    }

    /// When something is acknowledged on this connection.
    pub(super) fn acknowledgements(&self) -> Option<watch::Receiver<Ack>> {
        self.out.as_ref().map(watch::Sender::subscribe)
    }

    /// The stream was ended from the primary's side.
    pub(super) fn closed_by_primary(&mut self) {
        self.liveness.closed();
    }

    /// The connection is over.
    pub(super) fn disconnected(&mut self) {
        self.out = None;
        self.observed = None;
    }

    /// The stream flows.
    pub(super) fn stream_flows(&mut self, now: Now) {
        self.acks = Acks::new(now.mono);
        self.acked = None;
        self.liveness.heard(now.mono);
        // A replica that continues counts as one that has just acknowledged.
        self.liveness.renewed(now.mono);
    }

    /// Bytes of the stream came, with a question for an acknowledgement of `getack` or without.
    pub(super) fn stream_came(&mut self, getack: Option<Offset>, now: Now) {
        self.liveness.heard(now.mono);
        if let Some(offset) = getack {
            self.acks.asked(offset);
        }
    }

    /// The primary answered what it was asked at `asked`.
    pub(super) fn observe(&mut self, offset: Offset, asked: Instant, now: Now) {
        self.observed = Some((offset, asked));
        self.liveness.answered(asked, now.mono);
    }

    /// Time passes, `late` later than it was meant to.
    pub(super) fn tick(&mut self, late: Duration, now: Now) {
        self.liveness.tick(late, now.mono);
    }

    /// The primary hands over: the next acknowledgement is due at once.
    pub(super) fn expect_handover(&mut self, now: Now) {
        self.acks = Acks::new(now.mono);
    }

    /// The offset that the primary waits for, if it waits.
    pub(super) fn awaited(&self) -> Option<Offset> {
        self.acks.awaited()
    }

    /// For how long the primary has sent no byte.
    pub(super) fn silent_for(&self, now: Now) -> Option<Duration> {
        self.liveness.silent_for(now.mono)
    }

    /// The primary may count us as a replica that acknowledged any moment, and whether it does may never be heard here.
    pub(super) fn may_be_counted(&mut self, now: Now) {
        self.liveness.renewed(now.mono);
    }

    /// It is asked for its stream.
    pub(super) fn asks(&mut self, now: Now) {
        self.liveness.asks();
        // One that continues counts, whether the answer arrives here or not.
        self.may_be_counted(now);
    }

    /// Acknowledges on a stream that flows what is due. Returns whether the connection must be given up instead: with
    /// what is on its way, for nobody knows whether it arrives, and the lease counts from now.
    pub(super) fn acknowledge(&mut self, rule: AckRule, now: Now) -> bool {
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
        if let Some(ack) = self.acks.take(rule.safe, now.mono)
            && let Some(out) = &self.out
        {
            self.liveness.renewed(now.mono);
            self.acked = Some(ack.applied);
            out.send_replace(ack);
        }
        false
    }

    /// Fills in what a status tells of the primary's offset and its signs of life.
    pub(super) fn show(&self, status: &mut Status) {
        status.primary_offset = self.observed.map(|(offset, _)| offset);
        status.primary_asked_at = self.observed.map(|(_, asked)| asked);
        status.closed_by_primary = self.liveness.is_closed();
        status.heard_at = self.liveness.heard_at();
        status.alive_at = self.liveness.alive_at();
        status.renewed_at = self.liveness.renewed_at();
    }
}
