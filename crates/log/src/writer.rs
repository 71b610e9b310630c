//! The one writer of a log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::{Offset, ReplicationId};

use crate::{History, LogError, LogFs, LogReader, RecoveryReport, SnapshotMeta};

/// A run of stream bytes to append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// The bytes, in order, in as many pieces as they came in.
    pub bytes: Vec<Bytes>,
    /// When they arrived, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Whether the last byte ends a unit (one command, or one whole `MULTI`..`EXEC`).
    pub ends_on_unit: bool,
}

/// What an append did. Nothing of it is durable before [`LogWriter::sync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppendReport {
    /// The log's new end.
    pub end: Offset,
    /// Stream bytes appended.
    pub bytes: u64,
    /// Index records written.
    pub blocks: u64,
    /// Segments started.
    pub rolled: u32,
}

/// A segment that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedSegment {
    /// It covered `(start, end]`.
    pub start: Offset,
    /// The log starts here now.
    pub end: Offset,
    /// Bytes on disk that were freed (or kept as a spare file).
    pub disk_bytes: u64,
}

/// The one writer of a log; it holds the log's lock.
#[derive(Debug)]
pub struct LogWriter {
    fs: Arc<dyn LogFs>,
    dir: PathBuf,
    history: History,
}

impl LogWriter {
    /// Starts a new lineage: drops all segments and every snapshot of another history, and begins an empty log at `at`
    /// with history `id`. A crash leaves either the old log whole or the new one empty.
    pub fn begin(&mut self, id: ReplicationId, at: Offset) -> Result<(), LogError> {
        let _ = (id, at);
        Err(self.stub())
    }

    /// Appends blocks. Nothing is durable before [`Self::sync`].
    pub fn append(&mut self, blocks: &[Block]) -> Result<AppendReport, LogError> {
        let _ = blocks;
        Err(self.stub())
    }

    /// Makes durable what was appended; returns the durable end.
    pub fn sync(&mut self) -> Result<Offset, LogError> {
        Err(self.stub())
    }

    /// Drops what follows `to`, which must be a unit boundary of the stream inside of the log.
    pub fn truncate(&mut self, to: Offset) -> Result<(), LogError> {
        let _ = to;
        Err(self.stub())
    }

    /// The primary goes on under a new id: the current one ends at `at`, which must be the log's end.
    pub fn extend_history(&mut self, id: ReplicationId, at: Offset) -> Result<(), LogError> {
        let _ = (id, at);
        Err(self.stub())
    }

    /// Drops the oldest segments while the log is larger or older than its settings allow, but nothing that follows
    /// `keep_from`; and snapshots that the log can no longer continue from.
    pub fn enforce_retention(
        &mut self,
        now_ms: u64,
        keep_from: Option<Offset>,
    ) -> Result<Vec<DroppedSegment>, LogError> {
        let _ = (now_ms, keep_from);
        Err(self.stub())
    }

    /// Drops the oldest segment to make room, also after the writer has stopped. `None` if only the active one is left.
    pub fn drop_oldest(&mut self) -> Result<Option<DroppedSegment>, LogError> {
        Err(self.stub())
    }

    /// Restarts the log, empty, at a later offset of the same history: after a time in which the disk was full.
    /// `at` must be a unit boundary.
    pub fn skip_to(&mut self, at: Offset) -> Result<(), LogError> {
        let _ = at;
        Err(self.stub())
    }

    /// Recovers after an error as [`crate::Log::open`] would; append again from the report's `end`.
    pub fn recover_in_place(&mut self) -> Result<RecoveryReport, LogError> {
        Err(self.stub())
    }

    /// The error that stopped the writer, if one did.
    pub fn stopped(&self) -> Option<&str> {
        None
    }

    /// The chain of replication ids.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The log covers `(start, end]`.
    pub fn start(&self) -> Offset {
        Offset::ZERO
    }

    /// What was appended ends here.
    pub fn end(&self) -> Offset {
        Offset::ZERO
    }

    /// What is durable ends here.
    pub fn durable_end(&self) -> Offset {
        Offset::ZERO
    }

    /// The last unit boundary at or before [`Self::end`].
    pub fn unit_end(&self) -> Offset {
        Offset::ZERO
    }

    /// Bytes that segments, indexes and spare files take on disk.
    pub fn disk_bytes(&self) -> u64 {
        0
    }

    /// Bytes that can still be written to the disk.
    pub fn available_bytes(&self) -> Result<u64, LogError> {
        Err(self.stub())
    }

    /// A reader for this log, for any thread.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.fs), &self.dir)
    }

    /// The complete snapshots that this log can continue from, oldest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotMeta>, LogError> {
        Err(self.stub())
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where rescue files of this shard go.
    pub fn rescue_dir(&self) -> PathBuf {
        self.dir.join("rescue")
    }

    fn stub(&self) -> LogError {
        LogError::NotBegun {
            dir: self.dir.clone(),
        }
    }
}
