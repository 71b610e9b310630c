//! Snapshots: an RDB file at an exact offset of the history.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::{Offset, ReplicationId};

use crate::{LogError, LogFs, ReadError};

/// A complete snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The RDB file.
    pub path: PathBuf,
    /// The history it belongs to.
    pub id: ReplicationId,
    /// The offset that its data is at: the stream goes on after it.
    pub offset: Offset,
    /// Length in bytes.
    pub len: u64,
    /// When it was finished, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Whether the RDB's own checksum was present and right.
    pub checksum_verified: bool,
}

/// What to record when a snapshot is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishSnapshot {
    /// Now, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Whether the RDB's own checksum was present and right.
    pub checksum_verified: bool,
    /// Make it durable. Without it a crash or restart drops the snapshot.
    pub sync: bool,
}

/// A snapshot that is being written. Dropping it unfinished removes the file.
#[derive(Debug)]
pub struct SnapshotSpool {
    path: PathBuf,
}

/// Reads a snapshot, also while it grows.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
}

impl SnapshotSpool {
    /// Starts a snapshot at `offset` of history `id` in the log in `dir`. One that is there already is an error.
    pub fn create(
        fs: Arc<dyn LogFs>,
        dir: &Path,
        id: ReplicationId,
        offset: Offset,
    ) -> Result<Self, LogError> {
        let _ = (fs, id, offset);
        Err(LogError::NotBegun { dir: dir.to_owned() })
    }

    /// Appends bytes of the RDB.
    pub fn append(&mut self, bytes: &[Bytes]) -> Result<(), LogError> {
        let _ = bytes;
        Err(LogError::NotBegun {
            dir: self.path.clone(),
        })
    }

    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// A reader of what was appended so far and what will be.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            path: self.path.clone(),
        }
    }

    /// The RDB is complete.
    pub fn finish(self, how: FinishSnapshot) -> Result<SnapshotMeta, LogError> {
        let _ = how;
        Err(LogError::NotBegun { dir: self.path })
    }
}

impl SnapshotReader {
    /// Opens a snapshot's RDB file.
    pub fn open(fs: &dyn LogFs, path: &Path) -> Result<Self, ReadError> {
        let _ = fs;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Reads at most `max` bytes at `pos`; empty where the file ends for now.
    pub fn read(&self, pos: u64, max: usize) -> Result<Bytes, ReadError> {
        let _ = (pos, max, &self.path);
        Ok(Bytes::new())
    }
}

/// The complete snapshots in the log in `dir`, oldest first. Those of another history are among them.
pub fn list_snapshots(fs: &dyn LogFs, dir: &Path) -> Result<Vec<SnapshotMeta>, LogError> {
    let _ = fs;
    Err(LogError::NotBegun { dir: dir.to_owned() })
}

/// Removes a snapshot. Readers that have it open can go on.
pub fn remove_snapshot(fs: &dyn LogFs, snapshot: &SnapshotMeta) -> Result<(), LogError> {
    let _ = fs;
    Err(LogError::NotBegun {
        dir: snapshot.path.clone(),
    })
}
