//! The file-system seam: the few operations a log needs, so that tests can crash and fail them at will.

mod direct;
mod real;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use real::RealFs;

/// A file system. Paths are whole paths; nothing here follows a working directory.
///
/// Durability is the caller's to ask for: contents by [`LogFile::sync_data`], names (created, renamed, removed) by
/// [`LogFs::sync_dir`].
pub trait LogFs: Send + Sync + fmt::Debug {
    /// Makes a directory and its parents, if they are missing; those that it makes are durable.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Creates a file that must not exist, for reading and writing.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// Gives a file another name in the same directory, replacing what had that name, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written to the file system that holds `dir`.
    fn available_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock on `path`, creating it, for as long as the returned guard lives.
    fn lock(&self, path: &Path) -> io::Result<LockAttempt>;
}

/// An open file. Reads and writes name their position, so a handle has no cursor and can be shared.
pub trait LogFile: Send + Sync + fmt::Debug {
    /// Writes some of the slices, in order, at `offset`; returns how many bytes were written, which may be fewer.
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Reads up to `len` bytes at `offset`: fewer only where the file ends.
    fn read_at(&self, len: usize, offset: u64) -> io::Result<Vec<u8>>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Forgets what memory caches of this file and doesn't have to write, so that the next read sees the disk.
    ///
    /// After a failed `fsync` Linux marks the pages clean though they never reached the disk: a later `fsync` succeeds,
    /// and reads keep showing bytes that a power cut would take. Recovery must judge by what the disk holds.
    fn forget_cache(&self) -> io::Result<()>;
}

/// The outcome of trying to lock a log.
#[derive(Debug)]
pub enum LockAttempt {
    /// Locked until the guard is dropped.
    Held(LockHeld),
    /// Someone else holds it: their process id, if they left one.
    Busy(Option<u32>),
}

/// Keeps a lock for as long as it lives.
#[derive(Debug)]
pub struct LockHeld {
    _guard: Box<dyn LockGuard>,
}

trait LockGuard: Send + Sync + fmt::Debug {}

impl<T: Send + Sync + fmt::Debug> LockGuard for T {}

impl LockHeld {
    /// Wraps whatever releases the lock when it is dropped.
    pub fn new(guard: impl Send + Sync + fmt::Debug + 'static) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

/// Writes everything at `offset`, whatever number of attempts it takes.
pub(crate) fn write_all_at(
    file: &dyn LogFile,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    while slices.iter().any(|slice| !slice.is_empty()) {
        match file.write_at(slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
