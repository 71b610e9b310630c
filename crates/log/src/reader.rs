//! Reading a log while it is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::Offset;

use crate::{LogFs, ReadError};

/// An independent handle that reads a log, also while its writer appends, rolls and drops segments in another thread.
#[derive(Debug)]
pub struct LogReader {
    fs: Arc<dyn LogFs>,
    dir: PathBuf,
}

impl LogReader {
    /// A reader of the log in `dir`. It touches nothing before the first read.
    pub fn new(fs: Arc<dyn LogFs>, dir: &Path) -> Self {
        Self {
            fs,
            dir: dir.to_owned(),
        }
    }

    /// Reads the bytes that follow `from`: at least one, at most `max_bytes`, never past `upto`, all checked.
    pub fn read(&mut self, from: Offset, max_bytes: usize, upto: Offset) -> Result<Bytes, ReadError> {
        let _ = (from, max_bytes, upto, &self.fs, &self.dir);
        Err(ReadError::NotYet)
    }

    /// When the byte that follows `offset` arrived, in milliseconds since the Unix epoch: somebody who holds `offset`
    /// lags by the time since then. `None` if nothing follows yet, or the log no longer holds it.
    pub fn time_of(&mut self, offset: Offset) -> Result<Option<u64>, ReadError> {
        let _ = offset;
        Ok(None)
    }
}
