//! Room for decisions on a disk that somebody else has filled.
//!
//! It is room within the database's own files, which nobody else can take: pages of the database that are free, and a
//! write-ahead log that is longer than it is let become. SQLite writes both over again, and asks the disk for nothing. Where a
//! file system writes what is changed elsewhere (btrfs, ZFS) there is no such room.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;

use super::files::beside;

/// A write-ahead log of so many pages is carried over into the database and begins anew...
pub(super) const WAL_PAGES: u64 = 256;
/// ...and has so much room, in bytes: pages, their headers, and what one commit or another may be beyond that.
const WAL_BYTES: u64 = 2 << 20;
/// So many pages of the database are free at least.
const FREE_PAGES: u64 = 128;
/// A page of the database, in bytes.
const PAGE_BYTES: u64 = 4096;
/// A disk with less than this has no room for a reserve, in bytes.
const PLENTY_BYTES: u64 = 4 * (WAL_BYTES + FREE_PAGES * PAGE_BYTES);
/// A disk with less than this is left to decisions, in bytes.
const SHORT_BYTES: u64 = 1 << 20;
/// How often it is looked whether the reserve is whole, in commits.
const LOOK_EVERY: u32 = 64;

/// The reserve of a database.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    commits: u32,
}

impl Reserve {
    /// That of the database at `path`, before it is looked after for the first time.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            commits: 0,
        }
    }

    /// Whether the disk has so little room that it is left to decisions. What can't be told counts as enough.
    pub(super) fn is_needed(&self) -> bool {
        self.available().is_some_and(|bytes| bytes < SHORT_BYTES)
    }

    /// Makes the reserve whole now and then, where there is plenty of room. That it can't be is no reason not to go on.
    pub(super) fn look_after(&mut self, connection: &mut Connection) {
        let is_due = self.commits.is_multiple_of(LOOK_EVERY);
        self.commits = self.commits.wrapping_add(1);
        if is_due && self.available().is_some_and(|bytes| bytes >= PLENTY_BYTES) {
            let kept = free_pages(connection).and_then(|()| self.lengthen_log());
            if let Err(error) = kept {
                tracing::warn!(
                    error,
                    "the store keeps no room for the moment when its disk is full"
                );
            }
        }
    }

    fn available(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(self.path.parent()?).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// SQLite reads of the log what its checksums vouch for, so that zeros behind that are nothing to it. To open and close this
    /// file takes no lock from the connection: those are on other files.
    fn lengthen_log(&self) -> Result<(), String> {
        let lengthen = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(beside(&self.path, "-wal"))?;
            let length = file.metadata()?.len();
            if length < WAL_BYTES {
                let zeros = usize::try_from(WAL_BYTES - length).unwrap_or_default();
                file.write_all_at(&vec![0; zeros], length)?;
                file.sync_data()?;
            }
            Ok(())
        };
        lengthen().map_err(|error| error.to_string())
    }
}

/// What is written and deleted again leaves its pages to the database.
fn free_pages(connection: &mut Connection) -> Result<(), String> {
    let mut free = || -> rusqlite::Result<()> {
        let free: u64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if free >= FREE_PAGES {
            return Ok(());
        }
        let bytes = (2 * FREE_PAGES - free) * PAGE_BYTES;
        let (key, bytes) = (
            "reserve",
            Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)),
        );
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO entries VALUES (?1, zeroblob(?2), 0)",
            (key, bytes),
        )?;
        transaction.execute("DELETE FROM entries WHERE key = ?1", [key])?;
        transaction.commit()
    };
    free().map_err(|error| error.to_string())
}
