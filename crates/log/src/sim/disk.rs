//! The simulated disk's state: names, files, and what a crash makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use super::faults::{Fate, FaultInjector, Faults};
use super::inode::Inode;

pub(super) type InodeId = u64;

/// A change of names that is not durable yet.
#[derive(Debug)]
enum NameChange {
    Link(PathBuf, InodeId),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, InodeId),
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) injector: FaultInjector,
    inodes: BTreeMap<InodeId, Inode>,
    names: BTreeMap<PathBuf, InodeId>,
    durable_names: BTreeMap<PathBuf, InodeId>,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, u64>,
    next_inode: InodeId,
    /// Changes when handles die.
    epoch: u64,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            injector: FaultInjector::new(seed),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            dirs: BTreeSet::new(),
            locks: BTreeMap::new(),
            next_inode: 0,
            epoch: 0,
        }
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        self.injector.check_on()?;
        if !self.dirs.contains(dir) {
            self.injector.check_writable()?;
        }
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    pub(super) fn create_new(&mut self, path: &Path) -> io::Result<(InodeId, u64)> {
        let fate = self.injector.begin_change()?;
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| self.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if fate.has_effect() {
            self.next_inode += 1;
            self.inodes.insert(self.next_inode, Inode::default());
            self.change(NameChange::Link(path.to_owned(), self.next_inode));
        }
        fate.result().map(|()| (self.next_inode, self.epoch))
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<(InodeId, u64)> {
        self.injector.check_on()?;
        let inode = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok((*inode, self.epoch))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let fate = self.injector.begin_change()?;
        let inode = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if fate.has_effect() {
            self.change(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        }
        fate.result()
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let fate = self.injector.begin_change()?;
        if !self.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if fate.has_effect() {
            self.change(NameChange::Unlink(path.to_owned()));
        }
        fate.result()
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        self.injector.check_on()?;
        if !self.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = self.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let fate = self.injector.begin_sync()?;
        if fate.has_effect() {
            let pending = std::mem::take(&mut self.pending);
            let (now, later) = pending
                .into_iter()
                .partition(|change| change.path().parent() == Some(dir));
            self.pending = later;
            let now: Vec<NameChange> = now;
            for change in &now {
                change.apply(&mut self.durable_names);
            }
        }
        fate.result()
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<Option<u64>> {
        self.injector.check_on()?;
        self.injector.check_writable()?;
        let free = !self.locks.contains_key(path);
        if free {
            self.locks.insert(path.to_owned(), self.epoch);
        }
        Ok(free.then_some(self.epoch))
    }

    pub(super) fn unlock(&mut self, path: &Path, epoch: u64) {
        if self.locks.get(path) == Some(&epoch) {
            self.locks.remove(path);
        }
    }

    pub(super) fn write_at(
        &mut self,
        inode: InodeId,
        epoch: u64,
        slices: &[IoSlice<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        self.check_handle(epoch)?;
        let fate = self.injector.begin_change()?;
        let mut bytes: Vec<u8> = Vec::new();
        for slice in slices {
            bytes.extend_from_slice(slice);
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let old_len = self.inodes.get(&inode).map_or(0, |inode| inode.memory().len());
        let room = usize::try_from(self.available_bytes()).unwrap_or(usize::MAX);
        let fits = old_len.saturating_sub(offset).saturating_add(room);
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.truncate(fits);
        bytes.truncate(self.injector.written_part(bytes.len(), fate));
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.write(&bytes, offset);
        }
        fate.result().map(|()| bytes.len())
    }

    pub(super) fn read_at(
        &mut self,
        inode: InodeId,
        epoch: u64,
        len: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        self.check_handle(epoch)?;
        self.injector.check_on()?;
        let memory = self.inodes.get(&inode).map_or(&[][..], Inode::memory);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(memory.len());
        Ok(memory[from..from.saturating_add(len).min(memory.len())].to_vec())
    }

    pub(super) fn len(&mut self, inode: InodeId, epoch: u64) -> io::Result<u64> {
        self.check_handle(epoch)?;
        self.injector.check_on()?;
        Ok(self
            .inodes
            .get(&inode)
            .map_or(0, |inode| inode.memory().len() as u64))
    }

    pub(super) fn set_len(&mut self, inode: InodeId, epoch: u64, len: u64) -> io::Result<()> {
        self.check_handle(epoch)?;
        let fate = self.injector.begin_change()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if let Some(inode) = self.inodes.get_mut(&inode).filter(|_| fate.has_effect()) {
            inode.set_len(len);
        }
        fate.result()
    }

    pub(super) fn sync_data(&mut self, inode: InodeId, epoch: u64) -> io::Result<()> {
        self.check_handle(epoch)?;
        let fate = self.injector.begin_sync()?;
        match self.inodes.get_mut(&inode) {
            Some(inode) if fate == Fate::Succeeds => inode.sync(),
            Some(inode) => inode.fail_sync(self.injector.rng()),
            None => {}
        }
        fate.result()
    }

    pub(super) fn forget_cache(&mut self, inode: InodeId, epoch: u64) -> io::Result<()> {
        self.check_handle(epoch)?;
        self.injector.check_on()?;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.forget_cache();
        }
        Ok(())
    }

    pub(super) fn available_bytes(&self) -> u64 {
        self.injector
            .faults()
            .capacity_bytes
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let files = self.names.values().filter_map(|inode| self.inodes.get(inode));
        files.map(|inode| inode.memory().len() as u64).sum()
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.inodes.get(self.names.get(path)?)?.memory().to_vec())
    }

    pub(super) fn put(&mut self, path: &Path, contents: Option<Vec<u8>>) {
        self.next_inode += 1;
        for names in [&mut self.names, &mut self.durable_names] {
            match &contents {
                Some(_) => names.insert(path.to_owned(), self.next_inode),
                None => names.remove(path),
            };
        }
        if let Some(contents) = contents {
            self.inodes.insert(self.next_inode, Inode::with(contents));
        }
    }

    pub(super) fn exit_process(&mut self) {
        self.epoch += 1;
        self.locks.clear();
        self.injector.set_faults(Faults::default());
    }

    pub(super) fn crash(&mut self) {
        self.exit_process();
        self.injector.power_on();
        let pending = std::mem::take(&mut self.pending);
        let how = self.injector.rng().below(4);
        let prefix = self.injector.rng().index(pending.len() + 1);
        for (number, change) in pending.iter().enumerate() {
            let kept = match how {
                0 => false,
                1 => true,
                2 => number < prefix,
                _ => self.injector.rng().coin(),
            };
            if kept {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let named: BTreeSet<InodeId> = self.names.values().copied().collect();
        self.inodes.retain(|id, _| named.contains(id));
        for inode in self.inodes.values_mut() {
            inode.crash(self.injector.rng());
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn check_handle(&self, epoch: u64) -> io::Result<()> {
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(io::Error::other("the handle is of a process that is gone"))
        }
    }
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _, _) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, InodeId>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}
