//! The description beside a snapshot's RDB file, whose presence says that the RDB is complete.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sterna_protocol::{Offset, ReplicationId};

use super::SnapshotMeta;
use crate::fs::write_all_at;
use crate::history_file::remove_if_present;
use crate::layout::Layout;
use crate::{LogError, LogFs};

const FORMAT: u64 = 1;

/// A complete snapshot, with what only the log needs to know.
#[derive(Debug, Clone)]
pub(crate) struct StoredSnapshot {
    pub(crate) meta: SnapshotMeta,
    /// Whether it was made durable.
    pub(crate) synced: bool,
    /// CRC32C of the RDB file.
    pub(crate) crc32c: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: u64,
    id: ReplicationId,
    offset: Offset,
    len: u64,
    wall_ms: u64,
    checksum_verified: bool,
    note: String,
    synced: bool,
    crc32c: u32,
}

/// Where the description of a snapshot's RDB file is.
pub(super) fn path_of(rdb: &Path) -> PathBuf {
    rdb.with_extension("json")
}

/// Reads a description; `None` if there is none that can be used: the snapshot is not complete then. It can be made
/// again, so it is better dropped than trusted.
pub(crate) fn load(
    fs: &dyn LogFs,
    layout: &Layout,
    id: ReplicationId,
    offset: Offset,
) -> Option<StoredSnapshot> {
    let path = layout.snapshot(id, offset);
    let read = || -> io::Result<(Vec<u8>, u64)> {
        let rdb_len = fs.open_read(&path)?.len()?;
        let file = fs.open_read(&path_of(&path))?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        Ok((file.read_at(len, 0)?, rdb_len))
    };
    let (text, rdb_len) = read().ok()?;
    let document: Document = serde_json::from_slice(&text).ok()?;
    let fits = document.format == FORMAT
        && document.id == id
        && document.offset == offset
        && document.len == rdb_len;
    let Document {
        len,
        wall_ms,
        checksum_verified,
        note,
        synced,
        crc32c,
        ..
    } = document;
    let meta = SnapshotMeta {
        path,
        id,
        offset,
        len,
        wall_ms,
        checksum_verified,
        note,
    };
    fits.then_some(StoredSnapshot { meta, synced, crc32c })
}

/// Writes the description. From then on the snapshot is complete; durably so if it says that it is synced.
pub(super) fn save(fs: &dyn LogFs, stored: &StoredSnapshot) -> Result<(), LogError> {
    let SnapshotMeta {
        path: rdb,
        id,
        offset,
        len,
        wall_ms,
        checksum_verified,
        note,
    } = &stored.meta;
    let document = Document {
        format: FORMAT,
        id: *id,
        offset: *offset,
        len: *len,
        wall_ms: *wall_ms,
        checksum_verified: *checksum_verified,
        note: note.clone(),
        synced: stored.synced,
        crc32c: stored.crc32c,
    };
    let text = serde_json::to_vec_pretty(&document).expect("ids, numbers and text always serialize");
    let path = path_of(rdb);
    let unfinished = rdb.with_extension("json.tmp");
    let write = || -> io::Result<()> {
        remove_if_present(fs, &unfinished)?;
        let file = fs.create_new(&unfinished)?;
        write_all_at(&*file, &mut [IoSlice::new(&text)], 0)?;
        if stored.synced {
            file.sync_data()?;
        }
        fs.rename(&unfinished, &path)?;
        match path.parent() {
            Some(dir) if stored.synced => fs.sync_dir(dir),
            _ => Ok(()),
        }
    };
    write().map_err(|error| LogError::io("write", &path, error))
}
