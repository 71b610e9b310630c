//! The one writer of a log.

mod append;
mod boundary;
mod cut;
mod lineage;
mod retention;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::Offset;

use crate::context::{LogContext, Shared};
use crate::recovery::{self, Recovered};
use crate::segments::Segments;
use crate::{History, LockHeld, LogError, LogReaders, RecoveryReport, SnapshotMeta};

pub use retention::DroppedSegment;

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

/// What a log covers: `(start, end]`, and how much of it a crash would leave.
///
/// Always `start <= durable_unit_end <= unit_end <= end` and `durable_unit_end <= durable_end <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// The oldest byte kept comes after this.
    pub start: Offset,
    /// What was appended ends here.
    pub end: Offset,
    /// What is durable ends here.
    pub durable_end: Offset,
    /// The last unit boundary: where the log would end after a crash if everything were durable.
    pub unit_end: Offset,
    /// The last unit boundary in what is durable: where the log would end after a crash.
    pub durable_unit_end: Offset,
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
    /// Segments started. What was in the earlier ones is durable.
    pub rolled: u32,
}

/// The one writer of a log; it holds the log's lock until it is dropped.
///
/// An error while something is written *stops* the writer: what reached the disk is then unknown, so it writes no more
/// ([`LogError::Stopped`]) until [`Self::recover_in_place`] has looked, or [`Self::begin`] or [`Self::skip_to`] has
/// started afresh. A stopped log keeps what was synced, and readers go on.
#[derive(Debug)]
pub struct LogWriter {
    context: LogContext,
    history: History,
    /// `None` before the first [`Self::begin`], or if an error stopped the writer while it started afresh.
    segments: Option<Segments>,
    stopped: Option<String>,
    shared: Arc<Shared>,
    _lock: LockHeld,
}

impl LogWriter {
    pub(crate) fn new(context: LogContext, recovered: Recovered, lock: LockHeld) -> Self {
        let Recovered {
            history, segments, ..
        } = recovered;
        Self {
            context,
            history,
            segments,
            stopped: None,
            shared: Arc::default(),
            _lock: lock,
        }
    }

    /// Appends blocks in order after `at`, which must be the log's end: an owner whose idea of the offset differs must
    /// not write. Nothing is durable before [`Self::sync`].
    ///
    /// Blocks larger than [`crate::LogSettings::block_bytes_max`] are split, empty ones are skipped. An error stops the
    /// writer; none, some or all of the blocks may then be in the log, see [`Self::recover_in_place`].
    pub fn append(&mut self, at: Offset, blocks: &[Block]) -> Result<AppendReport, LogError> {
        self.check_running()?;
        let total: u64 = blocks.iter().map(append::byte_count).sum();
        if at != self.extent().end || at.get().checked_add(total).is_none() {
            return Err(self.out_of_range("append", at));
        }
        self.change(|segments, context| segments.append(context, blocks))
    }

    /// Makes durable what was appended; returns the durable end. An error stops the writer.
    pub fn sync(&mut self) -> Result<Offset, LogError> {
        self.change(Segments::sync)
    }

    /// Recovers after an error in the same way as [`crate::Log::open`]: append again from the report's `end`, which is a
    /// unit boundary and may lie before or after what the last successful append reported, but never before what the
    /// last [`Self::sync`] reported, save for a unit that had not arrived whole.
    pub fn recover_in_place(&mut self) -> Result<RecoveryReport, LogError> {
        let promised_end = self.extent().durable_unit_end;
        let result = recovery::recover(&self.context);
        self.shared.next_generation();
        match result {
            Ok(Recovered {
                history,
                segments,
                mut report,
                valid_end,
            }) => {
                let lost = promised_end.bytes_since(valid_end);
                report.lost_synced_bytes = report.lost_synced_bytes.max(lost);
                (self.history, self.segments, self.stopped) = (history, segments, None);
                Ok(report)
            }
            Err(error) => Err(self.stop(error)),
        }
    }

    /// The error that stopped the writer, if one did.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// The chain of replication ids; empty before the first [`Self::begin`].
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What the log covers; nothing before the first [`Self::begin`].
    pub fn extent(&self) -> Extent {
        self.segments
            .as_ref()
            .map_or_else(Extent::default, Segments::extent)
    }

    /// Bytes that segments, indexes and spare files take on disk; snapshots are not counted.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.as_ref().map_or(0, Segments::disk_bytes)
    }

    /// Bytes that can still be written to the disk, as the system tells it.
    pub fn available_bytes(&self) -> Result<u64, LogError> {
        let dir = self.dir();
        self.context
            .fs
            .available_bytes(dir)
            .map_err(|error| LogError::io("measure the free space of", dir, error))
    }

    /// Where readers of this log come from: they notice when this writer truncates, drops or begins anew.
    pub fn readers(&self) -> LogReaders {
        LogReaders::new(Arc::clone(&self.context.fs), self.dir(), Arc::clone(&self.shared))
    }

    /// The complete snapshots that this log can continue from, oldest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotMeta>, LogError> {
        recovery::usable_snapshots(&self.context, &self.history, self.segments.as_ref())
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        self.context.layout.dir()
    }

    /// Changes the segments of a running log; an error stops it.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Segments, &LogContext) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check_running()?;
        let Some(segments) = &mut self.segments else {
            return Err(self.not_begun());
        };
        match change(segments, &self.context) {
            Ok(done) => Ok(done),
            Err(error) => Err(self.stop(error)),
        }
    }

    fn check_running(&self) -> Result<(), LogError> {
        match &self.stopped {
            Some(reason) => Err(LogError::Stopped {
                durable_end: self.extent().durable_end,
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn stop(&mut self, error: LogError) -> LogError {
        self.stopped = Some(error.to_string());
        error
    }

    fn not_begun(&self) -> LogError {
        LogError::NotBegun {
            dir: self.dir().to_owned(),
        }
    }

    fn out_of_range(&self, action: &'static str, at: Offset) -> LogError {
        let Extent { start, end, .. } = self.extent();
        LogError::OutOfRange {
            action,
            at,
            start,
            end,
        }
    }
}
