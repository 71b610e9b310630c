//! The attached replica nodes: each is fed at its own pace, and none waits for another.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sterna_node::Version;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::Offset;

use super::event::{Attach, Effect, Effects, FollowerEvent, FollowerId, Handover, Impact, Now, ReadDone};
use super::follower::{Follower, Leaves, ReadOutcome};
use super::log::ShardLog;
use super::snapshot::Snapshot;
use crate::settings::SilenceLimits;
use crate::status::{Asked, FollowerStatus, Notice};

/// What the followers are fed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Supply<'a> {
    pub(super) log: &'a ShardLog,
    pub(super) snapshot: Option<&'a Snapshot>,
    /// What the primary's data set asks of who loads it.
    pub(super) needs: Option<&'a CopyNeeds>,
    /// What to do about a primary that hands over.
    pub(super) handover: Handover,
    /// How often the history was changed under the followers.
    pub(super) generation: u64,
}

impl Supply<'_> {
    /// Whether a follower that loads the snapshot can continue from the log.
    pub(super) fn snapshot_that_serves(&self) -> Option<&Snapshot> {
        self.snapshot
            .filter(|snapshot| self.log.continues_from(snapshot.id(), snapshot.offset()))
    }
}

/// What a read from disk showed of what it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    None,
    /// The log can't give back the byte after this offset any more.
    Log(Offset),
    /// The snapshot is of no use.
    Snapshot,
}

/// Why one makes room.
const TOO_MANY: &str =
    "more connections follow with its service's secret than that has nodes, and a newer one came";

/// The followers by connection.
#[derive(Debug)]
pub(super) struct Followers {
    by_id: BTreeMap<FollowerId, Follower>,
    /// How often the log was cut back or begun anew: what was being read then may not be part of it any more.
    generation: u64,
    /// The nodes that may attach were told, so that they can be asked.
    asks: bool,
    limits: SilenceLimits,
}

impl Followers {
    pub(super) fn none(limits: SilenceLimits) -> Self {
        Self {
            by_id: BTreeMap::new(),
            generation: 0,
            asks: false,
            limits,
        }
    }

    /// A node attaches. One of the same place that says nothing has lost its connection, and comes with this one.
    pub(super) fn attach(&mut self, attach: Attach, effects: &mut Effects, now: Now) {
        let id = attach.id;
        let new = Follower::new(attach, self.asks, now.mono);
        self.by_id.retain(|_, follower| {
            if !follower.is_of_place(&new) {
                return true;
            }
            follower.replaced(now.mono);
            match follower.lost(self.limits, now.mono) {
                Some(leaves) => Self::let_go(follower, leaves, effects),
                None => true,
            }
        });
        self.make_room(&new, effects);
        self.by_id.insert(id, new);
    }

    /// Whoever has the secret of a service is no more of them than that has nodes.
    fn make_room(&mut self, new: &Follower, effects: &mut Effects) {
        loop {
            let beside = self
                .by_id
                .iter()
                .filter(|(_, follower)| follower.login().name == new.login().name);
            let mut silent: Vec<_> = beside.map(|(id, follower)| (follower.standing(), *id)).collect();
            silent.sort_unstable_by_key(|(at, id)| (*at, id.0));
            let longest = silent
                .first()
                .filter(|_| silent.len() >= new.login().connections_max);
            let Some(mut follower) = longest.and_then(|(_, id)| self.by_id.remove(id)) else {
                return;
            };
            Self::let_go(&mut follower, Leaves::Closed(TOO_MANY.to_owned()), effects);
        }
    }

    /// The nodes that may attach are known, and can be asked what they load.
    pub(super) fn know_nodes(&mut self) {
        self.asks = true;
        for follower in self.by_id.values_mut() {
            follower.ability().may_ask();
        }
    }

    /// The nodes that a follower may be were asked what they can load.
    pub(super) fn asked(&mut self, id: FollowerId, asked: Asked, now: Now) {
        if let Some(follower) = self.by_id.get_mut(&id) {
            follower.ability().answered(asked, now.mono);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A follower's connection reports; of one that was let go nothing counts.
    pub(super) fn on_event(
        &mut self,
        id: FollowerId,
        event: FollowerEvent,
        log: &ShardLog,
        effects: &mut Effects,
        now: Now,
    ) {
        let Some(follower) = self.by_id.get_mut(&id) else {
            return;
        };
        match event {
            FollowerEvent::Acked(ack) => match follower.acknowledged(ack, log, now.mono) {
                Ok(notice) => notice.into_iter().for_each(|notice| effects.notify(notice)),
                Err(leaves) => {
                    Self::let_go(follower, leaves, effects);
                    self.by_id.remove(&id);
                }
            },
            FollowerEvent::Alive => follower.heard(now.mono),
            FollowerEvent::Written(bytes) => follower.took(bytes, now.mono),
            FollowerEvent::Gone(reason) => {
                Self::let_go(follower, Leaves::Closed(reason), effects);
                self.by_id.remove(&id);
            }
        }
    }

    /// Bytes were read back from disk; returns what that showed.
    pub(super) fn on_read(&mut self, done: ReadDone, effects: &mut Effects) -> Damage {
        let id = done.follower;
        let Some(follower) = self.by_id.get_mut(&id) else {
            effects.start(Effect::Close(Box::new(done.reader)));
            return Damage::None;
        };
        let (reason, damage) = match follower.on_read(done, self.generation, effects) {
            ReadOutcome::Fed => return Damage::None,
            ReadOutcome::Leaves(reason) => (reason, Damage::None),
            ReadOutcome::LogDamaged(reason, at) => (reason, Damage::Log(at)),
            ReadOutcome::SnapshotDamaged(reason) => (reason, Damage::Snapshot),
        };
        Self::let_go(follower, Leaves::Closed(reason), effects);
        self.by_id.remove(&id);
        damage
    }

    /// Draws the consequences of what happened to the log and the full copy.
    pub(super) fn adapt(&mut self, effects: &mut Effects) {
        for impact in effects.take_impacts() {
            match impact {
                Impact::CopyDropped => self.close(
                    Follower::takes_snapshot,
                    "the full copy broke off and will be sent again",
                    effects,
                ),
                Impact::CutBack { to } => {
                    self.generation += 1;
                    self.close(
                        |follower| follower.sent().is_some_and(|sent| sent > to),
                        "the primary service failed over and lost writes that this node had been sent: it needs a \
                         full copy",
                        effects,
                    );
                }
                // Under the old name nobody could continue past this point, and who is loading goes past it as well.
                Impact::Renamed => self.close(
                    Follower::is_answered,
                    "the history goes on under a new id, which it learns by asking again",
                    effects,
                ),
                Impact::Begun => {
                    self.generation += 1;
                    self.close(
                        Follower::is_answered,
                        "the primary sends a new full copy",
                        effects,
                    );
                }
            }
        }
    }

    pub(super) fn close_all(&mut self, reason: &str, effects: &mut Effects) {
        self.close(|_| true, reason, effects);
    }

    /// Ends the connections of the followers that match; they come back and ask again.
    fn close(&mut self, matches: impl Fn(&Follower) -> bool, reason: &str, effects: &mut Effects) {
        self.by_id.retain(|_, follower| {
            let leaves = matches(follower);
            if leaves {
                Self::let_go(follower, Leaves::Closed(reason.to_owned()), effects);
            }
            !leaves
        });
    }

    pub(super) fn tick(&mut self, effects: &mut Effects, now: Now) {
        self.by_id
            .retain(|_, follower| match follower.tick(self.limits, now.mono) {
                Some(leaves) => Self::let_go(follower, leaves, effects),
                None => true,
            });
    }

    /// Answers whoever waits, and gives everybody as much as they may have on their way.
    pub(super) fn settle(
        &mut self,
        log: &ShardLog,
        (snapshot, needs): (Option<&Snapshot>, Option<&CopyNeeds>),
        handover: Handover,
        effects: &mut Effects,
        now: Now,
    ) {
        let supply = Supply {
            log,
            snapshot,
            needs,
            handover,
            generation: self.generation,
        };
        self.by_id
            .retain(|id, follower| match follower.settle(*id, supply, effects, now) {
                Some(leaves) => Self::let_go(follower, leaves, effects),
                None => true,
            });
    }

    /// Always `false`: it does not stay.
    fn let_go(follower: &mut Follower, leaves: Leaves, effects: &mut Effects) -> bool {
        match leaves {
            Leaves::Refused(reason) => follower.close(reason, effects),
            Leaves::Closed(reason) => {
                follower.close(&reason, effects);
                let peer = follower.peer();
                effects.notify(Notice::FollowerGone { peer, reason });
            }
        }
        false
    }

    /// What every follower has applied; zero with none.
    pub(super) fn applied(&self) -> Offset {
        let applied = self.by_id.values().filter_map(Follower::applied);
        applied.min().unwrap_or_default()
    }

    /// What every follower has on its disk; none where one of them does not tell, or nobody follows.
    pub(super) fn synced(&self) -> Option<Offset> {
        let following = self
            .by_id
            .values()
            .filter(|follower| follower.applied().is_some());
        following.map(Follower::synced).min().flatten()
    }

    /// Where those wait to follow that say they are primaries that hand over.
    pub(super) fn handovers_wait_at(&self) -> Vec<Offset> {
        self.by_id
            .values()
            .filter_map(Follower::handover_waits_at)
            .collect()
    }

    /// Whether somebody can't go on without a snapshot, and can load one, or may turn out to.
    pub(super) fn wait_for_snapshot(&self) -> bool {
        let mut followers = self.by_id.values();
        followers.any(|follower| follower.waits_for_snapshot() && !follower.is_held())
    }

    /// Judges anew who may be given a copy of a data set with these needs.
    pub(super) fn judge(&mut self, needs: Option<&CopyNeeds>, effects: &mut Effects) {
        let waiting = self.by_id.values_mut();
        for follower in waiting.filter(|follower| follower.waits_for_snapshot()) {
            follower.judge(None, needs, effects);
        }
    }

    /// Whether somebody waits for a copy and may not be given any.
    pub(super) fn are_held(&self) -> bool {
        self.by_id.values().any(Follower::is_held)
    }

    /// Whether somebody is to be fetched a snapshot; `serves`: with the one at hand nodes can go on, but not who can't load
    /// that. While others are given it, they come first.
    pub(super) fn want_snapshot(&self, serves: bool) -> bool {
        let mut followers = self.by_id.values();
        if !serves {
            return followers.any(Follower::wants_snapshot);
        }
        followers.any(Follower::wants_another) && !self.by_id.values().any(Follower::takes_snapshot)
    }

    /// The lowest version among those that a snapshot is fetched for.
    pub(super) fn weakest_that_waits(&self) -> Option<Version> {
        let waiting = self.by_id.values().filter(|follower| follower.wants_snapshot());
        waiting.map(Follower::version).min()
    }

    /// The lowest version among all.
    pub(super) fn weakest(&self) -> Option<Version> {
        self.by_id.values().map(Follower::version).min()
    }

    /// Ends the connection of this node, which loads a copy. Where none has its address, as behind an address translation,
    /// it is one of those that load.
    pub(super) fn end_copy(&mut self, node: &[SocketAddr], effects: &mut Effects) {
        let is_it = |follower: &Follower| node.contains(&follower.address());
        let is_here = self.by_id.values().any(is_it);
        self.close(
            |follower| follower.loads() && (is_it(follower) || !is_here),
            "it is told to follow another, or nobody",
            effects,
        );
    }

    /// Whether somebody continues with the stream.
    pub(super) fn follow(&self) -> bool {
        self.by_id.values().any(|follower| follower.sent().is_some())
    }

    /// Whether somebody depends on the snapshot that is at hand, and on the log from its offset on.
    pub(super) fn use_snapshot(&self) -> bool {
        self.wait_for_snapshot() || self.by_id.values().any(Follower::takes_snapshot)
    }

    pub(super) fn status(&self, log: &ShardLog, now: Now) -> Vec<FollowerStatus> {
        let followers = self.by_id.values();
        followers.map(|follower| follower.status(log, now.mono)).collect()
    }
}
