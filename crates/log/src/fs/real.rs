//! The operating system's file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FlockOperation, OFlags, fadvise, flock, statvfs};

use super::direct::DirectFile;
use super::{LockAttempt, LockHeld, LogFile, LogFs};

/// The flag as the standard library takes it.
#[expect(clippy::cast_possible_wrap, reason = "a flag in the low bits")]
pub(super) const O_DIRECT: i32 = OFlags::DIRECT.bits() as i32;

/// No file of ours is a link to somewhere else, or a pipe that is waited for.
#[expect(clippy::cast_possible_wrap, reason = "flags in the low bits")]
const O_OURS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// The longest process id in a lock, in bytes.
const HOLDER_BYTES_MAX: u64 = 20;

/// Files that are large and written once, in order, are told by their name: segments and snapshots.
const DATA_EXTENSIONS: [&str; 2] = ["seg", "rdb"];

/// What the kernel takes in one call (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl LogFs for RealFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        self.create_dir_all(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_dir(parent),
        }
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        open(OpenOptions::new().write(true).create_new(true), path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        open(OpenOptions::new().write(true), path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        open(&mut OpenOptions::new(), path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that isn't UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(O_OURS)
            .open(path)?;
        demand_regular(&file)?;
        // What was never a lock is not written to.
        let mut holder = Vec::new();
        (&file).take(HOLDER_BYTES_MAX + 1).read_to_end(&mut holder)?;
        if holder.len() as u64 > HOLDER_BYTES_MAX || !holder.iter().all(u8::is_ascii_digit) {
            return Err(foreign("it holds something else than the id of a process"));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // The id is a courtesy to people; the lock works without it.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "{}", std::process::id()));
                Ok(LockAttempt::Held(LockHeld::new(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Ok(LockAttempt::Busy(String::from_utf8_lossy(&holder).parse().ok()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A pipe or a device in the place of one of our files.
fn demand_regular(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        Ok(())
    } else {
        Err(foreign("it is not a regular file"))
    }
}

fn foreign(why: &str) -> io::Error {
    let why = format!("{why}: somebody else put it there. It was left as it is; move it away");
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Opens segments and snapshots past the page cache, where the file system can, and everything else as usual.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Arc<dyn LogFile>> {
    let file = options.read(true).custom_flags(O_OURS).open(path)?;
    demand_regular(&file)?;
    if path
        .extension()
        .is_some_and(|extension| DATA_EXTENSIONS.iter().any(|known| extension == *known))
    {
        // A second time, because one that is refused with this flag may have made the file before.
        match options
            .create_new(false)
            .custom_flags(O_DIRECT | O_OURS)
            .open(path)
        {
            Ok(file) => return Ok(Arc::new(DirectFile::new(file))),
            // The file system has no direct access.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Arc::new(RealFile { file }))
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl LogFile for RealFile {
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(SLICES_MAX)];
        Ok(rustix::io::pwritev(&self.file, slices, offset)?)
    }

    fn read_at(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have given more room than was asked for.
        bytes.truncate(len);
        Ok(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}
