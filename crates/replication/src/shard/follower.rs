//! One attached replica node: what it is answered, and what it is sent next.

mod feed;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sterna_node::Version;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::psync::{self, Ack, PsyncRequest};
use sterna_protocol::{Offset, ReplicationId, rdb};
use tokio::time::Instant;

use super::ability::Ability;
use super::event::{Attach, Effect, Effects, FollowerId, Handover, LoginLimit, Now};
use super::followers::Supply;
use super::log::ShardLog;
use super::origin::Origin;
use super::outbox::{Outbox, ReaderSlot};
use super::presence::{Duty, Presence};
use super::snapshot::Snapshot;
use crate::settings::{KEEPALIVE_INTERVAL, SilenceLimits};
use crate::status::{FollowerState, FollowerStatus, Notice};
use crate::timeline::Lag;

/// How long a measured lag stands: nodes acknowledge once a second, and between two acknowledgements a node that keeps
/// up would seem to fall behind.
const LAG_STANDS: Duration = Duration::from_millis(2500);

/// Why a follower leaves.
#[derive(Debug)]
pub(super) enum Leaves {
    /// With a notice of the reason.
    Closed(String),
    /// It was refused, which is no news.
    Refused(&'static str),
}

/// What came of a read from disk.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    Fed,
    /// It leaves, and comes back to ask for the same.
    Leaves(String),
    /// It leaves, and the log can't give back the byte after this offset any more.
    LogDamaged(String, Offset),
    /// It leaves, and the snapshot is of no use.
    SnapshotDamaged(String),
}

/// What a follower is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It asked, and could not be answered yet.
    Waiting,
    /// The snapshot goes out; so many bytes of it were handed over. `eof` is whether a mark ends it.
    Snapshot { position: u64, eof: bool },
    /// The snapshot ended with a mark: nothing may be sent before its first acknowledgement.
    Loading { snapshot_offset: Offset },
    /// The stream goes out; everything up to here was handed over.
    Streaming { sent: Offset },
}

/// What a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Replica,
    /// A primary that hands over with `FAILOVER`.
    HandsOver,
}

/// What a waiting follower can be told.
enum Answer {
    /// Its offset is in the log, or the source is about to deliver it.
    Continue { held: Offset, id: ReplicationId },
    /// Not yet.
    Wait,
    /// Only a snapshot helps.
    Snapshot,
    /// It is a primary that hands over, and nobody asked for that.
    Refuse,
}

/// One attached replica node.
#[derive(Debug)]
pub(super) struct Follower {
    peer: SocketAddr,
    login: LoginLimit,
    listening_port: u16,
    /// The address at which it wants to be known, where it is not the one that it connects from.
    announced: Option<String>,
    takes_eof: bool,
    request: PsyncRequest,
    kind: Kind,
    stage: Stage,
    /// It can only go on with a snapshot.
    needs_snapshot: bool,
    /// What it can load.
    ability: Ability,
    acked: Option<Offset>,
    /// What it has on its disk, where it tells.
    synced: Option<Offset>,
    /// How far it was behind when it last acknowledged.
    lag: Option<Lag>,
    presence: Presence,
    next_keepalive: Instant,
    reader: ReaderSlot,
    /// Whether it was announced as following the stream.
    online: bool,
    outbox: Outbox,
}

impl Follower {
    pub(super) fn new(attach: Attach, asks: bool, now: Instant) -> Self {
        Self {
            peer: attach.peer,
            login: attach.login,
            listening_port: attach.listening_port,
            announced: attach.announced,
            takes_eof: attach.takes_eof,
            request: attach.request,
            kind: if attach.failover {
                Kind::HandsOver
            } else {
                Kind::Replica
            },
            stage: Stage::Waiting,
            needs_snapshot: false,
            ability: Ability::new(attach.version, asks, now),
            acked: None,
            synced: None,
            lag: None,
            presence: Presence::new(now),
            next_keepalive: now,
            reader: ReaderSlot::Empty,
            online: false,
            outbox: Outbox::new(attach.outbox, attach.attached),
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where it serves clients, as it says and as far as it can be seen from here.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip(), self.listening_port)
    }

    /// Ends its connection after what it was handed, and lets go of its reader.
    pub(super) fn close(&mut self, reason: &str, effects: &mut Effects) {
        self.outbox.close(reason);
        self.reader.close(effects);
    }

    /// The last offset of the stream that was handed over, or that it loads.
    pub(super) fn sent(&self) -> Option<Offset> {
        match self.stage {
            Stage::Streaming { sent } => Some(sent),
            Stage::Loading { snapshot_offset } => Some(snapshot_offset),
            Stage::Waiting | Stage::Snapshot { .. } => None,
        }
    }

    /// Whether it was told which history it is in.
    pub(super) fn is_answered(&self) -> bool {
        self.stage != Stage::Waiting
    }

    pub(super) fn takes_snapshot(&self) -> bool {
        matches!(self.stage, Stage::Snapshot { .. })
    }

    pub(super) fn waits_for_snapshot(&self) -> bool {
        self.stage == Stage::Waiting && self.needs_snapshot
    }

    /// What it can load, as far as it is known.
    pub(super) fn ability(&mut self) -> &mut Ability {
        &mut self.ability
    }

    /// Whether it waits for a snapshot that it can load.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.waits_for_snapshot() && self.ability.is_free()
    }

    /// Whether it waits for a snapshot, and may not be given any.
    pub(super) fn is_held(&self) -> bool {
        self.waits_for_snapshot() && self.ability.held().is_some()
    }

    /// Whether it waits for another snapshot than the one at hand, which it can't load.
    pub(super) fn wants_another(&self) -> bool {
        self.wants_snapshot() && self.ability.refuses_copy_at_hand()
    }

    /// Whether it loads a snapshot, or is being sent one.
    pub(super) fn loads(&self) -> bool {
        matches!(self.stage, Stage::Snapshot { .. } | Stage::Loading { .. })
            || (matches!(self.stage, Stage::Streaming { .. }) && self.acked.is_none())
    }

    /// The lowest version that it may be of.
    pub(super) fn version(&self) -> Version {
        self.ability.version()
    }

    /// What it has applied for certain, once it follows the stream.
    pub(super) fn applied(&self) -> Option<Offset> {
        let follows = self.online && matches!(self.stage, Stage::Streaming { .. });
        self.acked.filter(|_| follows)
    }

    /// What it has on its disk, where it tells.
    pub(super) fn synced(&self) -> Option<Offset> {
        self.synced
    }

    /// Where it waits to follow, if it says that it is a primary that hands over.
    pub(super) fn handover_waits_at(&self) -> Option<Offset> {
        match self.request {
            PsyncRequest::Resume { held, .. }
                if self.kind == Kind::HandsOver && self.stage == Stage::Waiting =>
            {
                Some(held)
            }
            _ => None,
        }
    }

    /// It acknowledged. The first time, it has loaded what it was given: returns what is to be told, or why it leaves, as one does
    /// that acknowledges what it was never sent: that would be passed on to the primary, whose clients wait for it.
    pub(super) fn acknowledged(
        &mut self,
        ack: Ack,
        log: &ShardLog,
        now: Instant,
    ) -> Result<Option<Notice>, Leaves> {
        self.presence.spoke(now);
        // Nobody has anything to acknowledge before.
        let Some(sent) = self.sent() else { return Ok(None) };
        let applied = ack.applied;
        if applied > sent {
            return Err(Leaves::Closed(format!(
                "it acknowledged offset {applied}, and was sent nothing beyond {sent}: nothing that it says is believed"
            )));
        }
        let acked = self.acked.map_or(applied, |acked| acked.max(applied));
        // What it had on its disk of another history may be further on, and says nothing of this one.
        let synced = ack.synced.filter(|synced| *synced <= sent);
        self.synced = synced.max(self.synced);
        self.acked = Some(acked);
        self.lag = Some(log.lag(acked, now));
        if let Stage::Loading { snapshot_offset } = self.stage {
            self.stage = Stage::Streaming {
                sent: snapshot_offset,
            };
        }
        let comes_online = !self.online && matches!(self.stage, Stage::Streaming { .. });
        self.online |= comes_online;
        Ok(comes_online.then_some(Notice::FollowerOnline { peer: self.peer }))
    }

    /// It is alive.
    pub(super) fn heard(&mut self, now: Instant) {
        self.presence.spoke(now);
    }

    /// Its socket took so many bytes.
    pub(super) fn took(&mut self, bytes: u64, now: Instant) {
        self.outbox.took(bytes);
        self.presence.took(now);
    }

    /// What it logged in with.
    pub(super) fn login(&self) -> &LoginLimit {
        &self.login
    }

    /// Orders who makes room for a newer one: first those that have never acknowledged anything, then by when they last said
    /// something.
    pub(super) fn standing(&self) -> (bool, Instant) {
        (self.acked.is_some(), self.presence.heard_at())
    }

    /// Whether it is, as far as can be seen from here, the node of another connection: one that says where it serves
    /// clients, which is there.
    pub(super) fn is_of_place(&self, other: &Self) -> bool {
        let hosts = match (&self.announced, &other.announced) {
            (Some(one), Some(another)) => one == another,
            (None, None) => self.peer.ip() == other.peer.ip(),
            _ => false,
        };
        hosts && self.listening_port == other.listening_port && self.listening_port != 0
    }

    /// A node of the same place has attached.
    pub(super) fn replaced(&mut self, now: Instant) {
        self.presence.replaced(now);
    }

    /// Why it must be taken for gone, if it must.
    pub(super) fn lost(&self, limits: SilenceLimits, now: Instant) -> Option<Leaves> {
        let duty = match self.stage {
            Stage::Waiting => Duty::Waits,
            Stage::Streaming { .. } if self.acked.is_some() => Duty::Follows,
            Stage::Snapshot { .. } | Stage::Loading { .. } | Stage::Streaming { .. } => Duty::Loads,
        };
        self.presence.lost(duty, limits, now).map(Leaves::Closed)
    }

    /// Time passes; returns why it leaves, if it does.
    pub(super) fn tick(&mut self, limits: SilenceLimits, now: Instant) -> Option<Leaves> {
        if self.stage != Stage::Waiting {
            return self.lost(limits, now);
        }
        if now >= self.next_keepalive {
            self.next_keepalive = now + KEEPALIVE_INTERVAL;
            self.outbox.send(vec![Bytes::from_static(psync::KEEPALIVE)]);
        }
        None
    }

    /// Answers it if it waits, and gives it as much as it may have on its way; returns why it leaves, if it does.
    pub(super) fn settle(
        &mut self,
        id: FollowerId,
        supply: Supply<'_>,
        effects: &mut Effects,
        now: Now,
    ) -> Option<Leaves> {
        if self.stage == Stage::Waiting
            && let Some(leaves) = self.answer(id, supply, effects, now)
        {
            return Some(leaves);
        }
        while self.may_have_more() {
            let before = (self.stage, self.outbox.in_flight());
            let fed = match self.stage {
                Stage::Waiting | Stage::Loading { .. } => break,
                Stage::Snapshot { position, eof } => self.feed_snapshot(id, supply, (position, eof), effects),
                Stage::Streaming { sent } => self.feed_stream(id, supply, sent, effects),
            };
            if let Err(reason) = fed {
                return Some(Leaves::Closed(reason));
            }
            if (self.stage, self.outbox.in_flight()) == before {
                break;
            }
        }
        self.outbox
            .fault()
            .map(|reason| Leaves::Closed(reason.to_owned()))
    }

    fn may_have_more(&self) -> bool {
        self.outbox.has_room() && !self.reader.is_out()
    }

    fn answer(
        &mut self,
        id: FollowerId,
        supply: Supply<'_>,
        effects: &mut Effects,
        now: Now,
    ) -> Option<Leaves> {
        match self.answer_now(supply) {
            Answer::Wait => {}
            Answer::Continue { held, id: current } => {
                self.outbox.send(vec![psync::continue_with(current)]);
                self.stage = Stage::Streaming { sent: held };
                self.acked = Some(held);
                self.presence.spoke(now.mono);
                self.needs_snapshot = false;
                effects.counters.partial_syncs_down += 1;
                effects.notify(Notice::FollowerResumed {
                    peer: self.peer,
                    offset: held,
                });
            }
            Answer::Refuse => {
                let reason = "nobody asked for this failover: it takes writes again";
                self.outbox.send(vec![psync::refuse(reason)]);
                return Some(Leaves::Refused(reason));
            }
            Answer::Snapshot => {
                self.needs_snapshot = true;
                self.begin_snapshot(id, supply, effects, now);
            }
        }
        None
    }

    /// A follower continues iff what it holds is a prefix of this history and what comes after is at hand; one that is
    /// ahead of the log waits, for the source is about to deliver those bytes.
    fn answer_now(&self, supply: Supply<'_>) -> Answer {
        let log = supply.log;
        let (id, held) = match self.request {
            PsyncRequest::Full => return Answer::Snapshot,
            PsyncRequest::Resume { id, held } => (id, held),
        };
        let Some(current) = log.current() else {
            return Answer::Wait;
        };
        match supply.handover {
            Handover::Refuse if self.kind == Kind::HandsOver => return Answer::Refuse,
            Handover::Hold if self.kind == Kind::HandsOver => return Answer::Wait,
            // Its own id is what it shall give up.
            Handover::Accept if self.kind == Kind::HandsOver && current == id => return Answer::Wait,
            _ => {}
        }
        if !log.covers(id, held) || held < log.available_from() {
            return Answer::Snapshot;
        }
        if held > log.unit_end() {
            Answer::Wait
        } else {
            Answer::Continue { held, id: current }
        }
    }

    fn begin_snapshot(&mut self, id: FollowerId, supply: Supply<'_>, effects: &mut Effects, now: Now) {
        let snapshot = supply.snapshot_that_serves();
        self.judge(snapshot.map(Snapshot::origin), supply.needs, effects);
        if self.ability.asks(now.mono) {
            effects.start(Effect::Ask {
                id,
                peer: self.peer,
                listening_port: self.listening_port,
            });
        }
        let Some(snapshot) = snapshot.filter(|snapshot| self.ability.takes(snapshot)) else {
            return;
        };
        let eof = snapshot.length().is_none();
        // The form of one is not known before its first byte.
        if eof && (!self.takes_eof || snapshot.received() == 0) {
            return;
        }
        let header = match snapshot.length() {
            Some(bytes) => rdb::length_header(bytes),
            None => rdb::eof_header(&snapshot.mark),
        };
        let id = supply.log.current().unwrap_or(snapshot.id());
        self.outbox
            .send(vec![psync::full_resync(id, snapshot.offset()), header]);
        self.stage = Stage::Snapshot { position: 0, eof };
        self.presence.spoke(now.mono);
        effects.counters.full_syncs_down += 1;
        if let PsyncRequest::Resume { id, held } = self.request
            && supply.log.covers(id, held)
        {
            effects.counters.full_syncs_needless += 1;
        }
        effects.notify(Notice::FollowerFullSync { peer: self.peer });
    }

    /// Judges whether it may be given a full copy of a data set with these needs, and the one at hand.
    pub(super) fn judge(
        &mut self,
        at_hand: Option<&Origin>,
        needs: Option<&CopyNeeds>,
        effects: &mut Effects,
    ) {
        if let Some(obstacle) = self.ability.judge(at_hand, needs) {
            let peer = self.peer;
            effects.notify(Notice::CopyHeld { peer, obstacle });
        }
    }

    /// Its state for people. The lag is that of its last acknowledgement, or as of now if that is long ago.
    pub(super) fn status(&self, log: &ShardLog, now: Instant) -> FollowerStatus {
        let lag = self.acked.map(|acked| {
            let measured = self.lag.filter(|lag| now.duration_since(lag.at) < LAG_STANDS);
            measured.unwrap_or_else(|| log.lag(acked, now))
        });
        let (state, snapshot_sent_bytes) = match self.stage {
            Stage::Waiting => (FollowerState::Waiting, 0),
            Stage::Snapshot { position, .. } => (FollowerState::FullSync, position),
            Stage::Loading { .. } => (FollowerState::FullSync, 0),
            Stage::Streaming { .. } if self.acked.is_none() => (FollowerState::FullSync, 0),
            Stage::Streaming { .. } => (FollowerState::Streaming, 0),
        };
        FollowerStatus {
            peer: self.peer,
            listening_port: self.listening_port,
            state,
            acked: self.acked,
            snapshot_sent_bytes,
            lag_bytes: lag.map_or(0, |lag| lag.bytes),
            lag_seconds: lag.map_or(0.0, |lag| lag.time.as_secs_f64()),
            held: self.ability.held().filter(|_| self.waits_for_snapshot()).cloned(),
        }
    }
}
