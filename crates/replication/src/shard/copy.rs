//! The full copy: the one snapshot that is at hand or arrives, the second connection that brings it, and its way to the
//! spool.

use std::time::Duration;

use bytes::Bytes;
use sterna_log::{LogError, SnapshotMeta};
use sterna_model::CopyProgress;
use sterna_protocol::rdb::RdbError;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::event::{Discard, Effects, FilesDone, FilesJob, Impact, Now, SpoolDone, SpoolJob};
use super::fetch::Fetch;
use super::log::ShardLog;
use super::origin::Origin;
use super::snapshot::Snapshot;
use crate::backoff::Random;
use crate::settings::{FLUSH_BYTES, SNAPSHOT_WINDOW_BYTES};
use crate::source::{FullResyncAnswer, SourceError, SourceEvent};
use crate::status::Notice;

/// A snapshot that the second connection offers.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) id: ReplicationId,
    pub(super) offset: Offset,
    /// Why it is needed.
    pub(super) reason: String,
    /// Where the connection is told whether it may go on.
    pub(super) reply: oneshot::Sender<FullResyncAnswer>,
}

/// One full copy at a time, from a second connection: the stream flows beside it.
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

    /// Whether a snapshot arrives, or is about to.
    pub(super) fn is_under_way(&self) -> bool {
        self.announced.is_some() || self.arriving().is_some()
    }

    fn arriving(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().filter(|snapshot| !snapshot.is_complete())
    }

    /// The offset from which on the log must keep the stream, for what arrives or, where it is `in_use`, is at hand.
    pub(super) fn keep_from(&self, in_use: bool) -> Option<Offset> {
        let announced = self.announced.as_ref().map(|announced| announced.offset);
        let snapshot = self
            .snapshot
            .as_ref()
            .filter(|snapshot| in_use || !snapshot.is_complete());
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

    /// How far the one that arrives has come.
    pub(super) fn progress(&self) -> Option<CopyProgress> {
        self.arriving().map(|snapshot| CopyProgress {
            received_bytes: snapshot.received(),
            total_bytes: snapshot.length(),
        })
    }

    /// Why the last copies came to nothing, until one comes whole.
    pub(super) fn error(&self) -> Option<&str> {
        self.fetch.error()
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

    /// Files were made and removed. Tells the connection that announced a snapshot whether there is room for it; fails
    /// where there is none.
    pub(super) fn on_files(
        &mut self,
        done: FilesDone,
        random: &mut dyn Random,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), LogError> {
        self.files_out = false;
        let Some((id, offset, created)) = done.created else {
            return Ok(());
        };
        let waits = |announced: &mut Announced| (announced.id, announced.offset) == (id, offset);
        let (announced, spool) = match (self.announced.take_if(waits), created) {
            (Some(announced), Ok(spool)) => (announced, spool),
            (Some(Announced { reply, .. }), Err(error)) => {
                let _ = reply.send(FullResyncAnswer::Refuse(error.to_string()));
                return Err(error);
            }
            (None, created) => {
                self.discards.extend(created.ok().map(Discard::Unfinished));
                return Ok(());
            }
        };
        let Announced { reason, reply, .. } = announced;
        let mut mark = [0; 40];
        for digit in &mut mark {
            *digit = b"0123456789abcdef"[usize::try_from(random.next_u64() % 16).unwrap_or(0)];
        }
        let origin = self.fetch.origin().clone();
        self.snapshot = Some(Snapshot::arriving(id, offset, (origin, spool), mark, now.mono));
        effects.counters.full_syncs_up += 1;
        effects.notify(Notice::FullSyncStarted { id, offset, reason });
        // The attempt has ended if this fails, and says so.
        let _ = reply.send(FullResyncAnswer::Accept);
        Ok(())
    }

    /// Bytes of it came; fails where they can't be right.
    fn push(&mut self, bytes: Bytes, effects: &mut Effects) -> Result<(), RdbError> {
        let Some(snapshot) = &mut self.snapshot else {
            return Ok(());
        };
        effects.counters.snapshot_bytes += bytes.len() as u64;
        snapshot.push(bytes)
    }

    /// All of it came; fails where it is not right.
    fn complete(&mut self, effects: &mut Effects, now: Now) -> Result<(), RdbError> {
        let Some(snapshot) = &mut self.snapshot else {
            return Ok(());
        };
        snapshot.complete()?;
        let started = snapshot.started();
        effects.notify(Notice::FullSyncReceived {
            bytes: snapshot.received(),
            took: started.map_or(Duration::ZERO, |started| now.mono - started),
        });
        Ok(())
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

    /// The second connection found the primary, which is asked for this.
    pub(super) fn fetch_found(&mut self, peer: String, origin: Origin) {
        self.fetch.found(peer, origin);
    }

    /// Nobody can load what the second connection would bring.
    pub(super) fn fetch_of_no_use(&mut self, effects: &mut Effects, now: Now) {
        self.fetch.of_no_use(effects, now);
    }

    /// What the second connection brings is not wanted any more: what comes from another primary may hold writes that
    /// this one never had.
    pub(super) fn abort_fetch(&mut self, effects: &mut Effects) {
        self.fetch.forget_failures();
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
    ) -> Option<Result<(), SourceError>> {
        let done = match event {
            SourceEvent::FullResync { id, offset, reply } => {
                self.on_offered(id, offset, reply, log, effects);
                return None;
            }
            SourceEvent::SnapshotStarted(form) => {
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.announced(form);
                }
                return None;
            }
            SourceEvent::Snapshot(bytes) => match self.push(bytes, effects) {
                Ok(()) => return None,
                Err(error) => Err(self.fetch.bad_data(&error)),
            },
            SourceEvent::SnapshotDone => {
                let complete = self.complete(effects, now);
                complete.map_err(|error| self.fetch.bad_data(&error))
            }
            SourceEvent::Ended(error) => Err(error),
            SourceEvent::Found { .. }
            | SourceEvent::Identified { .. }
            | SourceEvent::Continued { .. }
            | SourceEvent::Stream(_)
            | SourceEvent::Observed { .. }
            | SourceEvent::ShutsDown => return None,
        };
        match &done {
            Ok(()) => self.fetch.done(effects, now),
            Err(error) => {
                if self.is_under_way() {
                    self.drop_snapshot(effects);
                }
                self.fetch.failed(error.to_string(), effects, now);
            }
        }
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
        let origin = snapshot.origin();
        self.writes_out += 1;
        Some(SpoolJob {
            spool,
            bytes,
            finish,
            note: if finish { origin.note() } else { String::new() },
            wall_ms,
        })
    }

    /// A write is back. Where the disk did not take it, the snapshot is given up: fails with why.
    pub(super) fn on_spooled(
        &mut self,
        done: SpoolDone,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), LogError> {
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
                self.drop_snapshot(effects);
                self.fetch.failed(error.to_string(), effects, now);
                Err(error)
            }
        }
    }
}
