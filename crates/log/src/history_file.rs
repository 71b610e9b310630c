//! The history on disk: `history.json`, replaced whole or not at all.

use std::io::{self, IoSlice};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sterna_protocol::Offset;

use crate::fs::write_all_at;
use crate::layout::Layout;
use crate::{History, LogError, LogFs};

/// Format of the file.
const FORMAT: u64 = 1;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHistory {
    /// The chain.
    pub(crate) history: History,
    /// Whether the segments on disk are older than this history and are to be removed. It is set before the first one
    /// is removed and cleared when the new, empty segment is durable.
    pub(crate) clearing: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    /// CRC32C of the body as it is serialized.
    crc32c: u32,
    body: Body,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    clearing: bool,
    history: History,
}

#[derive(Debug, Deserialize)]
struct AnyFormat {
    format: u64,
}

/// Reads the history of the log in `dir` without opening or locking it; `None` if it was never begun.
pub fn read_history(fs: &dyn LogFs, dir: &Path) -> Result<Option<History>, LogError> {
    Ok(load(fs, &Layout::new(dir))?.map(|stored| stored.history))
}

/// Reads the history; `None` if there is none yet.
pub(crate) fn load(fs: &dyn LogFs, layout: &Layout) -> Result<Option<StoredHistory>, LogError> {
    let path = layout.history();
    let read = || -> io::Result<Vec<u8>> {
        let file = fs.open_read(&path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        file.read_at(len, 0)
    };
    let text = match read() {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", &path, error)),
    };
    let damaged = |what: String| LogError::damaged(&path, Offset::ZERO, what);
    let AnyFormat { format } =
        serde_json::from_slice(&text).map_err(|error| damaged(format!("it is not a history: {error}")))?;
    if format != FORMAT {
        return Err(LogError::UnknownFormat {
            path,
            found: format,
            supported: FORMAT,
        });
    }
    let document: Document =
        serde_json::from_slice(&text).map_err(|error| damaged(format!("it is not a history: {error}")))?;
    if document.crc32c != checksum(&document.body) {
        return Err(damaged(
            "its checksum does not match: it was changed by hand or by the disk".to_owned(),
        ));
    }
    let Body { clearing, history } = document.body;
    if !history.is_consistent() {
        return Err(damaged("its ids are not in order".to_owned()));
    }
    Ok(Some(StoredHistory { history, clearing }))
}

/// Writes the new history beside the old one; nothing has changed before [`commit`].
pub(crate) fn prepare(fs: &dyn LogFs, layout: &Layout, stored: &StoredHistory) -> Result<(), LogError> {
    let body = Body {
        clearing: stored.clearing,
        history: stored.history.clone(),
    };
    let document = Document {
        format: FORMAT,
        crc32c: checksum(&body),
        body,
    };
    let mut text = serde_json::to_vec_pretty(&document).expect("ids and numbers always serialize");
    text.push(b'\n');

    let unfinished = layout.history_unfinished();
    let write = || -> io::Result<()> {
        remove_if_present(fs, &unfinished)?;
        let file = fs.create_new(&unfinished)?;
        write_all_at(&*file, &mut [IoSlice::new(&text)], 0)?;
        file.sync_data()
    };
    write().map_err(|error| LogError::io("write", &unfinished, error))
}

/// Puts the prepared history in place: after success it is durable, after an error it is either the old or the new one.
pub(crate) fn commit(fs: &dyn LogFs, layout: &Layout) -> Result<(), LogError> {
    let unfinished = layout.history_unfinished();
    fs.rename(&unfinished, &layout.history())
        .map_err(|error| LogError::io("replace", &layout.history(), error))?;
    fs.sync_dir(layout.dir())
        .map_err(|error| LogError::io("sync", layout.dir(), error))
}

pub(crate) fn remove_if_present(fs: &dyn LogFs, path: &Path) -> io::Result<bool> {
    match fs.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn checksum(body: &Body) -> u32 {
    crc32c::crc32c(&serde_json::to_vec(body).expect("ids and numbers always serialize"))
}
