//! Full copies: takes snapshots from the primary, on the link or on a second connection, and writes them to the spool.

use std::time::Duration;

use bytes::Bytes;
use sterna_protocol::rdb::RdbForm;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::mpsc;

use super::disk::DiskError;
use super::event::{Effect, Now, SourceEvent, SpoolDone, SpoolJob};
use super::follower::Follower;
use super::link::Phase;
use super::snapshot::{Origin, Snapshot};
use super::state::Shard;
use crate::settings::{DISK_RETRY_INTERVAL, FLUSH_BYTES, SNAPSHOT_RETRY_INTERVAL};
use crate::source::{FullResyncAnswer, Purpose};
use crate::status::Notice;

impl Shard {
    /// Makes room for a snapshot that was announced; `fetch` is the second connection's number, if it comes on one.
    pub(super) fn receive_snapshot(
        &mut self,
        id: ReplicationId,
        offset: Offset,
        fetch: Option<u64>,
        now: Now,
    ) -> Result<(), DiskError> {
        let spool = self.disk.spool(id, offset)?;
        let origin = fetch.map_or(Origin::Link, |attempt| Origin::Fetch { attempt });
        let mut mark = [0; 40];
        for digit in &mut mark {
            *digit = b"0123456789abcdef"[usize::try_from(self.random.next_u64() % 16).unwrap_or(0)];
        }
        self.snapshot = Some(Snapshot::arriving(id, offset, origin, spool, mark, now.mono));
        Ok(())
    }

    pub(super) fn on_snapshot_started(&mut self, form: RdbForm) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.announced(form);
        }
    }

    pub(super) fn on_snapshot_bytes(&mut self, bytes: Bytes, now: Now) {
        let Some(snapshot) = &mut self.snapshot else {
            return;
        };
        self.counters.snapshot_bytes += bytes.len() as u64;
        if let Err(error) = snapshot.push(bytes) {
            self.on_bad_snapshot(&error.to_string(), now);
        }
    }

    /// The snapshot is whole; returns whether it is also right.
    pub(super) fn on_snapshot_done(&mut self, now: Now) -> bool {
        let Some(snapshot) = &mut self.snapshot else {
            return false;
        };
        match snapshot.complete() {
            Ok(()) => {
                let took = snapshot
                    .started()
                    .map_or(Duration::ZERO, |started| now.mono - started);
                let bytes = snapshot.received();
                self.link.corrupt = self.link.corrupt.filter(|(place, _)| place.is_some());
                self.notice(Notice::FullSyncReceived { bytes, took });
                true
            }
            Err(error) => {
                self.on_bad_snapshot(&error.to_string(), now);
                false
            }
        }
    }

    fn on_bad_snapshot(&mut self, what: &str, now: Now) {
        let origin = self.snapshot.as_ref().and_then(Snapshot::origin);
        if let Some(Origin::Fetch { attempt }) = origin {
            self.drop_snapshot();
            tracing::warn!(shard = %self.settings.name, what, "the snapshot is corrupt");
            self.effects.push(Effect::Disconnect { attempt });
            self.snapshot_not_before = now.mono + SNAPSHOT_RETRY_INTERVAL;
        } else {
            self.on_corrupt(what);
        }
    }

    /// Forgets the snapshot; followers that were being sent it must start over.
    pub(super) fn drop_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            if let Some(meta) = snapshot.on_disk() {
                self.disk.remove_snapshot(meta);
            }
            self.close_followers(
                Follower::takes_snapshot,
                "the full copy broke off and will be sent again",
            );
        }
    }

    /// The link ended: a snapshot that was arriving on it will not become whole.
    pub(super) fn abandon_snapshot_from_link(&mut self) {
        if self.snapshot.as_ref().and_then(Snapshot::origin) == Some(Origin::Link) {
            self.drop_snapshot();
            // A history that no follower has and no snapshot leads to is worth nothing: nothing is lost by beginning anew.
            self.unanchored = true;
        }
    }

    pub(super) fn is_fetch(&self, attempt: u64) -> bool {
        self.fetch == Some(attempt)
    }

    pub(super) fn on_fetch(&mut self, event: SourceEvent, now: Now) {
        match event {
            SourceEvent::Found { reply, .. } => {
                drop(reply.send(Ok(sterna_protocol::psync::PsyncRequest::Full)));
            }
            SourceEvent::FullResync { id, offset, reply } => {
                drop(reply.send(self.answer_fetch(id, offset, now)));
            }
            SourceEvent::SnapshotStarted(form) => self.on_snapshot_started(form),
            SourceEvent::Snapshot(bytes) => self.on_snapshot_bytes(bytes, now),
            SourceEvent::SnapshotDone => {
                self.on_snapshot_done(now);
                self.end_fetch(now);
            }
            SourceEvent::Ended(error) => {
                tracing::warn!(shard = %self.settings.name, %error, "a snapshot could not be taken");
                if self
                    .snapshot
                    .as_ref()
                    .is_some_and(|snapshot| !snapshot.is_complete())
                {
                    self.drop_snapshot();
                }
                self.end_fetch(now);
            }
            SourceEvent::Continued { .. } | SourceEvent::Stream(_) | SourceEvent::Observed { .. } => {}
        }
    }

    fn answer_fetch(&mut self, id: ReplicationId, offset: Offset, now: Now) -> FullResyncAnswer {
        let current = self.disk.history().current();
        if current != Some(id) || offset < self.available_from() {
            return FullResyncAnswer::Refuse(format!(
                "the snapshot offered is of history {id} at {offset}, which this log can't continue"
            ));
        }
        match self.receive_snapshot(id, offset, self.fetch, now) {
            Ok(()) => {
                self.counters.full_syncs_up += 1;
                let reason = "a replica node needs a full copy".to_owned();
                self.notice(Notice::FullSyncStarted { id, offset, reason });
                FullResyncAnswer::Accept
            }
            Err(error) => FullResyncAnswer::Refuse(error.to_string()),
        }
    }

    fn end_fetch(&mut self, now: Now) {
        if let Some(attempt) = self.fetch.take() {
            self.effects.push(Effect::Disconnect { attempt });
        }
        self.snapshot_not_before = now.mono + SNAPSHOT_RETRY_INTERVAL;
    }

    /// Asks for a snapshot when a follower can't go on without one, and writes the one that arrives.
    pub(super) fn settle_snapshot(&mut self, now: Now) {
        self.settle_fetch(now);
        let Some(snapshot) = &mut self.snapshot else {
            return;
        };
        let Some((bytes, finish)) = snapshot.next_write(FLUSH_BYTES) else {
            return;
        };
        if let Some(spool) = snapshot.spool.take() {
            self.spools_out += 1;
            self.effects.push(Effect::Spool(Box::new(SpoolJob {
                spool,
                bytes,
                finish,
                wall_ms: now.wall_ms,
            })));
        }
    }

    fn settle_fetch(&mut self, now: Now) {
        let wanted = self.followers.values().any(Follower::waits_for_snapshot)
            && self.fetch.is_none()
            && self.spools_out == 0
            && !self
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| self.snapshot_serves(snapshot))
            && self.link.phase == Phase::Streaming
            && now.mono >= self.snapshot_not_before;
        let Some(upstream) = self.link.upstream.clone().filter(|_| wanted) else {
            return;
        };
        self.drop_snapshot();
        let attempt = self.link.next_attempt();
        self.fetch = Some(attempt);
        let (_, acks) = mpsc::unbounded_channel();
        self.effects.push(Effect::Connect {
            attempt,
            purpose: Purpose::Snapshot,
            upstream: Box::new(upstream),
            delay: Duration::ZERO,
            acks,
        });
    }

    /// Whether a follower that loads this snapshot can continue from the log.
    pub(super) fn snapshot_serves(&self, snapshot: &Snapshot) -> bool {
        self.disk.history().covers(snapshot.id(), snapshot.offset())
            && snapshot.offset() >= self.available_from()
    }

    pub(super) fn on_spool_done(&mut self, done: SpoolDone, now: Now) {
        self.spools_out -= 1;
        let Some(snapshot) = self
            .snapshot
            .as_mut()
            .filter(|snapshot| snapshot.path() == done.path)
        else {
            // It was dropped meanwhile; so is its file.
            if let Some(meta) = &done.finished {
                self.disk.remove_snapshot(meta);
            }
            return;
        };
        match done.result {
            Ok(bytes) => snapshot.wrote(done.spool, bytes, done.finished),
            Err(error) => {
                self.disk_failed(&error, now);
                self.on_unspooled(&error.to_string(), now);
            }
        }
    }

    /// The disk did not take the snapshot, which is not the primary's fault: it is asked again when the disk is tried
    /// again, and not in a loop of forks.
    fn on_unspooled(&mut self, what: &str, now: Now) {
        let origin = self.snapshot.as_ref().and_then(Snapshot::origin);
        self.drop_snapshot();
        match origin {
            Some(Origin::Fetch { attempt }) => {
                self.effects.push(Effect::Disconnect { attempt });
                self.snapshot_not_before = now.mono + SNAPSHOT_RETRY_INTERVAL;
            }
            Some(Origin::Link) => {
                self.disconnect();
                self.unanchored = true;
                self.retry_after(DISK_RETRY_INTERVAL, what.to_owned());
            }
            None => {}
        }
    }

    /// Bytes received of the copy that is arriving, and its size.
    pub(super) fn snapshot_progress(&self) -> (u64, Option<u64>) {
        self.snapshot
            .as_ref()
            .map_or((0, None), |snapshot| (snapshot.received(), snapshot.length()))
    }
}
