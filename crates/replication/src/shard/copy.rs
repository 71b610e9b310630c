//! The full copy: the one snapshot that is at hand or arrives, who delivers it, and its way to the spool.

use std::time::Duration;

use bytes::Bytes;
use sterna_log::{LogError, SnapshotMeta};
use sterna_protocol::rdb::{RdbError, RdbForm};
use sterna_protocol::{Offset, ReplicationId};
use tokio::time::Instant;

use super::disk::DiskError;
use super::event::{Effect, Effects, Impact, Now, SpoolDone, SpoolJob};
use super::log::ShardLog;
use super::snapshot::{Origin, Snapshot};
use crate::backoff::Random;
use crate::settings::{FLUSH_BYTES, SNAPSHOT_RETRY_INTERVAL, SNAPSHOT_WINDOW_BYTES};
use crate::status::Notice;

/// A snapshot that a connection offers.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) id: ReplicationId,
    pub(super) offset: Offset,
    pub(super) origin: Origin,
    /// Why a partial resync was not possible.
    pub(super) reason: String,
}

/// One full copy at a time: from the link, or from a second connection.
#[derive(Debug)]
pub(super) struct FullCopy {
    snapshot: Option<Snapshot>,
    /// Writes that are not back from the disk, those of a dropped snapshot among them: it still has its file.
    writes_out: u32,
    /// The second connection that takes a snapshot, by number.
    fetch: Option<u64>,
    /// No snapshot is asked for on a second connection before this.
    fetch_not_before: Instant,
}

impl FullCopy {
    /// With the snapshot that an earlier run left, if it did.
    pub(super) fn new(kept: Option<&SnapshotMeta>, now: Now) -> Self {
        Self {
            snapshot: kept.map(Snapshot::kept),
            writes_out: 0,
            fetch: None,
            fetch_not_before: now.mono,
        }
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Who delivers the snapshot that arrives.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.snapshot.as_ref().and_then(Snapshot::origin)
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

    pub(super) fn memory_bytes(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, Snapshot::memory_bytes)
    }

    /// Bytes received, and the size where it is known.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        self.snapshot
            .as_ref()
            .map_or((0, None), |snapshot| (snapshot.received(), snapshot.length()))
    }

    /// Makes room for a snapshot that was announced, and that replaces the one before.
    pub(super) fn receive(
        &mut self,
        announced: Announced,
        log: &ShardLog,
        random: &mut dyn Random,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), DiskError> {
        let Announced {
            id,
            offset,
            origin,
            reason,
        } = announced;
        let spool = log.disk().spool(id, offset, self.is_writing())?;
        let mut mark = [0; 40];
        for digit in &mut mark {
            *digit = b"0123456789abcdef"[usize::try_from(random.next_u64() % 16).unwrap_or(0)];
        }
        self.snapshot = Some(Snapshot::arriving(id, offset, origin, spool, mark, now.mono));
        effects.counters.full_syncs_up += 1;
        effects.notify(Notice::FullSyncStarted { id, offset, reason });
        Ok(())
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

    /// Gives up the snapshot, if there is one: whoever was being sent it must start over. Its file, if it was whole, goes;
    /// one that is not goes with the spool.
    pub(super) fn drop_snapshot(&mut self, log: &ShardLog, effects: &mut Effects) {
        if let Some(snapshot) = self.snapshot.take() {
            if let Some(file) = snapshot.on_disk() {
                log.disk().remove_snapshot(file);
            }
            effects.affect_followers(Impact::CopyDropped);
        }
    }

    /// Drops a snapshot whose file went with what the log could not recover: these are still there.
    pub(super) fn log_recovered(&mut self, kept: &[SnapshotMeta], log: &ShardLog, effects: &mut Effects) {
        let file = self.snapshot.as_ref().and_then(Snapshot::on_disk);
        if file.is_some_and(|file| kept.iter().all(|kept| kept.path != file.path)) {
            self.drop_snapshot(log, effects);
        }
    }

    /// Drops a snapshot that the log no longer reaches back to, if nobody needs it.
    pub(super) fn retire(&mut self, log: &ShardLog, in_use: bool, effects: &mut Effects) {
        let useless = self.snapshot.as_ref().is_some_and(|snapshot| {
            snapshot.on_disk().is_some() && !log.continues_from(snapshot.id(), snapshot.offset())
        });
        if useless && !in_use {
            self.drop_snapshot(log, effects);
        }
    }

    pub(super) fn is_fetch(&self, attempt: u64) -> bool {
        self.fetch == Some(attempt)
    }

    /// Whether a second connection may be opened now.
    pub(super) fn may_fetch(&self, now: Now) -> bool {
        self.fetch.is_none() && self.writes_out == 0 && now.mono >= self.fetch_not_before
    }

    /// A second connection was opened.
    pub(super) fn fetch_begins(&mut self, attempt: u64) {
        self.fetch = Some(attempt);
    }

    /// Ends the second connection, if there is one. The primary forks for each, so the next one waits.
    pub(super) fn end_fetch(&mut self, effects: &mut Effects, now: Now) {
        if let Some(attempt) = self.fetch.take() {
            effects.start(Effect::Disconnect { attempt });
            self.fetch_not_before = now.mono + SNAPSHOT_RETRY_INTERVAL;
        }
    }

    /// Another primary is followed. What comes from the old one may hold writes that the new one never had.
    pub(super) fn abort_fetch(&mut self, log: &ShardLog, effects: &mut Effects) {
        if let Some(attempt) = self.fetch.take() {
            effects.start(Effect::Disconnect { attempt });
            self.drop_snapshot(log, effects);
        }
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

    /// A write is back. Fails where the disk did not take it; the snapshot is then still there.
    pub(super) fn on_spooled(&mut self, done: SpoolDone, log: &ShardLog) -> Result<(), LogError> {
        self.writes_out -= 1;
        let Some(snapshot) = self
            .snapshot
            .as_mut()
            .filter(|snapshot| snapshot.path() == done.path)
        else {
            // It was dropped meanwhile; so is its file.
            if let Some(file) = &done.finished {
                log.disk().remove_snapshot(file);
            }
            return Ok(());
        };
        snapshot.wrote(done.spool, done.result?, done.finished);
        Ok(())
    }
}
