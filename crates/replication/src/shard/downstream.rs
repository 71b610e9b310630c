//! What a shard does about its followers: answers their `PSYNC`, keeps every one of them fed at its own pace.

use bytes::Bytes;
use sterna_protocol::psync::{self, PsyncRequest};
use sterna_protocol::{Offset, ReplicationId, rdb};

use super::event::{
    Effect, FollowerEvent, FollowerId, Handover, Now, ReadDone, ReadFailure, ReadJob, Reader, SnapshotFeed,
};
use super::follower::{Follower, Kind, ReaderSlot, Stage};
use super::snapshot::Snapshot;
use super::state::Shard;
use crate::settings::{FOLLOWER_SILENCE_MAX, IN_FLIGHT_BYTES_MAX, KEEPALIVE_INTERVAL};
use crate::status::Notice;

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

impl Shard {
    pub(super) fn on_follower(&mut self, id: FollowerId, event: FollowerEvent, now: Now) {
        let end = self.unit_end();
        let Some(follower) = self.followers.get_mut(&id) else {
            return;
        };
        match event {
            FollowerEvent::Acked(offset) => {
                follower.acknowledged(offset, end, &mut self.marks, now.mono);
                self.on_first_ack(id);
            }
            FollowerEvent::Alive => follower.heard = now.mono,
            FollowerEvent::Written(bytes) => follower.in_flight = follower.in_flight.saturating_sub(bytes),
            FollowerEvent::Gone(reason) => {
                let peer = follower.peer;
                self.followers.remove(&id);
                self.notice(Notice::FollowerGone { peer, reason });
            }
        }
    }

    /// The first acknowledgement of a follower says that it has loaded what it was given.
    fn on_first_ack(&mut self, id: FollowerId) {
        let Some(follower) = self.followers.get_mut(&id) else {
            return;
        };
        if let Stage::Loading { snapshot_offset } = follower.stage {
            follower.stage = Stage::Streaming {
                sent: snapshot_offset,
            };
        }
        if !follower.online && matches!(follower.stage, Stage::Streaming { .. }) {
            follower.online = true;
            let peer = follower.peer;
            self.notice(Notice::FollowerOnline { peer });
        }
    }

    /// Where a primary that hands over waits to follow.
    pub(super) fn handover_waits_at(&self) -> Option<Offset> {
        let waits =
            |follower: &&Follower| follower.kind == Kind::HandsOver && follower.stage == Stage::Waiting;
        match self.followers.values().find(waits)?.request {
            PsyncRequest::Resume { held, .. } => Some(held),
            PsyncRequest::Full => None,
        }
    }

    /// What every follower has applied, zero with none.
    pub(super) fn applied_by_followers(&self) -> Offset {
        let streaming = self.followers.values().filter(|follower| follower.online);
        streaming.filter_map(Follower::applied).min().unwrap_or_default()
    }

    /// Ends the connections of the followers that match; they come back and ask again.
    pub(super) fn close_followers(&mut self, matches: impl Fn(&Follower) -> bool, reason: &str) {
        for follower in self.followers.values().filter(|follower| matches(follower)) {
            follower.close(reason);
            let (peer, reason) = (follower.peer, reason.to_owned());
            self.notice(Notice::FollowerGone { peer, reason });
        }
        self.followers.retain(|_, follower| !matches(follower));
    }

    pub(super) fn tick_followers(&mut self, now: Now) {
        let silent = |follower: &Follower| {
            follower.stage != Stage::Waiting
                && now.mono.duration_since(follower.heard) > FOLLOWER_SILENCE_MAX
                && follower.in_flight == 0
        };
        if self.followers.values().any(silent) {
            self.close_followers(silent, "it has been silent for too long");
        }
        for follower in self.followers.values_mut() {
            if follower.stage == Stage::Waiting && now.mono >= follower.next_keepalive {
                follower.next_keepalive = now.mono + KEEPALIVE_INTERVAL;
                follower.send(vec![Bytes::from_static(psync::KEEPALIVE)]);
            }
        }
    }

    /// Gives every follower as much as it may have on its way.
    pub(super) fn settle_followers(&mut self, now: Now) {
        let ids: Vec<_> = self.followers.keys().copied().collect();
        for id in ids {
            let Some(mut follower) = self.followers.remove(&id) else {
                continue;
            };
            if follower.stage == Stage::Waiting {
                self.answer(&mut follower, now);
            }
            let keep = follower.stage != Stage::Refused && self.feed(id, &mut follower);
            if keep {
                self.followers.insert(id, follower);
            }
        }
    }

    fn answer(&mut self, follower: &mut Follower, now: Now) {
        match self.answer_to(follower) {
            Answer::Wait => {}
            Answer::Continue { held, id } => {
                follower.send(vec![psync::continue_with(id)]);
                follower.stage = Stage::Streaming { sent: held };
                follower.acked = Some(held);
                follower.heard = now.mono;
                follower.needs_snapshot = false;
                self.counters.partial_syncs_down += 1;
                self.notice(Notice::FollowerResumed {
                    peer: follower.peer,
                    offset: held,
                });
            }
            Answer::Refuse => {
                let reason = "nobody asked for this failover: it takes writes again";
                follower.send(vec![psync::refuse(reason)]);
                follower.close(reason);
                follower.stage = Stage::Refused;
            }
            Answer::Snapshot => {
                follower.needs_snapshot = true;
                self.begin_snapshot(follower, now);
            }
        }
    }

    /// A follower continues iff what it holds is a prefix of this history and what comes after is at hand; one that is
    /// ahead of the log waits, for the source is about to deliver those bytes.
    fn answer_to(&self, follower: &Follower) -> Answer {
        let (id, held) = match follower.request {
            PsyncRequest::Full => return Answer::Snapshot,
            PsyncRequest::Resume { id, held } => (id, held),
        };
        let history = self.disk.history();
        let Some(current) = history.current() else {
            return Answer::Wait;
        };
        match self.link.handover {
            Handover::Refuse if follower.kind == Kind::HandsOver => return Answer::Refuse,
            // Its own id is what it shall give up.
            Handover::Hold | Handover::Accept if follower.kind == Kind::HandsOver && current == id => {
                return Answer::Wait;
            }
            _ => {}
        }
        if !self.covers(id, held) || held < self.available_from() {
            return Answer::Snapshot;
        }
        if held > self.unit_end() {
            Answer::Wait
        } else {
            Answer::Continue { held, id: current }
        }
    }

    fn begin_snapshot(&mut self, follower: &mut Follower, now: Now) {
        let Some(snapshot) = self
            .snapshot
            .as_ref()
            .filter(|snapshot| self.snapshot_serves(snapshot))
        else {
            return;
        };
        let eof = snapshot.length().is_none();
        if eof && !follower.takes_eof {
            return;
        }
        if eof && snapshot.received() == 0 {
            // Its form is not known before its first byte.
            return;
        }
        let header = match snapshot.length() {
            Some(bytes) => rdb::length_header(bytes),
            None => rdb::eof_header(&snapshot.mark),
        };
        let id = self.disk.history().current().unwrap_or(snapshot.id());
        let offset = snapshot.offset();
        follower.send(vec![psync::full_resync(id, offset), header]);
        follower.stage = Stage::Snapshot { position: 0, eof };
        follower.heard = now.mono;
        self.counters.full_syncs_down += 1;
        if let PsyncRequest::Resume { id, held } = follower.request
            && self.covers(id, held)
        {
            self.counters.full_syncs_needless += 1;
        }
        self.notice(Notice::FollowerFullSync { peer: follower.peer });
    }

    /// Hands over what comes next; returns whether the follower stays.
    fn feed(&mut self, id: FollowerId, follower: &mut Follower) -> bool {
        while follower.in_flight < IN_FLIGHT_BYTES_MAX && !matches!(follower.reader, ReaderSlot::Out) {
            let before = (follower.stage, follower.in_flight);
            let fed = match follower.stage {
                Stage::Waiting | Stage::Loading { .. } | Stage::Refused => Ok(()),
                Stage::Snapshot { position, eof } => self.feed_snapshot(id, follower, position, eof),
                Stage::Streaming { sent } => self.feed_stream(id, follower, sent),
            };
            if let Err(reason) = fed {
                follower.close(&reason);
                self.notice(Notice::FollowerGone {
                    peer: follower.peer,
                    reason,
                });
                return false;
            }
            if (follower.stage, follower.in_flight) == before {
                break;
            }
        }
        true
    }

    fn feed_stream(&mut self, id: FollowerId, follower: &mut Follower, sent: Offset) -> Result<(), String> {
        let end = self.unit_end();
        if sent >= end {
            return Ok(());
        }
        if let Some(slices) = self.tail.slices(sent.get(), end.get(), IN_FLIGHT_BYTES_MAX) {
            let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
            follower.send(slices);
            follower.stage = Stage::Streaming { sent: sent + bytes };
            follower.reader = ReaderSlot::Empty;
            return Ok(());
        }
        if sent < self.available_from() {
            return Err(format!(
                "it needs the log from offset {sent}, which retention has dropped: it needs a full copy"
            ));
        }
        let reader = match follower.reader.send_out() {
            Some(Reader::Log(reader)) => reader,
            _ => self.disk.reader(),
        };
        let upto = self.disk.written_end().min(end).get();
        let job = ReadJob {
            follower: id,
            reader: Reader::Log(reader),
            from: sent.get(),
            upto,
            whole: None,
        };
        self.effects.push(Effect::Read(Box::new(job)));
        Ok(())
    }

    fn feed_snapshot(
        &mut self,
        id: FollowerId,
        follower: &mut Follower,
        position: u64,
        eof: bool,
    ) -> Result<(), String> {
        let Some(snapshot) = &self.snapshot else {
            return Err("the full copy broke off and will be sent again".to_owned());
        };
        let safe_end = snapshot.safe_end();
        if position >= safe_end {
            if snapshot.is_complete() {
                Self::end_snapshot(follower, snapshot, eof);
            }
            return Ok(());
        }
        if let Some(slices) = snapshot.window().slices(position, safe_end, IN_FLIGHT_BYTES_MAX) {
            let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
            follower.send(slices);
            follower.stage = Stage::Snapshot {
                position: position + bytes,
                eof,
            };
            return Ok(());
        }
        let reader = match follower.reader.send_out() {
            Some(Reader::Snapshot(reader)) => reader,
            _ => SnapshotFeed {
                reader: self
                    .disk
                    .snapshot_reader(snapshot.path())
                    .map_err(|error| error.to_string())?,
                inspector: Box::default(),
                inspected: 0,
            },
        };
        let upto = snapshot.written().min(safe_end);
        let job = ReadJob {
            follower: id,
            reader: Reader::Snapshot(reader),
            from: position,
            upto,
            whole: snapshot.is_complete().then(|| snapshot.received()),
        };
        self.effects.push(Effect::Read(Box::new(job)));
        Ok(())
    }

    fn end_snapshot(follower: &mut Follower, snapshot: &Snapshot, eof: bool) {
        let offset = snapshot.offset();
        follower.reader = ReaderSlot::Empty;
        follower.needs_snapshot = false;
        if eof {
            follower.send(vec![Bytes::copy_from_slice(&snapshot.mark)]);
            follower.stage = Stage::Loading {
                snapshot_offset: offset,
            };
        } else {
            follower.stage = Stage::Streaming { sent: offset };
        }
    }

    pub(super) fn on_read_done(&mut self, done: ReadDone) {
        let Some(follower) = self.followers.get_mut(&done.follower) else {
            return;
        };
        follower.reader = ReaderSlot::Home(done.reader);
        let bytes = match done.result {
            Ok(bytes) => bytes,
            Err(ReadFailure { reason, lasting }) => {
                follower.close(&reason);
                let peer = follower.peer;
                let from_log = matches!(follower.stage, Stage::Streaming { .. });
                self.followers.remove(&done.follower);
                self.notice(Notice::FollowerGone { peer, reason });
                match (lasting, from_log) {
                    (false, _) => {}
                    // It comes back and asks for the same, which only a full copy can give it,
                    (true, true) => self.disk.lose_up_to(Offset::new(done.from) + 1),
                    // or another one.
                    (true, false) => self.drop_snapshot(),
                }
                return;
            }
        };
        let len = bytes.len() as u64;
        self.counters.disk_read_bytes += len;
        match &mut follower.stage {
            Stage::Streaming { sent } if sent.get() == done.from => *sent += len,
            Stage::Snapshot { position, .. } if *position == done.from => *position += len,
            _ => return,
        }
        follower.send(vec![bytes]);
    }
}
