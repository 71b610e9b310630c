//! Where a log lives and what it may take: what every step of the writer and of recovery needs.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sterna_protocol::Offset;

use crate::fs::write_all_at;
use crate::history_file::{self, StoredHistory, remove_if_present};
use crate::layout::{Layout, SegmentFile};
use crate::{LogError, LogFs, LogSettings};

/// Size of the file that keeps some space for the moment when the disk is full.
const RESERVE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct LogContext {
    pub(crate) fs: Arc<dyn LogFs>,
    pub(crate) layout: Layout,
    pub(crate) settings: LogSettings,
}

/// What a writer tells the readers that were made from it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    lineage: AtomicU64,
    generation: AtomicU64,
}

impl Shared {
    /// Changes with [`crate::LogWriter::begin`]: the same offsets mean other bytes.
    pub(crate) fn lineage(&self) -> u64 {
        self.lineage.load(Ordering::SeqCst)
    }

    /// Changes whenever something that was on disk is no longer there or has changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn next_lineage(&self) {
        self.lineage.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl LogContext {
    /// Writes a new history beside the old one, which stays in place; on a full disk it gives up the reserve for it.
    pub(crate) fn prepare_history(&self, stored: &StoredHistory) -> Result<(), LogError> {
        match history_file::prepare(&*self.fs, &self.layout, stored) {
            Err(error) if error.is_no_space() && self.give_up_reserve() => {
                history_file::prepare(&*self.fs, &self.layout, stored)
            }
            result => result,
        }
    }

    /// Puts the prepared history in place. After an error either may be there.
    pub(crate) fn commit_history(&self) -> Result<(), LogError> {
        history_file::commit(&*self.fs, &self.layout)
    }

    pub(crate) fn save_history(&self, stored: &StoredHistory) -> Result<(), LogError> {
        self.prepare_history(stored)?;
        self.commit_history()
    }

    /// Puts the reserve in place if it is missing. Only a disk that has plenty of room for it keeps one.
    pub(crate) fn keep_reserve(&self) {
        let path = self.layout.reserve();
        let available = self.fs.available_bytes(self.layout.dir()).unwrap_or(0);
        if available < 16 * RESERVE_BYTES as u64 {
            return;
        }
        let make = || -> io::Result<()> {
            let file = match self.fs.create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                result => result?,
            };
            write_all_at(&*file, &mut [IoSlice::new(&vec![0; RESERVE_BYTES])], 0)?;
            file.sync_data()
        };
        if make().is_err() {
            self.give_up_reserve();
        }
    }

    fn give_up_reserve(&self) -> bool {
        remove_if_present(&*self.fs, &self.layout.reserve()).unwrap_or(false)
    }

    pub(crate) fn sync_segments_dir(&self) -> Result<(), LogError> {
        let dir = self.layout.segments();
        self.fs
            .sync_dir(&dir)
            .map_err(|error| LogError::io("sync", &dir, error))
    }

    /// Drops the segment at `start`, at the oldest or the newest end of the log: after success it is durably no part of
    /// the log. Returns whether its data file was kept as a spare.
    ///
    /// Giving the index its other name is the one step that counts. What is left after an error behind it is removed
    /// when the log is opened.
    pub(crate) fn retire(&self, start: Offset, keep_spare: bool) -> Result<bool, LogError> {
        let gone = self.layout.segment_file(SegmentFile::Gone(start));
        let index = self.layout.index(start);
        self.fs
            .rename(&index, &gone)
            .map_err(|error| LogError::io("drop", &index, error))?;
        self.sync_segments_dir()?;

        let data = self.layout.data(start);
        let clean_up = || -> io::Result<()> {
            if keep_spare {
                self.fs
                    .rename(&data, &self.layout.segment_file(SegmentFile::Spare(start)))?;
            } else {
                self.fs.remove(&data)?;
            }
            // The mark must outlive the data file, or that would look like one whose index was lost.
            self.fs.sync_dir(&self.layout.segments())?;
            self.fs.remove(&gone)
        };
        match clean_up() {
            Ok(()) => Ok(keep_spare),
            Err(error) => {
                let path = data.display();
                tracing::warn!(%path, %error, "cannot remove a dropped segment, the next start tries again");
                Ok(false)
            }
        }
    }
}
