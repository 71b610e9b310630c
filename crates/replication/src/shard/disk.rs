//! The shard's side of the log on disk: what is written, what is synced, and what happens when the disk refuses.
//!
//! The writer is at home, or out on one job. A change of history is a job too, and nothing else goes out before it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_log::{Block, History, LogError, LogFs, LogReader, LogReaders, LogWriter, Opened};
use sterna_protocol::{Offset, ReplicationId, RunId};
use tokio::time::Instant;

use super::event::{Change, Discard, Effects, FilesJob, LogDone, LogJob, LogStart, Now, SnapshotFeed};
use super::tail::Tail;
use crate::settings::{DISK_RETRY_INTERVAL, FLUSH_AFTER, FLUSH_BYTES, SYNC_INTERVAL};
use crate::status::Notice;

/// Why the disk is not used.
#[derive(Debug)]
struct Failure {
    reason: String,
    retry_at: Instant,
}

/// What makes a write due beside size and age.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WriteRequest {
    /// Somebody waits for everything to be durable, at once.
    pub(super) sync_now: bool,
    /// The primary waits until this offset is durable.
    pub(super) awaited: Option<Offset>,
    /// The primary's process that the stream comes from, while it flows.
    pub(super) process: Option<RunId>,
    /// Retention must not drop anything after this.
    pub(super) keep_from: Option<Offset>,
}

/// The log on disk.
///
/// Always `start <= durable <= written <= appended`. All but the last are unit boundaries: a unit of more than
/// [`FLUSH_BYTES`] is appended in parts, and what there is of one that has not come whole counts for nothing.
#[derive(Debug)]
pub(super) struct Disk {
    fs: Arc<dyn LogFs>,
    dir: PathBuf,
    readers: LogReaders,
    writer: Option<LogWriter>,
    /// The change of history that is under way.
    change: Option<Change>,
    /// The chain as it is; the writer's lacks what is in `unsaved`.
    history: History,
    /// Changes of id that the disk refused to take, oldest first.
    unsaved: Vec<(ReplicationId, Offset)>,
    /// What the writer holds is of another history: beginning a new one failed half way.
    foreign: bool,
    start: Offset,
    /// Up to here something can't be read back: nobody continues from before it.
    lost_up_to: Offset,
    /// Everything up to here survives a loss of power.
    durable: Offset,
    /// Everything up to here can be read back.
    written: Offset,
    /// The next write begins here.
    appended: Offset,
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
            readers: opened.writer.readers(),
            history: opened.history,
            unsaved: Vec::new(),
            foreign: false,
            change: None,
            start: opened.start,
            lost_up_to: Offset::ZERO,
            durable: opened.end,
            written: opened.end,
            appended: opened.end,
            bytes: opened.writer.disk_bytes(),
            writer: Some(opened.writer),
            failure: None,
            next_sync: now.mono + SYNC_INTERVAL,
            dirty_since: None,
        }
    }

    /// A reader for one follower, which notices when the log is cut back or begun anew.
    pub(super) fn reader(&self) -> LogReader {
        self.readers.reader()
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn start(&self) -> Offset {
        self.start
    }

    pub(super) fn durable(&self) -> Offset {
        self.durable
    }

    pub(super) fn written(&self) -> Offset {
        self.written
    }

    pub(super) fn appended(&self) -> Offset {
        self.appended
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why the disk is not used, if it is not.
    pub(super) fn error(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// Whether the writer is at home and everything up to `end` is synced, or can't be for now.
    pub(super) fn settled(&self, end: Offset) -> bool {
        self.writer.is_some() && self.change.is_none() && (self.durable >= end || self.failure.is_some())
    }

    /// The oldest offset to continue from, where memory begins at `tail_start`. A part of a unit on a disk that failed is lost.
    pub(super) fn available_from(&self, tail_start: Offset) -> Offset {
        let on_disk = if self.failure.is_some() {
            self.written
        } else {
            self.appended
        };
        if tail_start <= on_disk {
            self.start.max(self.lost_up_to).min(tail_start)
        } else {
            tail_start
        }
    }

    /// The disk can't give back what is before this offset: from the log's view it is gone.
    pub(super) fn lose_up_to(&mut self, offset: Offset) {
        self.lost_up_to = self.lost_up_to.max(offset);
    }

    /// Asks for a change of history, which is the next thing that goes out.
    pub(super) fn change(&mut self, change: Change) {
        self.change = Some(change);
    }

    /// Whether a change of history is under way.
    pub(super) fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// A change of history is done, or the disk refused it. Another id holds here whether the disk takes it or not.
    fn changed(&mut self, change: Change, result: Result<(), LogError>) -> Result<(), LogError> {
        self.change = None;
        match change {
            Change::Begin(id, at) => {
                result?;
                self.history = History::begin(id, at);
                self.unsaved.clear();
                self.lost_up_to = Offset::ZERO;
                self.failure = None;
                self.refresh(at, at);
            }
            Change::CutBack(to) => {
                result?;
                self.refresh(to, to);
            }
            Change::Extend(id, at) => {
                self.history.extend(id, at)?;
                if let Err(error) = result {
                    self.unsaved.push((id, at));
                    return Err(error);
                }
                self.refresh(self.appended, self.appended);
            }
        }
        Ok(())
    }

    /// What was appended beyond `at` is a part of a unit that will not come whole in this way.
    pub(super) fn drop_part(&mut self, at: Offset) {
        self.appended = self.appended.min(at);
    }

    /// Removes what is left of snapshots, then makes room for one.
    pub(super) fn files_job(
        &self,
        discards: Vec<Discard>,
        create: Option<(ReplicationId, Offset)>,
    ) -> FilesJob {
        FilesJob {
            fs: Arc::clone(&self.fs),
            log_dir: self.dir.clone(),
            discards,
            create,
        }
    }

    /// For one follower that is given this snapshot, whole or still growing.
    pub(super) fn snapshot_feed(&self, path: &Path) -> SnapshotFeed {
        SnapshotFeed {
            fs: Arc::clone(&self.fs),
            path: path.to_owned(),
            reader: None,
            inspector: Box::default(),
            inspected: 0,
        }
    }

    /// What is to be done next, if anything; the writer goes out with it. Without a request nothing is written.
    pub(super) fn next_job(
        &mut self,
        tail: &Tail,
        request: Option<WriteRequest>,
        now: Now,
    ) -> Option<LogJob> {
        self.writer.as_ref()?;
        if let Some(change) = self.change {
            return Some(LogJob {
                writer: self.writer.take()?,
                start: LogStart::Change(change, self.appended),
                extend: Vec::new(),
                blocks: Vec::new(),
                sync: false,
                process: None,
                keep_from: None,
                wall_ms: now.wall_ms,
            });
        }
        let (request, id) = (request?, self.history.current()?);
        let process = request
            .process
            .filter(|process| self.history.process() != Some(*process));
        let end = tail.unit_end();
        let unwritten = end.bytes_since(self.appended);
        if unwritten > 0 {
            self.dirty_since.get_or_insert(now.mono);
        }
        let (start, blocks, sync) = if let Some(failure) = &self.failure {
            if now.mono < failure.retry_at {
                return None;
            }
            (LogStart::Recover, Vec::new(), false)
        } else if self.foreign {
            (LogStart::Begin(id, end), Vec::new(), false)
        } else if tail.start() > self.appended {
            if end <= self.appended {
                // What memory could not keep lies within a unit that has not come whole: the log goes on after it.
                return None;
            }
            (LogStart::SkipTo(id, end), Vec::new(), false)
        } else {
            let awaited = request.awaited.is_some_and(|offset| offset > self.durable);
            let sync = end > self.durable && (awaited || request.sync_now || now.mono >= self.next_sync);
            let aged = self
                .dirty_since
                .is_some_and(|since| now.mono >= since + FLUSH_AFTER);
            let part = tail.end().bytes_since(self.appended.max(end));
            let is_due = part >= FLUSH_BYTES || (unwritten > 0 && (aged || unwritten >= FLUSH_BYTES));
            if !sync && !is_due && process.is_none() {
                return None;
            }
            self.dirty_since = None;
            if sync {
                self.next_sync = now.mono + SYNC_INTERVAL;
            }
            (
                LogStart::Append(self.appended),
                self.blocks(tail, now.wall_ms),
                sync,
            )
        };
        Some(LogJob {
            writer: self.writer.take()?,
            start,
            extend: self.unsaved.clone(),
            blocks,
            sync,
            process,
            keep_from: request.keep_from,
            wall_ms: now.wall_ms,
        })
    }

    /// What is not written yet: whole units, and a unit so large that it does not wait in memory for its end.
    fn blocks(&self, tail: &Tail, wall_ms: u64) -> Vec<Block> {
        let (end, mut blocks) = (tail.unit_end(), Vec::new());
        let mut block = |bytes: Option<Vec<Bytes>>, ends_on_unit| {
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                blocks.push(Block {
                    bytes,
                    wall_ms,
                    ends_on_unit,
                });
            }
        };
        block(tail.slices(self.appended, end, u64::MAX), true);
        let part_from = self.appended.max(end);
        if tail.end().bytes_since(part_from) >= FLUSH_BYTES {
            block(tail.slices(part_from, tail.end(), u64::MAX), false);
        }
        blocks
    }

    /// The writer is back; gives the change of history that it was out for, and what came of it.
    pub(super) fn on_done(
        &mut self,
        done: LogDone,
        tail: &Tail,
        effects: &mut Effects,
        now: Now,
    ) -> Option<(Change, Result<(), LogError>)> {
        self.writer = Some(done.writer);
        if let LogStart::Change(change, _) = done.start {
            return Some((change, self.changed(change, done.result)));
        }
        if let Err(error) = done.result {
            self.failed(&error, effects, now);
            return None;
        }
        if self.failure.take().is_some() {
            self.unsaved.clear();
            effects.notify(Notice::DiskRecovered);
        }
        self.refresh(tail.unit_end(), tail.end());
        if done.synced {
            let micros = u64::try_from(done.sync_time.as_micros()).unwrap_or(u64::MAX);
            effects.counters.syncs += 1;
            effects.counters.sync_micros += micros;
        }
        None
    }

    /// The log goes on in memory only; the disk is tried again later.
    pub(super) fn failed(&mut self, error: &dyn Display, effects: &mut Effects, now: Now) {
        let reason = error.to_string();
        if self.error() != Some(reason.as_str()) {
            let reason = reason.clone();
            effects.notify(Notice::DiskFailed { reason });
        }
        self.failure = Some(Failure {
            reason,
            retry_at: now.mono + DISK_RETRY_INTERVAL,
        });
    }

    /// Takes over what the writer knows, of which nothing beyond `tail_end` counts. Whole units beyond `unit_end` were
    /// never received: then it is not the log that is thought to be here.
    fn refresh(&mut self, unit_end: Offset, tail_end: Offset) {
        let Some(writer) = &self.writer else { return };
        let extent = writer.extent();
        self.bytes = writer.disk_bytes();
        self.foreign = writer.history().current() != self.history.current() || extent.unit_end > unit_end;
        if self.foreign {
            (self.start, self.durable, self.appended) = (self.written, self.written, self.written);
            return;
        }
        self.history = writer.history().clone();
        self.start = extent.start;
        self.written = extent.unit_end;
        self.durable = extent.durable_unit_end;
        self.appended = extent.end.min(tail_end);
    }
}
