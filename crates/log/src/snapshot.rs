//! Snapshots: an RDB file at an exact offset of the history.
//!
//! The RDB is spooled while it streams through, and can be read while it grows. It counts as complete when its `.json`
//! exists; anything else in the directory is debris of a process that is gone.

mod meta;
mod spool;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::{Offset, ReplicationId};

use crate::history_file::remove_if_present;
use crate::layout::{Layout, parse_snapshot};
use crate::{LogError, LogFile, LogFs, ReadError};

pub(crate) use meta::{StoredSnapshot, load};
pub use spool::{FinishSnapshot, SnapshotSpool};

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
    /// What whoever took it wants to know of it again.
    pub note: String,
}

/// Reads a snapshot, also while it grows, and also after it was removed.
#[derive(Debug, Clone)]
pub struct SnapshotReader {
    path: PathBuf,
    file: Arc<dyn LogFile>,
}

impl SnapshotReader {
    /// Opens a snapshot's RDB file.
    pub fn open(fs: &dyn LogFs, path: &Path) -> Result<Self, ReadError> {
        let file = fs.open_read(path).map_err(|source| ReadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    fn of(path: &Path, file: &Arc<dyn LogFile>) -> Self {
        Self {
            path: path.to_owned(),
            file: Arc::clone(file),
        }
    }

    /// Reads at most `max` bytes at `pos`; empty where the file ends for now. A short answer is no sign of the end, and
    /// while the snapshot grows, what lies beyond the bytes appended so far means nothing.
    pub fn read(&self, pos: u64, max: usize) -> Result<Bytes, ReadError> {
        let read = || -> io::Result<Bytes> {
            // Ask for no more than there is: what is asked for gets allocated.
            let there = usize::try_from(self.file.len()?.saturating_sub(pos)).unwrap_or(usize::MAX);
            Ok(self.file.read_at(max.min(there), pos)?.into())
        };
        read().map_err(|source| ReadError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The complete snapshots in the log in `dir`, oldest first. Those that its log can't continue from are among them.
pub fn list_snapshots(fs: &dyn LogFs, dir: &Path) -> Result<Vec<SnapshotMeta>, LogError> {
    let stored = load_all(fs, &Layout::new(dir))?;
    Ok(stored.into_iter().map(|stored| stored.meta).collect())
}

/// Removes a snapshot, durably. Readers that have it open can go on.
pub fn remove_snapshot(fs: &dyn LogFs, snapshot: &SnapshotMeta) -> Result<(), LogError> {
    remove_files(fs, &snapshot.path)
}

fn remove_files(fs: &dyn LogFs, path: &Path) -> Result<(), LogError> {
    let remove = || -> io::Result<()> {
        // Without its description the file is debris, whatever happens next.
        remove_if_present(fs, &meta::path_of(path))?;
        remove_if_present(fs, path)?;
        path.parent().map_or(Ok(()), |dir| fs.sync_dir(dir))
    };
    remove().map_err(|error| LogError::io("remove", path, error))
}

/// The complete snapshots, oldest first.
pub(crate) fn load_all(fs: &dyn LogFs, layout: &Layout) -> Result<Vec<StoredSnapshot>, LogError> {
    let mut stored = Vec::new();
    for name in list(fs, layout)? {
        if let Some((offset, id)) = parse_snapshot(&name, ".rdb") {
            stored.extend(load(fs, layout, id, offset));
        }
    }
    stored.sort_by_key(|stored| (stored.meta.offset, stored.meta.id));
    Ok(stored)
}

/// Removes the files that belong to no complete snapshot. Only for when no spool can be open.
pub(crate) fn remove_debris(fs: &dyn LogFs, layout: &Layout) -> Result<(), LogError> {
    for name in list(fs, layout)? {
        let known = ["rdb", "json", "json.tmp"].into_iter().find_map(|extension| {
            parse_snapshot(&name, &format!(".{extension}")).map(|named| (named, extension))
        });
        let Some(((offset, id), extension)) = known else {
            continue;
        };
        if extension == "json.tmp" || load(fs, layout, id, offset).is_none() {
            let path = layout.snapshots().join(&name);
            fs.remove(&path)
                .map_err(|error| LogError::io("remove", &path, error))?;
        }
    }
    Ok(())
}

pub(crate) fn list(fs: &dyn LogFs, layout: &Layout) -> Result<Vec<String>, LogError> {
    let dir = layout.snapshots();
    match fs.list(&dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(LogError::io("list", &dir, error)),
    }
}
