//! A snapshot at an exact offset of the history: spooled to disk while it arrives, and served from its first byte on.
//!
//! Until its checksum has been verified, its last bytes are held back from the followers: a node loads a snapshot only
//! when it has all of it, so a corrupt or truncated one never replaces what the node holds.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use sterna_log::{SnapshotMeta, SnapshotSpool};
use sterna_protocol::rdb::{RdbError, RdbForm, RdbInspector};
use sterna_protocol::{Offset, ReplicationId};
use tokio::time::Instant;

use super::origin::Origin;
use crate::settings::SNAPSHOT_WINDOW_BYTES;
use crate::window::Window;

/// Bytes held back until the checksum is verified: more than the end of file opcode and the checksum.
const HELD_BACK_BYTES: u64 = 64;

/// How far a snapshot has come.
#[derive(Debug)]
enum Stage {
    Arriving {
        inspector: Box<RdbInspector>,
        /// Size, where the primary said it.
        length: Option<u64>,
    },
    Complete,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    id: ReplicationId,
    offset: Offset,
    origin: Origin,
    path: PathBuf,
    stage: Stage,
    started: Option<Instant>,
    window: Window,
    /// The spool, while it is not out on a job; `None` too when the snapshot is whole on disk.
    pub(super) spool: Option<SnapshotSpool>,
    written: u64,
    finish_asked: bool,
    /// Once it is whole on disk.
    meta: Option<SnapshotMeta>,
    /// Ends the snapshot for followers that take one of unknown length.
    pub(super) mark: [u8; 40],
}

impl Snapshot {
    /// One that is about to arrive.
    pub(super) fn arriving(
        id: ReplicationId,
        offset: Offset,
        (origin, spool): (Origin, SnapshotSpool),
        mark: [u8; 40],
        now: Instant,
    ) -> Self {
        Self {
            id,
            offset,
            origin,
            path: spool.path().to_owned(),
            meta: None,
            stage: Stage::Arriving {
                inspector: Box::new(RdbInspector::new()),
                length: None,
            },
            started: Some(now),
            window: Window::at(0),
            spool: Some(spool),
            written: 0,
            finish_asked: false,
            mark,
        }
    }

    /// One that an earlier run left on disk.
    pub(super) fn kept(meta: &SnapshotMeta) -> Self {
        Self {
            id: meta.id,
            offset: meta.offset,
            origin: Origin::read(&meta.note),
            path: meta.path.clone(),
            meta: Some(meta.clone()),
            stage: Stage::Complete,
            started: None,
            window: Window::at(meta.len),
            spool: None,
            written: meta.len,
            finish_asked: true,
            mark: [b'0'; 40],
        }
    }

    pub(super) fn id(&self) -> ReplicationId {
        self.id
    }

    pub(super) fn offset(&self) -> Offset {
        self.offset
    }

    /// What is known of the data set in it.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn started(&self) -> Option<Instant> {
        self.started
    }

    /// The form in which it is announced to a follower now: with its length once that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.stage {
            Stage::Arriving { length, .. } => *length,
            Stage::Complete => Some(self.window.end()),
        }
    }

    /// How much of it a follower may be sent.
    pub(super) fn safe_end(&self) -> u64 {
        match &self.stage {
            Stage::Arriving { .. } => self.window.end().saturating_sub(HELD_BACK_BYTES),
            Stage::Complete => self.window.end(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    /// Bytes received.
    pub(super) fn received(&self) -> u64 {
        self.window.end()
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.window.end() - self.written
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.window.len()
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// The announcement of its size came.
    pub(super) fn announced(&mut self, form: RdbForm) {
        if let (Stage::Arriving { length, .. }, RdbForm::Length(bytes)) = (&mut self.stage, form) {
            *length = Some(bytes);
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), RdbError> {
        if let Stage::Arriving { inspector, .. } = &mut self.stage {
            inspector.feed(&bytes)?;
            if let (None, Some(header)) = (self.origin.format, inspector.header()) {
                self.origin.read_header(header);
            }
        }
        self.window.push(bytes);
        Ok(())
    }

    /// All of it was received: verifies it.
    pub(super) fn complete(&mut self) -> Result<(), RdbError> {
        if let Stage::Arriving { inspector, .. } = &self.stage {
            inspector.finish()?;
        }
        self.stage = Stage::Complete;
        Ok(())
    }

    /// Bytes to write next, and whether they are the last; `None` when there is nothing to do.
    pub(super) fn next_write(&mut self, bytes_min: u64) -> Option<(Vec<Bytes>, bool)> {
        let unwritten = self.unwritten_bytes();
        let last = self.is_complete() && !self.finish_asked;
        if self.spool.is_none() || (!last && unwritten < bytes_min) {
            return None;
        }
        let bytes = self.window.slices(self.written, self.window.end(), u64::MAX)?;
        self.finish_asked = last;
        Some((bytes, last))
    }

    /// A write came back.
    pub(super) fn wrote(&mut self, spool: Option<SnapshotSpool>, bytes: u64, finished: Option<SnapshotMeta>) {
        self.spool = spool;
        self.written += bytes;
        self.meta = finished;
        let keep = if self.meta.is_some() {
            0
        } else {
            SNAPSHOT_WINDOW_BYTES
        };
        self.window.shrink(keep, self.written);
    }

    /// Whether it is whole on disk, so that it outlives this process.
    pub(super) fn on_disk(&self) -> Option<&SnapshotMeta> {
        self.meta.as_ref()
    }

    /// The file, which grows while the snapshot arrives.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
