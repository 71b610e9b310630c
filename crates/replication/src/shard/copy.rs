//! The full copy: the one snapshot that is at hand or arrives, who delivers it, and its way to the spool.

use std::time::Duration;

use bytes::Bytes;
use sterna_log::{LogError, SnapshotMeta};
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::{RdbError, RdbForm};
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::event::{Discard, Effects, FilesDone, FilesJob, Impact, Now, SpoolDone, SpoolJob};
use super::fetch::Fetch;
use super::log::ShardLog;
use super::snapshot::{Origin, Snapshot};
use crate::backoff::Random;
use crate::settings::{FLUSH_BYTES, SNAPSHOT_WINDOW_BYTES};
use crate::source::{FullResyncAnswer, SourceEvent};
use crate::status::Notice;

/// A snapshot that a connection offers.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) id: ReplicationId,
    pub(super) offset: Offset,
    pub(super) origin: Origin,
    /// Why a partial resync was not possible.
    pub(super) reason: String,
    /// Where the connection is told whether it may go on.
    pub(super) reply: oneshot::Sender<FullResyncAnswer>,
}

/// One full copy at a time: from the link, or from a second connection.
#[derive(Debug)]
pub(super) struct FullCopy {
    snapshot: Option<Snapshot>,
    /// One that waits for its file, and takes the snapshot's place then.
    announced: Option<Announced>,
    /// What is left of snapshots that were given up.
    discards: Vec<Discard>,
    /// Whether a job on files is out.
    files_out: bool,
    /// Writes that are not back from the disk, those of a dropped snapshot among them: it still has its file.
    writes_out: u32,
    fetch: Fetch,
}

impl FullCopy {
    /// With the snapshot that an earlier run left, if it did.
    pub(super) fn new(kept: Option<&SnapshotMeta>, now: Now) -> Self {
        Self {
            snapshot: kept.map(Snapshot::kept),
            announced: None,
            discards: Vec::new(),
            files_out: false,
            writes_out: 0,
            fetch: Fetch::none(now),
        }
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Who delivers the snapshot that arrives, or is about to.
    pub(super) fn origin(&self) -> Option<Origin> {
        let announced = self.announced.as_ref().map(|announced| announced.origin);
        announced.or_else(|| self.snapshot.as_ref().and_then(Snapshot::origin))
    }

    /// The offset from which on the log must keep the stream, for what arrives or, where it is `in_use`, is at hand.
    pub(super) fn keep_from(&self, in_use: bool) -> Option<Offset> {
        let announced = self.announced.as_ref().map(|announced| announced.offset);
        let snapshot = self
            .snapshot
            .as_ref()
            .filter(|_| in_use || self.origin().is_some());
        announced.or_else(|| snapshot.map(Snapshot::offset))
    }

    /// Whether nothing is out at the disk, and nothing has to go there.
    pub(super) fn is_settled(&self) -> bool {
        self.writes_out == 0 && !self.files_out && self.discards.is_empty()
    }

    /// Whether a write is out: the next snapshot may stand at the same offset and have the same name.
    pub(super) fn is_writing(&self) -> bool {
        self.writes_out > 0
    }

    /// Whether more of it may be taken: a slow disk pushes back.
    pub(super) fn has_room(&self) -> bool {
        let unwritten = self.snapshot.as_ref().map_or(0, Snapshot::unwritten_bytes);
        unwritten < 2 * SNAPSHOT_WINDOW_BYTES
    }

    /// Bytes received, and the size where it is known.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        self.snapshot
            .as_ref()
            .map_or((0, None), |snapshot| (snapshot.received(), snapshot.length()))
    }

    /// Makes room for a snapshot that was announced, and that replaces the one before.
    pub(super) fn receive(&mut self, announced: Announced, effects: &mut Effects) {
        self.drop_snapshot(effects);
        self.announced = Some(announced);
    }

    /// What is to be done with files, if anything. While a write is out, one that was given up still has its file, which
    /// may have the name of the next.
    pub(super) fn files_job(&mut self, disk: &Disk) -> Option<FilesJob> {
        let announced = self.announced.as_ref().filter(|_| self.writes_out == 0);
        let create = announced.map(|announced| (announced.id, announced.offset));
        if self.files_out || (self.discards.is_empty() && create.is_none()) {
            return None;
        }
        self.files_out = true;
        Some(disk.files_job(std::mem::take(&mut self.discards), create))
    }

    /// Files were made and removed. Tells the connection that announced a snapshot whether there is room for it; returns
    /// which one it is, and the same.
    pub(super) fn on_files(
        &mut self,
        done: FilesDone,
        random: &mut dyn Random,
        effects: &mut Effects,
        now: Now,
    ) -> Option<(Origin, Result<(), LogError>)> {
        self.files_out = false;
        let (id, offset, created) = done.created?;
        let waits = |announced: &mut Announced| (announced.id, announced.offset) == (id, offset);
        let (announced, spool) = match (self.announced.take_if(waits), created) {
            (Some(announced), Ok(spool)) => (announced, spool),
            (Some(Announced { origin, reply, .. }), Err(error)) => {
                let _ = reply.send(FullResyncAnswer::Refuse(error.to_string()));
                return Some((origin, Err(error)));
            }
            (None, created) => {
                self.discards.extend(created.ok().map(Discard::Unfinished));
                return None;
            }
        };
        let Announced {
            origin,
            reason,
            reply,
            ..
        } = announced;
        let mut mark = [0; 40];
        for digit in &mut mark {
            *digit = b"0123456789abcdef"[usize::try_from(random.next_u64() % 16).unwrap_or(0)];
        }
        self.snapshot = Some(Snapshot::arriving(id, offset, origin, spool, mark, now.mono));
        effects.counters.full_syncs_up += 1;
        effects.notify(Notice::FullSyncStarted { id, offset, reason });
        // The attempt has ended if this fails, and says so.
        let _ = reply.send(FullResyncAnswer::Accept);
        Some((origin, Ok(())))
    }

    /// The connection that delivers it says what form it has.
    pub(super) fn announced(&mut self, form: RdbForm) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.announced(form);
        }
    }

    /// Bytes of it came; fails where they can't be right.
    pub(super) fn push(&mut self, bytes: Bytes, effects: &mut Effects) -> Result<(), RdbError> {
        let Some(snapshot) = &mut self.snapshot else {
            return Ok(());
        };
        effects.counters.snapshot_bytes += bytes.len() as u64;
        snapshot.push(bytes)
    }

    /// All of it came; fails where it is not right. `false` if it was given up meanwhile.
    pub(super) fn complete(&mut self, effects: &mut Effects, now: Now) -> Result<bool, RdbError> {
        let Some(snapshot) = &mut self.snapshot else {
            return Ok(false);
        };
        snapshot.complete()?;
        let started = snapshot.started();
        effects.notify(Notice::FullSyncReceived {
            bytes: snapshot.received(),
            took: started.map_or(Duration::ZERO, |started| now.mono - started),
        });
        Ok(true)
    }

    /// Gives up the snapshot, at hand or announced, if there is one: whoever was being sent it must start over. Its file
    /// goes; that of a write that is out goes when it is back.
    pub(super) fn drop_snapshot(&mut self, effects: &mut Effects) {
        self.announced = None;
        if let Some(mut snapshot) = self.snapshot.take() {
            self.discards
                .extend(snapshot.on_disk().cloned().map(Discard::Whole));
            self.discards
                .extend(snapshot.spool.take().map(Discard::Unfinished));
            effects.affect_followers(Impact::CopyDropped);
        }
    }

    /// Drops a snapshot whose file went with what the log could not recover: these are still there.
    pub(super) fn log_recovered(&mut self, kept: &[SnapshotMeta], effects: &mut Effects) {
        let file = self.snapshot.as_ref().and_then(Snapshot::on_disk);
        if file.is_some_and(|file| kept.iter().all(|kept| kept.path != file.path)) {
            self.drop_snapshot(effects);
        }
    }

    /// Drops a snapshot that the log no longer reaches back to, if nobody needs it.
    pub(super) fn retire(&mut self, log: &ShardLog, in_use: bool, effects: &mut Effects) {
        let useless = self.snapshot.as_ref().is_some_and(|snapshot| {
            snapshot.on_disk().is_some() && !log.continues_from(snapshot.id(), snapshot.offset())
        });
        if useless && !in_use {
            self.drop_snapshot(effects);
        }
    }

    /// Whether this is the number of the second connection.
    pub(super) fn is_fetch(&self, attempt: u64) -> bool {
        self.fetch.is(attempt)
    }

    /// Whether a second connection may be opened now.
    pub(super) fn may_fetch(&self, now: Now) -> bool {
        self.fetch.may_begin(now) && !self.is_writing()
    }

    /// A second connection was opened, for a snapshot in place of the one at hand.
    pub(super) fn fetch_begins(&mut self, attempt: u64, effects: &mut Effects) {
        self.drop_snapshot(effects);
        self.fetch.begins(attempt);
    }

    /// What the second connection brings is not wanted any more: what comes from another primary may hold writes that
    /// this one never had.
    pub(super) fn abort_fetch(&mut self, effects: &mut Effects) {
        if self.fetch.abort(effects) {
            self.drop_snapshot(effects);
        }
    }

    /// The second connection reports. Returns whether it did what it was for, once it is over.
    pub(super) fn on_fetch(
        &mut self,
        event: SourceEvent,
        log: &ShardLog,
        effects: &mut Effects,
        now: Now,
    ) -> Option<Result<(), String>> {
        let done = match event {
            SourceEvent::Found { reply, .. } => {
                // The attempt has ended if this fails, and says so.
                let _ = reply.send(Ok(PsyncRequest::Full));
                return None;
            }
            SourceEvent::FullResync { id, offset, reply } => {
                self.on_offered(id, offset, reply, log, effects);
                return None;
            }
            SourceEvent::SnapshotStarted(form) => {
                self.announced(form);
                return None;
            }
            SourceEvent::Snapshot(bytes) => match self.push(bytes, effects) {
                Ok(()) => return None,
                Err(error) => Err(error.to_string()),
            },
            SourceEvent::SnapshotDone => match self.complete(effects, now) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            SourceEvent::Ended(error) => Err(error.to_string()),
            SourceEvent::Continued { .. } | SourceEvent::Stream(_) | SourceEvent::Observed { .. } => {
                return None;
            }
        };
        if done.is_err() && self.origin().is_some() {
            self.drop_snapshot(effects);
        }
        self.fetch.end(effects, now);
        Some(done)
    }

    /// The second connection offers a snapshot, which is of use where the log continues it.
    fn on_offered(
        &mut self,
        id: ReplicationId,
        offset: Offset,
        reply: oneshot::Sender<FullResyncAnswer>,
        log: &ShardLog,
        effects: &mut Effects,
    ) {
        if log.current() != Some(id) || offset < log.available_from() {
            let text =
                format!("the snapshot offered is of history {id} at {offset}, which this log can't continue");
            // The attempt has ended if this fails, and says so.
            let _ = reply.send(FullResyncAnswer::Refuse(text));
            return;
        }
        let announced = Announced {
            id,
            offset,
            origin: Origin::Fetch,
            reason: "a replica node needs a full copy".to_owned(),
            reply,
        };
        self.receive(announced, effects);
    }

    /// What is to be written next, if anything.
    pub(super) fn next_job(&mut self, wall_ms: u64) -> Option<SpoolJob> {
        let snapshot = self.snapshot.as_mut()?;
        let (bytes, finish) = snapshot.next_write(FLUSH_BYTES)?;
        let spool = snapshot.spool.take()?;
        self.writes_out += 1;
        Some(SpoolJob {
            spool,
            bytes,
            finish,
            wall_ms,
        })
    }

    /// A write is back. Where the disk did not take it, the snapshot is given up: returns why, and who delivers it, if it
    /// was still arriving.
    pub(super) fn on_spooled(
        &mut self,
        done: SpoolDone,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), (LogError, Option<Origin>)> {
        self.writes_out -= 1;
        let Some(snapshot) = self
            .snapshot
            .as_mut()
            .filter(|snapshot| snapshot.path() == done.path)
        else {
            // It was dropped meanwhile; so is its file.
            self.discards.extend(done.finished.map(Discard::Whole));
            self.discards.extend(done.spool.map(Discard::Unfinished));
            return Ok(());
        };
        match done.result {
            Ok(bytes) => {
                snapshot.wrote(done.spool, bytes, done.finished);
                Ok(())
            }
            Err(error) => {
                let origin = self.origin();
                self.drop_snapshot(effects);
                if origin == Some(Origin::Fetch) {
                    self.fetch.end(effects, now);
                }
                Err((error, origin))
            }
        }
    }
}
