//! A data file that bypasses the page cache (`O_DIRECT`).
//!
//! The stream is written once, in order, and mostly never read again: caching it would push out what the servers on
//! the same machine need, and copying it into fresh cache pages is the larger part of what writing costs. The kernel
//! wants whole aligned sectors, so the last one is kept here and written again with what follows, padded with zeros:
//! the file may be up to a sector longer than what was written.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::LogFile;

/// What positions, lengths and addresses must be a multiple of; the largest sector in use.
const SECTOR: usize = 4096;
/// Bytes written in one call at most.
const STAGE_BYTES: usize = 1024 * 1024 + SECTOR;

/// A file opened with `O_DIRECT`.
#[derive(Debug)]
pub(super) struct DirectFile {
    file: File,
    stage: Mutex<Option<Stage>>,
    /// Reads land here first; it is kept, because fresh memory costs more than the copy out of it.
    landing: Mutex<Aligned>,
}

/// The end of what was written: a last sector that is not full yet, at the start of the buffer.
#[derive(Debug)]
struct Stage {
    buffer: Aligned,
    /// Where the buffer's first byte stands in the file.
    base: u64,
    /// Bytes of the last sector.
    partial: usize,
}

/// Memory that begins at a multiple of [`SECTOR`].
#[derive(Debug)]
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + SECTOR];
        let start = bytes.as_ptr().align_offset(SECTOR);
        Self { bytes, start, len }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl DirectFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            stage: Mutex::new(None),
            landing: Mutex::new(Aligned::new(0)),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Option<Stage>> {
        // A panic can't have left it half changed: it is replaced as a whole or dropped on error.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stage for a write at `offset`: the one that is there if the write continues it.
    fn stage_at(&self, stage: Option<Stage>, offset: u64) -> io::Result<Stage> {
        if let Some(stage) = stage
            && stage.base + stage.partial as u64 == offset
        {
            return Ok(stage);
        }
        let base = floor(offset);
        let partial = usize::try_from(offset - base).map_err(io::Error::other)?;
        let mut buffer = Aligned::new(STAGE_BYTES);
        if partial > 0 {
            let read = self.file.read_at(&mut buffer.get()[..SECTOR], base)?;
            if read < partial {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Stage {
            buffer,
            base,
            partial,
        })
    }
}

impl LogFile for DirectFile {
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut guard = self.stage();
        let mut stage = self.stage_at(guard.take(), offset)?;
        let (partial, base) = (stage.partial, stage.base);
        let buffer = stage.buffer.get();
        let mut end = partial;
        for slice in slices {
            let count = slice.len().min(buffer.len() - end);
            buffer[end..end + count].copy_from_slice(&slice[..count]);
            end += count;
        }
        let padded = end.next_multiple_of(SECTOR);
        buffer[end..padded].fill(0);
        let written = self.file.write_at(&buffer[..padded], base)?;
        let end = if written < padded {
            written - written % SECTOR
        } else {
            end
        };
        let full = end - end % SECTOR;
        buffer.copy_within(full..end, 0);
        stage.base += full as u64;
        stage.partial = end - full;
        *guard = Some(stage);
        Ok(end.saturating_sub(partial))
    }

    fn read_at(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        let base = floor(offset);
        let skip = usize::try_from(offset - base).map_err(io::Error::other)?;
        let wanted = skip + len;
        let mut landing = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let room = wanted.next_multiple_of(SECTOR);
        if landing.len < room {
            *landing = Aligned::new(room);
        }
        let bytes = &mut landing.get()[..room];
        let mut read = 0;
        while read < wanted {
            match self.file.read_at(&mut bytes[read..], base + read as u64) {
                Ok(0) => break,
                Ok(count) => {
                    read += count;
                    // Only the end of the file ends inside a sector.
                    if count % SECTOR != 0 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes[skip.min(read)..wanted.min(read)].to_vec())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        *self.stage() = None;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget_cache(&self) -> io::Result<()> {
        *self.stage() = None;
        Ok(())
    }
}

fn floor(offset: u64) -> u64 {
    offset - offset % SECTOR as u64
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;
    use crate::fs::write_all_at;

    #[test]
    fn any_sequence_of_writes_reads_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.custom_flags(super::super::real::O_DIRECT);
        let Ok(file) = options.open(dir.path().join("data.seg")) else {
            panic!("this file system has no O_DIRECT; run the test on one that has");
        };
        let file = DirectFile::new(file);
        let mut expected = Vec::new();
        for (step, len) in [1_usize, 4095, 1, 4096, 5000, 3 << 20, 17, 0, 8191]
            .into_iter()
            .enumerate()
        {
            let value = u8::try_from(step + 1).expect("small");
            let bytes = vec![value; len];
            write_all_at(&file, &mut [IoSlice::new(&bytes)], expected.len() as u64).expect("written");
            expected.extend(bytes);
        }
        assert_eq!(file.read_at(expected.len(), 0).expect("read"), expected);
        assert_eq!(file.read_at(10, 4093).expect("read"), expected[4093..4103]);
        // Written again from the middle of a sector, as after a cut.
        write_all_at(&file, &mut [IoSlice::new(b"again")], 5001).expect("written");
        expected.truncate(5001);
        expected.extend(b"again");
        assert_eq!(file.read_at(expected.len(), 0).expect("read"), expected);
        assert!(file.read_at(10, 1 << 30).expect("read").is_empty());
    }
}
