//! What a shard does about its primary: decides how to follow it, takes its bytes, acknowledges them.

use std::time::Duration;

use bytes::Bytes;
use sterna_node::Upstream;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::{mpsc, oneshot};

use super::event::{Effect, Handover, Now, SourceEvent};
use super::link::{FullResyncPermit, Pending, Phase};
use super::state::Shard;
use crate::acks::Acks;
use crate::lineage::{Assessment, Held, HoldReason, Lineage, assess};
use crate::settings::Acknowledge;
use crate::source::{FullResyncAnswer, Purpose, SourceError};
use crate::status::{LinkState, Notice};

/// While replication holds, the primary is looked at again this often.
const HOLD_LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Bad data at the same place so many times in a row is no accident of the network.
const CORRUPT_MAX: u32 = 3;

impl Shard {
    /// Begins a new attempt, which replaces the one before.
    pub(super) fn connect_now(&mut self) {
        self.connect(Duration::ZERO);
    }

    /// Follows another primary, or none, from now on. The connection is reset, not closed: an acknowledgement that is
    /// still on its way would renew the old primary's lease when it arrives.
    pub(super) fn follow(&mut self, upstream: Option<Upstream>) {
        self.restart_tail(self.unit_end());
        self.disconnect();
        // A snapshot of the old one may hold writes that the new one never had.
        if let Some(attempt) = self.fetch.take() {
            self.effects.push(Effect::Disconnect { attempt });
            self.drop_snapshot();
        }
        self.link.upstream = upstream;
        self.link.hands_over = false;
        self.link.hold = None;
        self.link.last_failure = None;
        self.link.backoff.reset();
        self.connect_now();
    }

    /// What to do about a primary that hands over from now on.
    pub(super) fn set_handover(&mut self, handover: Handover, now: Now) {
        let before = std::mem::replace(&mut self.link.handover, handover);
        self.link.hands_over = handover == Handover::Hold;
        match handover {
            Handover::Hold => self.link.acks = Acks::new(now.mono),
            Handover::Refuse if before == Handover::Hold && self.link.phase == Phase::Connecting => {
                self.connect_now();
            }
            Handover::Refuse | Handover::Accept => {}
        }
    }

    fn connect(&mut self, delay: Duration) {
        if self.stopping.is_some() || self.link.hands_over {
            return;
        }
        let Some(upstream) = self.link.upstream.clone() else {
            return;
        };
        let (acks_out, acks) = mpsc::unbounded_channel();
        self.link.attempt = self.link.next_attempt();
        self.link.phase = Phase::Connecting;
        self.link.acks_out = Some(acks_out);
        self.effects.push(Effect::Connect {
            attempt: self.link.attempt,
            purpose: Purpose::Follow,
            upstream: Box::new(upstream),
            delay,
            acks,
        });
    }

    /// Ends the attempt under way, if there is one.
    pub(super) fn disconnect(&mut self) {
        self.link.pending = None;
        self.link.acks_out = None;
        self.link.phase = Phase::Connecting;
        self.link.forget_observed();
        self.effects.push(Effect::Disconnect {
            attempt: self.link.attempt,
        });
        self.link.attempt = self.link.next_attempt();
        self.abandon_snapshot_from_link();
    }

    pub(super) fn on_source(&mut self, attempt: u64, event: SourceEvent, now: Now) {
        if self.is_fetch(attempt) {
            self.on_fetch(event, now);
        } else if attempt == self.link.attempt {
            self.on_link(event, now);
        }
    }

    fn on_link(&mut self, event: SourceEvent, now: Now) {
        match event {
            SourceEvent::Found { peer, lineage, reply } => {
                self.link.found(peer.clone());
                self.link.pending = Some(Pending { peer, lineage, reply });
            }
            SourceEvent::Continued { id } => self.on_continued(id, now),
            SourceEvent::FullResync { id, offset, reply } => self.on_full_resync(id, offset, reply, now),
            SourceEvent::SnapshotStarted(form) => self.on_snapshot_started(form),
            SourceEvent::Snapshot(bytes) => {
                self.link.heard(now.mono);
                self.on_snapshot_bytes(bytes, now);
            }
            SourceEvent::SnapshotDone => {
                if self.on_snapshot_done(now) {
                    self.link.streaming(now);
                    self.link.acks = Acks::after_snapshot(now.mono);
                }
            }
            SourceEvent::Stream(bytes) => self.on_stream(bytes, now),
            SourceEvent::Observed { offset, asked } => self.link.observe(offset, asked, now.mono),
            SourceEvent::Ended(error) => self.on_ended(&error),
        }
    }

    /// Decides how to follow a primary that was found, once the log stands still at a unit boundary.
    pub(super) fn settle_decision(&mut self, now: Now) {
        // The next snapshot may stand at the same offset as one that was dropped, and have the same name.
        if self.link.pending.is_none() || !self.disk.settled(self.unit_end()) || self.spools_out > 0 {
            return;
        }
        let Some(Pending { peer, lineage, reply }) = self.link.pending.take() else {
            return;
        };
        self.link.previous = lineage.previous;
        let answer = self.decide(&lineage, now);
        match &answer {
            Ok(_) => {
                self.link.phase = Phase::Asked;
                // A replica that continues counts as one that acknowledged, whether its answer arrives here or not.
                self.link.renewed = Some(now.mono);
                self.notice(Notice::Connected { primary: peer });
            }
            Err(reason) => tracing::warn!(shard = %self.settings.name, %peer, %reason, "not following"),
        }
        drop(reply.send(answer));
    }

    fn decide(&mut self, lineage: &Lineage, now: Now) -> Result<PsyncRequest, String> {
        let held = self.held();
        let accepted = self.link.accepts_new_history();
        let assessment = assess(held, lineage, self.link.silent_for(now.mono), accepted);
        self.link.permit = match held {
            Some(_) if !accepted => FullResyncPermit::Successor(lineage.id),
            _ => FullResyncPermit::Any,
        };
        match (assessment, held) {
            (Assessment::Hold(reason), _) => Err(self.hold(reason)),
            (Assessment::Full, _) | (_, None) => Ok(PsyncRequest::Full),
            (Assessment::Resume, Some(held)) => {
                self.restart_tail(held.end);
                Ok(PsyncRequest::Resume {
                    id: held.id,
                    held: held.end,
                })
            }
            (Assessment::CutBack { to }, Some(held)) => Ok(self.cut_back(held, to)),
        }
    }

    /// What a primary must continue, if there is anything.
    fn held(&self) -> Option<Held> {
        let id = self.disk.history().current().filter(|_| !self.unanchored)?;
        Some(Held {
            id,
            end: self.unit_end(),
        })
    }

    /// Drops what a promoted primary never had; followers that went past it need a full copy, the others do not.
    fn cut_back(&mut self, held: Held, to: Offset) -> PsyncRequest {
        let bytes = held.end.bytes_since(to);
        if to < self.available_from() {
            return PsyncRequest::Full;
        }
        if let Err(error) = self.disk.truncate(to) {
            tracing::warn!(shard = %self.settings.name, %error, %to, "the log can't be cut back, a full copy is needed");
            return PsyncRequest::Full;
        }
        self.close_followers(
            |follower| follower.sent().is_some_and(|sent| sent > to),
            "the primary service failed over and lost writes that this node had been sent: it needs a full copy",
        );
        if self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.offset() > to)
        {
            self.drop_snapshot();
        }
        self.restart_tail(to);
        self.link.new_history_taken();
        self.notice(Notice::CutBack { to, bytes });
        PsyncRequest::Resume {
            id: held.id,
            held: to,
        }
    }

    fn hold(&mut self, reason: HoldReason) -> String {
        let text = reason.to_string();
        if self.link.hold.as_ref() != Some(&reason) {
            self.link.hold = Some(reason.clone());
            self.notice(Notice::Holding(reason));
        }
        text
    }

    fn on_continued(&mut self, id: Option<ReplicationId>, now: Now) {
        let (at, held) = (self.unit_end(), self.disk.history().current());
        let new_id = id.filter(|id| Some(*id) != held);
        // The old id ends where the primary says, which may be ahead of a log that lost its last moments: replica nodes that
        // have those bytes continue when they come again.
        let shared = self
            .link
            .previous
            .filter(|(id, _)| Some(*id) == held)
            .map(|(_, last)| last);
        if let Some(id) = new_id
            && let Err(error) = self
                .disk
                .extend_history(id, shared.map_or(at, |last| last.max(at)))
        {
            self.disk_failed(&error, now);
        }
        if new_id.is_some() {
            // Followers learn the new name when they ask again; under the old one nobody could continue past this point.
            self.close_followers(
                |follower| follower.sent().is_some(),
                "the history goes on under a new id, which it learns by asking again",
            );
        }
        self.counters.partial_syncs_up += 1;
        self.link.streaming(now);
        self.notice(Notice::Resumed { offset: at, new_id });
    }

    fn on_full_resync(
        &mut self,
        id: ReplicationId,
        offset: Offset,
        reply: oneshot::Sender<FullResyncAnswer>,
        now: Now,
    ) {
        let held = self.held().map(|held| (held.id, held.end));
        let permitted = match self.link.permit {
            FullResyncPermit::Any => true,
            FullResyncPermit::Successor(successor) => id == successor,
        };
        if let (false, Some(held)) = (permitted, held) {
            let text = self.hold(HoldReason::UnrelatedHistory {
                held,
                offered: id,
                offered_offset: offset,
            });
            drop(reply.send(FullResyncAnswer::Refuse(text)));
            return;
        }
        let reason = match held {
            None => "nothing is here yet".to_owned(),
            Some(_) if self.link.accepts_new_history() => "the new history was accepted".to_owned(),
            Some((_, end)) => format!("the primary's backlog no longer reaches back to offset {end}"),
        };
        let begun = self
            .begin_history(id, offset)
            .and_then(|()| self.receive_snapshot(id, offset, None, now));
        if let Err(error) = begun {
            self.unanchored = true;
            self.disk_failed(&error, now);
            drop(reply.send(FullResyncAnswer::Refuse(error.to_string())));
            return;
        }
        self.close_followers(
            |follower| follower.sent().is_some(),
            "the primary sends a new full copy",
        );
        self.link.new_history_taken();
        self.link.phase = Phase::FullSync;
        self.link.hold = None;
        self.counters.full_syncs_up += 1;
        self.notice(Notice::FullSyncStarted { id, offset, reason });
        drop(reply.send(FullResyncAnswer::Accept));
    }

    fn on_stream(&mut self, bytes: Bytes, now: Now) {
        self.link.heard(now.mono);
        self.link.acks.opened();
        self.counters.stream_bytes += bytes.len() as u64;
        let fed = self.scanner.feed(&bytes);
        self.tail.push(bytes);
        match fed {
            Ok(fed) => {
                self.counters.commands += fed.commands;
                if let Some(offset) = fed.getack {
                    self.link.acks.asked(offset);
                }
                self.marks.reached(self.unit_end(), now.mono);
            }
            Err(error) => self.on_corrupt(&error.to_string()),
        }
    }

    /// The primary sent what can't be right: drop it, ask again from the last whole unit or for another snapshot, and
    /// say so if it repeats.
    pub(super) fn on_corrupt(&mut self, what: &str) {
        let end = self.unit_end();
        // Each snapshot stands at another offset; their failures count together.
        let place = (self.link.phase != Phase::FullSync).then_some(end);
        let times = match self.link.corrupt {
            Some((at, times)) if at == place => times + 1,
            _ => 1,
        };
        self.link.corrupt = Some((place, times));
        let peer = self.link.peer().unwrap_or("the primary").to_owned();
        let reason = format!("{peer} sent bytes that can't be right: {what}");
        self.restart_tail(end);
        self.disconnect();
        if times >= CORRUPT_MAX {
            self.notice(Notice::Corrupt {
                reason: reason.clone(),
            });
        }
        self.retry(reason);
    }

    fn on_ended(&mut self, error: &SourceError) {
        if let SourceError::BadData(what) = error {
            return self.on_corrupt(what);
        }
        let end = self.unit_end();
        let broke_off_after = match (error, self.link.phase) {
            (SourceError::Broken { .. }, Phase::FullSync) => self.snapshot_progress().0,
            _ => 0,
        };
        self.restart_tail(end);
        self.disconnect();
        let reason = error.to_string();
        if broke_off_after > 0 {
            self.on_broken_off(broke_off_after, &reason);
        }
        self.retry(reason);
    }

    /// A snapshot ended early. A network breaks off anywhere; always at the same byte is the primary's own doing.
    fn on_broken_off(&mut self, after: u64, reason: &str) {
        let times = match self.link.broken_off {
            Some((at, times)) if at == after => times + 1,
            _ => 1,
        };
        self.link.broken_off = Some((after, times));
        if times >= CORRUPT_MAX {
            self.notice(Notice::Corrupt {
                reason: format!("the snapshot breaks off after {after} bytes: {reason}"),
            });
        }
    }

    fn retry(&mut self, reason: String) {
        self.retry_after(Duration::ZERO, reason);
    }

    /// Tries again after the next step of the backoff, and not before `delay_min`.
    pub(super) fn retry_after(&mut self, delay_min: Duration, reason: String) {
        let mut delay = self.link.backoff.failed(self.random.as_mut()).max(delay_min);
        if self.link.hold.is_some() {
            delay = delay.max(HOLD_LOOK_INTERVAL);
        }
        if self.link.last_failure.as_ref() != Some(&reason) && self.link.hold.is_none() {
            self.notice(Notice::Lost {
                reason: reason.clone(),
                retry_in: delay,
            });
        }
        self.link.last_failure = Some(reason);
        self.counters.reconnects += 1;
        self.connect(delay);
    }

    /// Acknowledges what the setting allows, when it is due.
    pub(super) fn settle_acks(&mut self, now: Now) {
        match self.link.phase {
            Phase::Streaming => {}
            // It may count us as a replica any moment, and whether it does may never be heard here.
            Phase::Asked | Phase::FullSync => {
                self.link.renewed = Some(now.mono);
                return;
            }
            Phase::Connecting => return,
        }
        if self.settings.lease && self.link.is_unconfirmed(now.mono) {
            return self.give_up_unconfirmed(now);
        }
        if self.settings.lease && !self.link.may_renew(now.mono) {
            return;
        }
        let hands_over = self.link.hands_over;
        let safe = match self.settings.acknowledge {
            Acknowledge::Replica if !hands_over => self.applied_by_followers(),
            Acknowledge::Gateway | Acknowledge::Replica => self.disk.durable_end(),
        };
        if hands_over && self.link.acked != Some(self.unit_end()) {
            self.link.acks.asked(self.unit_end());
        }
        if let Some(offset) = self.link.acks.take(safe, now.mono)
            && let Some(acks) = &self.link.acks_out
        {
            self.link.renewed = Some(now.mono);
            self.link.acked = Some(offset);
            // The connection has ended if this fails; the next one begins with its own.
            let _ = acks.send(offset);
        }
    }

    /// The connection is reset with what is on its way, and the lease counted from now.
    fn give_up_unconfirmed(&mut self, now: Now) {
        self.link.renewed = Some(now.mono);
        self.restart_tail(self.unit_end());
        self.disconnect();
        self.retry("it shows no sign of life, and an acknowledgement is on its way to it".to_owned());
    }

    /// The link's state for people.
    pub(super) fn link_state(&self) -> LinkState {
        if self.link.upstream.is_none() {
            return LinkState::ServeOnly;
        }
        match (self.link.phase, &self.link.hold, &self.link.last_failure) {
            (Phase::Streaming, ..) => LinkState::Streaming,
            (Phase::FullSync, ..) => {
                let (received_bytes, total_bytes) = self.snapshot_progress();
                LinkState::FullSync {
                    received_bytes,
                    total_bytes,
                }
            }
            (_, Some(reason), _) => LinkState::Holding(reason.clone()),
            (_, None, Some(reason)) => LinkState::Retrying {
                reason: reason.clone(),
            },
            (_, None, None) => LinkState::Connecting,
        }
    }
}
