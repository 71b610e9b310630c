//! Writing a snapshot while it streams through.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::{Offset, ReplicationId};

use super::meta::{self, StoredSnapshot};
use super::{SnapshotMeta, SnapshotReader};
use crate::fs::write_all_at;
use crate::layout::Layout;
use crate::{LogError, LogFile, LogFs};

/// What to record when a snapshot is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishSnapshot {
    /// Now, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Whether the RDB's own checksum was present and right.
    pub checksum_verified: bool,
    /// What is kept beside it for whoever takes it up again.
    pub note: String,
    /// Make it durable. Without it a restart drops the snapshot.
    pub sync: bool,
}

/// A snapshot that is being written. Dropping it unfinished removes the file.
#[derive(Debug)]
pub struct SnapshotSpool {
    fs: Arc<dyn LogFs>,
    path: PathBuf,
    id: ReplicationId,
    offset: Offset,
    file: Arc<dyn LogFile>,
    len: u64,
    crc32c: u32,
    failed: bool,
    finished: bool,
}

impl SnapshotSpool {
    /// Starts a snapshot at `offset` of history `id` in the log in `dir`, which must be open.
    ///
    /// If there is one already, complete or being written, that is an error whose source is
    /// [`std::io::ErrorKind::AlreadyExists`].
    pub fn create(
        fs: Arc<dyn LogFs>,
        dir: &Path,
        id: ReplicationId,
        offset: Offset,
    ) -> Result<Self, LogError> {
        let path = Layout::new(dir).snapshot(id, offset);
        let file = fs
            .create_new(&path)
            .map_err(|error| LogError::io("create", &path, error))?;
        Ok(Self {
            fs,
            path,
            id,
            offset,
            file,
            len: 0,
            crc32c: 0,
            failed: false,
            finished: false,
        })
    }

    /// Starts a snapshot as [`Self::create`] does, over what an earlier one at the same place has left behind: a file that
    /// could not be removed when it was given up. Only for who knows that no spool of that place is open.
    pub fn create_anew(
        fs: Arc<dyn LogFs>,
        dir: &Path,
        id: ReplicationId,
        offset: Offset,
    ) -> Result<Self, LogError> {
        match Self::create(Arc::clone(&fs), dir, id, offset) {
            Err(LogError::Io { source, path, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                super::remove_files(&*fs, &path)?;
                Self::create(fs, dir, id, offset)
            }
            created => created,
        }
    }

    /// Appends bytes of the RDB. After an error the snapshot can't be finished any more.
    pub fn append(&mut self, bytes: &[Bytes]) -> Result<(), LogError> {
        let mut slices: Vec<IoSlice<'_>> = bytes.iter().map(|chunk| IoSlice::new(chunk)).collect();
        self.check()?;
        if let Err(error) = write_all_at(&*self.file, &mut slices, self.len) {
            self.failed = true;
            return Err(LogError::io("write", &self.path, error));
        }
        for chunk in bytes {
            self.crc32c = crc32c::crc32c_append(self.crc32c, chunk);
            self.len += chunk.len() as u64;
        }
        Ok(())
    }

    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file that grows.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A reader of what was appended so far and what will be. It may see more than
    /// [`Self::len`]: zeros up to the end of a sector, or the beginning of what a failed append was to write.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader::of(&self.path, &self.file)
    }

    /// The RDB is complete.
    pub fn finish(mut self, how: FinishSnapshot) -> Result<SnapshotMeta, LogError> {
        self.check()?;
        // Direct writes end on a whole sector.
        let trimmed = self.file.set_len(self.len);
        trimmed.map_err(|error| LogError::io("truncate", &self.path, error))?;
        if how.sync {
            self.file
                .sync_data()
                .map_err(|error| LogError::io("sync", &self.path, error))?;
        }
        let meta = SnapshotMeta {
            path: self.path.clone(),
            id: self.id,
            offset: self.offset,
            len: self.len,
            wall_ms: how.wall_ms,
            checksum_verified: how.checksum_verified,
            note: how.note,
        };
        let stored = StoredSnapshot {
            meta,
            synced: how.sync,
            crc32c: self.crc32c,
        };
        meta::save(&*self.fs, &stored)?;
        self.finished = true;
        Ok(stored.meta)
    }

    fn check(&self) -> Result<(), LogError> {
        if self.failed {
            let error = std::io::Error::other("an earlier write of this snapshot failed");
            return Err(LogError::io("go on with", &self.path, error));
        }
        Ok(())
    }
}

impl Drop for SnapshotSpool {
    fn drop(&mut self) {
        if !self.finished {
            // The description first, should it have been written: what is left is debris then.
            let files = [
                meta::path_of(&self.path),
                self.path.with_extension("json.tmp"),
                self.path.clone(),
            ];
            for path in files {
                // What can't be removed now is removed when the log is opened.
                let _ = self.fs.remove(&path);
            }
        }
    }
}
