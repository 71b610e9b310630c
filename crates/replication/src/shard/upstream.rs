//! The primary: the attempt to follow it that is under way, what it may be answered, what is acknowledged to it.

use std::time::Duration;

use sterna_model::{HoldReason, LinkState};
use sterna_node::Version;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::psync::{Ack, PsyncRequest};
use sterna_protocol::{Offset, ReplicationId, RunId};
use tokio::sync::{oneshot, watch};

use super::acknowledger::{AckRule, Acknowledger};
use super::event::{Effect, Effects, Now};
use super::failures::Failures;
use crate::lineage::{Assessment, Grounds, Held, HistoryEnd, Lineage, assess};
use crate::source::{Asking, Purpose};
use crate::status::{Notice, Status};

/// How far the current attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No attempt is under way, or it has not found a primary yet.
    Connecting,
    /// It was told how to follow; the answer to `PSYNC` is awaited. The log stands still.
    Asked,
    /// The stream flows.
    Streaming,
}

/// A primary was found and waits to be told how it will be followed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) peer: String,
    pub(super) lineage: Lineage,
    pub(super) reply: oneshot::Sender<Result<Asking, String>>,
}

/// What the attempt under way may bring, as it was assessed.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The only history that may replace what is here, known to be a successor of ours. None: there is nothing here, or a
    /// person accepted that it is overwritten.
    successor: Option<ReplicationId>,
    /// The history that the primary was promoted from, and the last offset that it shares with it, as it says.
    previous: Option<(ReplicationId, Offset)>,
    /// The log begins anew with the stream: of this history after this offset, where the primary was when it was looked at.
    beginning: Option<Beginning>,
}

/// Where the log begins anew, and why it does not go on.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) id: ReplicationId,
    pub(super) offset: Offset,
    /// The history before, which replica nodes may hold up to there: they continue.
    pub(super) previous: Option<(ReplicationId, Offset)>,
    pub(super) reason: String,
}

impl Expected {
    /// Whether this history may replace what is here.
    pub(super) fn permits(&self, id: ReplicationId) -> bool {
        self.successor.is_none_or(|successor| id == successor)
    }

    /// Where the log begins anew, if it does.
    pub(super) fn beginning(&self) -> Option<&Beginning> {
        self.beginning.as_ref()
    }

    /// Where the history that we are in ends, as the primary that was promoted from it says.
    pub(super) fn end_of(&self, current: Option<ReplicationId>) -> Option<Offset> {
        let same = |(id, _): &(ReplicationId, Offset)| Some(*id) == current;
        self.previous.filter(same).map(|(_, last)| last)
    }
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
    expected: Expected,
    /// It steps down: when it does, it is not looked for again.
    hands_over: bool,
    acknowledger: Acknowledger,
    failures: Failures,
    peer: Option<String>,
    /// Its process, as it was found last.
    process: Option<RunId>,
    /// What it said of its data set when it was last looked at.
    needs: Option<CopyNeeds>,
    /// The lowest version among the nodes that must load what it sends.
    weakest: Option<Version>,
}

impl Upstream {
    pub(super) fn new(target: Option<sterna_node::Upstream>, now: Now) -> Self {
        Self {
            target,
            attempts: 0,
            attempt: 0,
            phase: Phase::Connecting,
            pending: None,
            expected: Expected::default(),
            hands_over: false,
            acknowledger: Acknowledger::new(now),
            failures: Failures::none(),
            peer: None,
            process: None,
            needs: None,
            weakest: None,
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
        if self.hands_over {
            return;
        }
        let (acks_out, acks) = watch::channel(Ack::default());
        if let Some(attempt) = self.begin_attempt(Purpose::Follow, delay, acks, effects) {
            self.attempt = attempt;
            self.phase = Phase::Connecting;
            self.acknowledger.connects(acks_out);
        }
    }

    /// Opens a second connection that takes a snapshot; its number.
    pub(super) fn connect_for_snapshot(&mut self, effects: &mut Effects) -> Option<u64> {
        let (_, acks) = watch::channel(Ack::default());
        self.begin_attempt(Purpose::Snapshot, Duration::ZERO, acks, effects)
    }

    /// Opens a connection that acknowledges whenever the link does; its number.
    pub(super) fn connect_for_lease(&mut self, effects: &mut Effects) -> Option<u64> {
        let acks = self.acknowledger.acknowledgements()?;
        self.begin_attempt(Purpose::Lease, Duration::ZERO, acks, effects)
    }

    fn begin_attempt(
        &mut self,
        purpose: Purpose,
        delay: Duration,
        acks: watch::Receiver<Ack>,
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
        self.acknowledger.disconnected();
        self.phase = Phase::Connecting;
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
        self.needs = None;
        self.hands_over = false;
        self.failures.clear();
    }

    /// What the primary's data set asks of who loads it, as it said last.
    pub(super) fn needs(&self) -> Option<&CopyNeeds> {
        self.needs.as_ref()
    }

    /// The primary said of its data set what it asks of who loads it.
    pub(super) fn said(&mut self, needs: CopyNeeds) {
        if self.needs.as_ref() != Some(&needs) {
            self.needs = Some(needs);
        }
    }

    /// The lowest version among the attached nodes, which the primary is told when it is asked next.
    pub(super) fn announces(&mut self, weakest: Option<Version>) {
        self.weakest = weakest;
    }

    /// A primary was found; what it shall be told is decided when the log stands still.
    pub(super) fn found(&mut self, pending: Pending) {
        self.peer = Some(pending.peer.clone());
        self.process = pending.lineage.process;
        self.pending = Some(pending);
    }

    /// The process that the stream comes from, while it flows.
    pub(super) fn process(&self) -> Option<RunId> {
        self.process.filter(|_| self.phase == Phase::Streaming)
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.pending.is_some()
    }

    /// What the primary that was found said of itself, while it waits to be told how it is followed.
    pub(super) fn offered(&self) -> Option<Lineage> {
        self.pending.as_ref().map(|pending| pending.lineage)
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
        self.expected = Expected {
            successor: held.filter(|_| !accepted).map(|_| lineage.id),
            previous: lineage.previous,
            beginning: None,
        };
        let grounds = Grounds {
            silent_for: self.acknowledger.silent_for(now),
            decided,
            accepted,
        };
        Some(assess(held, &lineage, &grounds))
    }

    /// Asks the primary that was found for the stream from where it is now: the log begins anew there.
    pub(super) fn begin(&mut self, beginning: Beginning, effects: &mut Effects, now: Now) {
        let Beginning { id, offset: held, .. } = beginning;
        self.expected.beginning = Some(beginning);
        self.answer(PsyncRequest::Resume { id, held }, effects, now);
    }

    /// Tells the primary that was found how it is followed.
    pub(super) fn answer(&mut self, position: PsyncRequest, effects: &mut Effects, now: Now) {
        let Some(Pending { peer, reply, .. }) = self.pending.take() else {
            return;
        };
        self.phase = Phase::Asked;
        self.acknowledger.asks(now);
        // The attempt has ended if this fails, and says so.
        let version = self.weakest;
        let _ = reply.send(Ok(Asking { position, version }));
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

    /// What the attempt under way may bring.
    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The attempt reached the stream.
    pub(super) fn stream_flows(&mut self, now: Now) {
        self.phase = Phase::Streaming;
        self.failures.clear();
        self.acknowledger.stream_flows(now);
    }

    /// The primary continues from `offset`, under a new id where there is one.
    pub(super) fn resumed(
        &mut self,
        offset: Offset,
        new_id: Option<ReplicationId>,
        effects: &mut Effects,
        now: Now,
    ) {
        self.stream_flows(now);
        effects.counters.partial_syncs_up += 1;
        effects.notify(Notice::Resumed { offset, new_id });
    }

    pub(super) fn failures(&mut self) -> &mut Failures {
        &mut self.failures
    }

    /// What the primary is told, and its signs of life.
    pub(super) fn acknowledger(&mut self) -> &mut Acknowledger {
        &mut self.acknowledger
    }

    /// Whether the primary steps down.
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// The primary is to step down, or no longer: it sees at once that what it sends arrives, and when it steps down it is
    /// not looked for again.
    pub(super) fn expect_handover(&mut self, expected: bool, now: Now) {
        self.hands_over = expected;
        if expected {
            self.acknowledger.expect_handover(now);
        }
    }

    /// The offset that the primary waits for, if it waits.
    pub(super) fn awaited(&self) -> Option<Offset> {
        self.acknowledger.awaited()
    }

    /// Acknowledges what is due. Returns whether the connection must be given up instead.
    pub(super) fn acknowledge(&mut self, rule: AckRule, now: Now) -> bool {
        match self.phase {
            Phase::Streaming => return self.acknowledger.acknowledge(rule, now),
            Phase::Asked => self.acknowledger.may_be_counted(now),
            Phase::Connecting => {}
        }
        false
    }

    /// Fills in what a status tells of the primary.
    pub(super) fn show(&self, status: &mut Status) {
        status.link = match (&self.target, self.phase) {
            (None, _) => LinkState::ServeOnly,
            (_, Phase::Streaming) => LinkState::Streaming,
            (_, Phase::Connecting | Phase::Asked) => self.failures.link_state(),
        };
        status.primary.clone_from(&self.peer);
        self.acknowledger.show(status);
    }
}
