//! The shard's side of the log: what is written, what is synced, and what happens when the disk refuses.
//!
//! The writer is at home, or out on one job. History changes only while it is at home.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sterna_log::{
    Block, History, LogError, LogFs, LogReader, LogWriter, Opened, ReadError, SnapshotMeta, SnapshotReader,
    SnapshotSpool,
};
use sterna_protocol::{Offset, ReplicationId};
use tokio::time::Instant;

use super::event::{Effect, LogDone, LogJob, LogStart, Now};
use super::link::Phase;
use super::snapshot::Snapshot;
use super::state::Shard;
use crate::settings::{Acknowledge, DISK_RETRY_INTERVAL, FLUSH_AFTER, FLUSH_BYTES, SYNC_INTERVAL};
use crate::status::Notice;

/// Why the disk is not used.
#[derive(Debug)]
struct Failure {
    reason: String,
    retry_at: Instant,
}

/// The history could not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// The writer is out on a job; the caller should have waited for it.
    #[error("the log is being written")]
    Busy,
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The log on disk.
#[derive(Debug)]
pub(super) struct Disk {
    fs: Arc<dyn LogFs>,
    dir: PathBuf,
    writer: Option<LogWriter>,
    history: History,
    start: Offset,
    /// Up to here something can't be read back: nobody continues from before it.
    lost_up_to: Offset,
    written: Offset,
    durable: Offset,
    bytes: u64,
    failure: Option<Failure>,
    next_sync: Instant,
    /// When the oldest unwritten unit came.
    dirty_since: Option<Instant>,
}

impl Disk {
    pub(super) fn new(fs: Arc<dyn LogFs>, opened: Opened, dir: PathBuf, now: Now) -> Self {
        Self {
            fs,
            dir,
            history: opened.history,
            start: opened.start,
            lost_up_to: Offset::ZERO,
            written: opened.end,
            durable: opened.end,
            bytes: opened.writer.disk_bytes(),
            writer: Some(opened.writer),
            failure: None,
            next_sync: now.mono + SYNC_INTERVAL,
            dirty_since: None,
        }
    }

    /// A reader for one follower.
    pub(super) fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.fs), &self.dir)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Everything up to here can be read back.
    pub(super) fn written_end(&self) -> Offset {
        self.written
    }

    /// Everything up to here survives a loss of power.
    pub(super) fn durable_end(&self) -> Offset {
        self.durable
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// Whether the writer is at home and everything up to `end` is synced, or can't be for now.
    pub(super) fn settled(&self, end: Offset) -> bool {
        self.writer.is_some() && (self.durable >= end || self.failed())
    }

    /// The oldest offset to continue from, where memory begins at `tail_start`.
    pub(super) fn available_from(&self, tail_start: Offset) -> Offset {
        if tail_start <= self.written {
            self.start.max(self.lost_up_to).min(tail_start)
        } else {
            tail_start
        }
    }

    /// The disk can't give back what is before this offset: from the log's view it is gone.
    pub(super) fn lose_up_to(&mut self, offset: Offset) {
        self.lost_up_to = self.lost_up_to.max(offset);
    }

    fn writer(&mut self) -> Result<&mut LogWriter, DiskError> {
        self.writer.as_mut().ok_or(DiskError::Busy)
    }

    pub(super) fn begin(&mut self, id: ReplicationId, at: Offset) -> Result<(), DiskError> {
        self.writer()?.begin(id, at)?;
        self.history = History::begin(id, at);
        self.lost_up_to = Offset::ZERO;
        self.failure = None;
        self.refresh();
        Ok(())
    }

    pub(super) fn truncate(&mut self, to: Offset) -> Result<(), DiskError> {
        self.writer()?.truncate(to)?;
        self.refresh();
        Ok(())
    }

    pub(super) fn extend_history(&mut self, id: ReplicationId, at: Offset) -> Result<(), DiskError> {
        self.history.extend(id, at).map_err(LogError::from)?;
        self.writer()?.extend_history(id, at)?;
        self.refresh();
        Ok(())
    }

    pub(super) fn spool(&self, id: ReplicationId, offset: Offset) -> Result<SnapshotSpool, LogError> {
        SnapshotSpool::create(Arc::clone(&self.fs), &self.dir, id, offset)
    }

    pub(super) fn remove_snapshot(&self, snapshot: &SnapshotMeta) {
        if let Err(error) = sterna_log::remove_snapshot(&*self.fs, snapshot) {
            tracing::warn!(path = %snapshot.path.display(), %error, "a snapshot can't be removed");
        }
    }

    /// A reader of a snapshot, whole or still growing.
    pub(super) fn snapshot_reader(&self, path: &Path) -> Result<SnapshotReader, ReadError> {
        SnapshotReader::open(&*self.fs, path)
    }

    /// Takes over what the writer knows.
    fn refresh(&mut self) {
        let Some(writer) = &self.writer else { return };
        if writer.history().current() == self.history.current() {
            self.history = writer.history().clone();
        }
        self.start = writer.start();
        self.written = writer.end();
        self.durable = writer.durable_end();
        self.bytes = writer.disk_bytes();
    }
}

impl Shard {
    /// Sends what is due to the disk.
    pub(super) fn settle_log(&mut self, now: Now) {
        let (end, deciding) = (
            self.unit_end(),
            self.link.pending.is_some() || self.stopping.is_some(),
        );
        self.shrink_tail();
        if self.disk.writer.is_none()
            || self.link.phase == Phase::Asked
            || self.disk.history.current().is_none()
        {
            return;
        }
        let unwritten = end.bytes_since(self.disk.written);
        let part = self.tail.end().saturating_sub(self.disk.written.max(end).get());
        if unwritten > 0 {
            self.disk.dirty_since.get_or_insert(now.mono);
        }
        let from_disk = self.settings.acknowledge == Acknowledge::Gateway || self.link.hands_over;
        let awaited = from_disk
            && self
                .link
                .acks
                .awaited()
                .is_some_and(|offset| offset > self.disk.durable);
        let unsynced = end > self.disk.durable;
        let sync = unsynced && (awaited || deciding || now.mono >= self.disk.next_sync);
        let aged = self
            .disk
            .dirty_since
            .is_some_and(|since| now.mono >= since + FLUSH_AFTER);
        let due = (unwritten > 0 && (aged || unwritten >= FLUSH_BYTES)) || sync || part >= FLUSH_BYTES;
        if let Some(failure) = &self.disk.failure {
            if now.mono >= failure.retry_at {
                self.send_job(LogStart::Recover, Vec::new(), false, now);
            }
        } else if self.tail.start() > self.disk.written.get() {
            self.send_job(LogStart::SkipTo(end), Vec::new(), false, now);
        } else if due {
            self.write(sync, now);
        }
    }

    fn write(&mut self, sync: bool, now: Now) {
        let (end, written) = (self.unit_end(), self.disk.written);
        let mut blocks = Vec::new();
        let units = self.tail.slices(written.get(), end.get(), u64::MAX);
        if let Some(bytes) = units.filter(|bytes| !bytes.is_empty()) {
            blocks.push(Block {
                bytes,
                wall_ms: now.wall_ms,
                ends_on_unit: true,
            });
        }
        // A unit so large that it does not wait in memory for its end.
        let part_from = written.max(end);
        if self.tail.end().saturating_sub(part_from.get()) >= FLUSH_BYTES
            && let Some(bytes) = self.tail.slices(part_from.get(), self.tail.end(), u64::MAX)
        {
            blocks.push(Block {
                bytes,
                wall_ms: now.wall_ms,
                ends_on_unit: false,
            });
        }
        self.disk.dirty_since = None;
        if sync {
            self.disk.next_sync = now.mono + SYNC_INTERVAL;
        }
        self.send_job(LogStart::Append(written), blocks, sync, now);
    }

    fn send_job(&mut self, start: LogStart, blocks: Vec<Block>, sync: bool, now: Now) {
        let (Some(id), true) = (self.disk.history.current(), self.disk.writer.is_some()) else {
            return;
        };
        let keep_from = self
            .snapshot
            .as_ref()
            .filter(|_| self.snapshot_in_use())
            .map(Snapshot::offset);
        let Some(writer) = self.disk.writer.take() else {
            return;
        };
        let job = LogJob {
            writer,
            id,
            start,
            blocks,
            sync,
            keep_from,
            wall_ms: now.wall_ms,
        };
        self.effects.push(Effect::Log(Box::new(job)));
    }

    /// Whether somebody still depends on the snapshot and on the log from its offset on.
    fn snapshot_in_use(&self) -> bool {
        self.snapshot
            .as_ref()
            .is_some_and(|snapshot| !snapshot.is_complete())
            || self
                .followers
                .values()
                .any(|follower| follower.takes_snapshot() || follower.waits_for_snapshot())
    }

    pub(super) fn on_log_done(&mut self, done: LogDone, now: Now) {
        self.disk.writer = Some(done.writer);
        match done.result {
            Ok(()) => {
                self.disk.refresh();
                if self.disk.failure.take().is_some() {
                    self.notice(Notice::DiskRecovered);
                }
                if done.synced {
                    self.counters.syncs += 1;
                    self.counters.sync_micros +=
                        u64::try_from(done.sync_time.as_micros()).unwrap_or(u64::MAX);
                }
                self.retire_snapshot();
            }
            Err(error) => self.disk_failed(&error, now),
        }
    }

    /// The log goes on in memory only; the disk is tried again later.
    pub(super) fn disk_failed(&mut self, error: &dyn std::fmt::Display, now: Now) {
        let reason = error.to_string();
        if self.disk.failure.as_ref().map(|failure| &failure.reason) != Some(&reason) {
            self.notice(Notice::DiskFailed {
                reason: reason.clone(),
            });
        }
        self.disk.failure = Some(Failure {
            reason,
            retry_at: now.mono + DISK_RETRY_INTERVAL,
        });
    }

    /// A snapshot that the log no longer reaches back to is of no use.
    fn retire_snapshot(&mut self) {
        let useless = self.snapshot.as_ref().is_some_and(|snapshot| {
            snapshot.is_complete() && snapshot.on_disk().is_some() && !self.snapshot_serves(snapshot)
        });
        if useless && !self.snapshot_in_use() {
            self.drop_snapshot();
        }
    }

    /// Memory is bounded: what is written, or what the disk won't take, leaves the tail.
    fn shrink_tail(&mut self) {
        let keep_from = if self.disk.failed() {
            self.unit_end()
        } else {
            self.disk.written.min(self.unit_end())
        };
        self.tail.shrink(self.settings.tail_bytes, keep_from.get());
    }
}
