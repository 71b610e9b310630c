//! A simulated disk for tests: it crashes, fails and fills up on request, and the same seed does the same again.
//!
//! It knows, for every file and every name, what is in memory and what is durable. A crash keeps what was synced and an
//! arbitrary part of the rest: single 512-byte sectors, any length in between, any of the names that were created,
//! changed or removed. A failed sync behaves as on Linux: the pages count as clean though they never reached the disk.

mod disk;
mod faults;
mod inode;
mod rng;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{LockAttempt, LockHeld, LogFile, LogFs};
use disk::{Disk, InodeId};

pub use faults::Faults;
pub use rng::SimRng;

/// A simulated file system. Clones share one disk.
#[derive(Debug, Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

impl SimFs {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk::new(seed))),
        }
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.disk().injector.set_faults(faults);
    }

    /// How many operations that change or sync something have begun so far.
    pub fn operations(&self) -> u64 {
        self.disk().injector.operations()
    }

    /// Whether the power went off ([`Faults::power_off_at`]): every operation fails until [`Self::crash`].
    pub fn is_off(&self) -> bool {
        self.disk().injector.is_off()
    }

    /// The power fails and comes back: what was not synced is arbitrary now, handles are dead, locks are free, and there
    /// are no more faults.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// The process that used the disk is gone: handles are dead and locks are free; nothing is lost.
    pub fn exit_process(&self) {
        self.disk().exit_process();
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk().paths()
    }

    /// What a file holds.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        self.disk().contents(path)
    }

    /// Changes a file behind the log's back, durably: `None` removes it.
    pub fn put(&self, path: &Path, contents: Option<Vec<u8>>) {
        self.disk().put(path, contents);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, (inode, epoch): (InodeId, u64)) -> Arc<dyn LogFile> {
        Arc::new(SimFile {
            fs: self.clone(),
            inode,
            epoch,
        })
    }
}

impl LogFs for SimFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk().create_dir_all(dir)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let opened = self.disk().create_new(path)?;
        Ok(self.handle(opened))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let opened = self.disk().open(path)?;
        Ok(self.handle(opened))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.open_write(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk().list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk().sync_dir(dir)
    }

    fn available_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.disk().available_bytes())
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let taken = self.disk().lock(path)?;
        Ok(match taken {
            Some(epoch) => {
                let (fs, path) = (self.clone(), path.to_owned());
                LockAttempt::Held(LockHeld::new(SimLock { fs, path, epoch }))
            }
            None => LockAttempt::Busy(None),
        })
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    path: PathBuf,
    epoch: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.disk().unlock(&self.path, self.epoch);
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    inode: InodeId,
    epoch: u64,
}

impl LogFile for SimFile {
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.fs.disk().write_at(self.inode, self.epoch, slices, offset)
    }

    fn read_at(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        self.fs.disk().read_at(self.inode, self.epoch, len, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.fs.disk().len(self.inode, self.epoch)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.disk().set_len(self.inode, self.epoch, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.disk().sync_data(self.inode, self.epoch)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.fs.disk().forget_cache(self.inode, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &dyn LogFile, bytes: &[u8], offset: u64) {
        assert_eq!(
            file.write_at(&[IoSlice::new(bytes)], offset).expect("written"),
            bytes.len()
        );
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_loses_some_of_the_rest() {
        let path = Path::new("/log/file");
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..200 {
            let fs = SimFs::new(seed);
            fs.create_dir_all(Path::new("/log")).expect("made");
            let file = fs.create_new(path).expect("created");
            write(&*file, &[1; 700], 0);
            file.sync_data().expect("synced");
            fs.sync_dir(Path::new("/log")).expect("synced");
            write(&*file, &[2; 2000], 700);
            fs.crash();
            let contents = fs.contents(path).expect("its name was synced");
            assert!(contents[..700].iter().all(|byte| *byte == 1));
            let new = contents[700..].split(|byte| *byte == 2).count() - 1;
            lost += usize::from(new == 0);
            kept += usize::from(new == 2000);
            assert!(file.len().is_err(), "a handle survived the crash");
        }
        assert!(
            lost > 0 && kept > 0 && lost + kept < 200,
            "lost {lost}, kept {kept}"
        );
    }

    #[test]
    fn a_name_that_was_not_synced_may_be_lost() {
        let (from, to) = (Path::new("/log/a"), Path::new("/log/b"));
        let mut outcomes = [0; 2];
        for seed in 0..100 {
            let fs = SimFs::new(seed);
            fs.create_dir_all(Path::new("/log")).expect("made");
            fs.create_new(from).expect("created");
            fs.sync_dir(Path::new("/log")).expect("synced");
            fs.rename(from, to).expect("renamed");
            fs.crash();
            let renamed = fs.contents(to).is_some();
            assert_ne!(
                fs.contents(from).is_some(),
                renamed,
                "a rename happens or it doesn't"
            );
            outcomes[usize::from(renamed)] += 1;
        }
        assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    }

    #[test]
    fn after_a_failed_sync_memory_shows_what_the_disk_never_got() {
        let path = Path::new("/log/file");
        let mut ghosts = 0;
        for seed in 0..50 {
            let fs = SimFs::new(seed);
            fs.create_dir_all(Path::new("/log")).expect("made");
            let file = fs.create_new(path).expect("created");
            write(&*file, &[3; 2048], 0);
            fs.set_faults(Faults {
                fail_per_1000: 1000,
                ..Faults::default()
            });
            assert!(file.sync_data().is_err());
            fs.set_faults(Faults::default());
            file.sync_data().expect("succeeds, for the pages count as clean");
            assert_eq!(file.read_at(2048, 0).expect("read"), [3; 2048]);
            file.forget_cache().expect("forgotten");
            ghosts += usize::from(file.read_at(2048, 0).expect("read") != [3; 2048]);
        }
        assert!(ghosts > 0);
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/log")).expect("made");
        let file = fs.create_new(Path::new("/log/file")).expect("created");
        fs.set_faults(Faults {
            capacity_bytes: Some(100),
            ..Faults::default()
        });
        assert_eq!(
            file.write_at(&[IoSlice::new(&[0; 60]), IoSlice::new(&[0; 60])], 0)
                .expect("some"),
            100
        );
        let error = file.write_at(&[IoSlice::new(&[0; 20])], 100).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        write(&*file, &[1; 100], 0);
    }
}
