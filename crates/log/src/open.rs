//! Opening a log.

use std::path::Path;
use std::sync::Arc;

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::fs::LockAttempt;
use crate::layout::Layout;
use crate::{History, KeptAside, LogError, LogFs, LogSettings, LogWriter, SnapshotMeta, recovery};

/// The way in: [`Log::open`].
#[derive(Debug)]
pub struct Log;

/// A log that was opened for writing.
#[derive(Debug)]
pub struct Opened {
    /// The one writer. It holds the log's lock until it is dropped.
    pub writer: LogWriter,
    /// The chain of replication ids; empty if the log was never begun.
    pub history: History,
    /// The log covers `(start, end]`.
    pub start: Offset,
    /// Where the log ends, on a unit boundary; all of it is durable. The source asks for what follows.
    pub end: Offset,
    /// What recovery had to drop.
    pub recovered: RecoveryReport,
    /// The complete snapshots that this log can continue from, oldest first.
    pub snapshots: Vec<SnapshotMeta>,
}

/// What recovery found and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Where the log ends now, on a unit boundary; all of it is durable.
    pub end: Offset,
    /// Indexed bytes that were dropped: torn by a crash, or a unit that had not arrived whole. They were neither
    /// forwarded nor acknowledged.
    pub dropped_bytes: u64,
    /// Of these, bytes that had been synced and that the disk gave back wrong. Anything but 0 means that the disk lost
    /// what it had promised to keep: acknowledged writes may be missing here.
    pub lost_synced_bytes: u64,
    /// What was tidied up, in words, for the log file.
    pub notes: Vec<String>,
    /// The files of a log that could not be used, which lay in its place before.
    pub kept_aside: Option<KeptAside>,
}

impl Log {
    /// Opens the log in `dir` for writing, creating the directory if it is missing, and recovers it.
    ///
    /// It reads and checks the newest segment; of the older ones it checks that they are there, whole and without a gap,
    /// their bytes when they are read. Snapshots that were not finished, or that the log can't continue from, are
    /// removed.
    ///
    /// # Errors
    ///
    /// [`LogError::Locked`], [`LogError::Damaged`], [`LogError::UnknownFormat`], or what the system refused. Nothing of
    /// the stream was changed then.
    pub fn open(fs: Arc<dyn LogFs>, dir: &Path, settings: LogSettings) -> Result<Opened, LogError> {
        let context = LogContext {
            fs,
            layout: Layout::new(dir),
            settings: settings.clamped(),
        };
        create_dirs(&context)?;
        let lock_path = context.layout.lock();
        let lock = match context.fs.lock(&lock_path) {
            Ok(LockAttempt::Held(lock)) => lock,
            Ok(LockAttempt::Busy(holder)) => {
                return Err(LogError::Locked {
                    dir: dir.to_owned(),
                    holder,
                });
            }
            Err(error) => return Err(LogError::io("lock", &lock_path, error)),
        };
        recovery::remove_unfinished_snapshots(&context)?;
        let recovered = recovery::recover(&context)?;
        context.keep_reserve();
        let report = recovered.report.clone();
        let writer = LogWriter::new(context, recovered, lock);
        Ok(Opened {
            history: writer.history().clone(),
            start: writer.extent().start,
            end: writer.extent().end,
            recovered: report,
            snapshots: writer.snapshots()?,
            writer,
        })
    }
}

fn create_dirs(context: &LogContext) -> Result<(), LogError> {
    let layout = &context.layout;
    for dir in [layout.dir().to_owned(), layout.segments(), layout.snapshots()] {
        context
            .fs
            .create_dir_all(&dir)
            .map_err(|error| LogError::io("create", &dir, error))?;
    }
    context
        .fs
        .sync_dir(layout.dir())
        .map_err(|error| LogError::io("sync", layout.dir(), error))
}
