//! A small disk that runs full: a size-limited tmpfs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A mounted tmpfs; unmounted when the value goes.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts a disk of `size_bytes`. `None` where mounting is not allowed: a test must then fail and say so.
    pub fn mount(size_bytes: u64) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("sterna-disk-").tempdir().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_bytes}"), "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { dir })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills what is left with a file of its own, up to the last block.
    pub fn fill_up(&self) -> Result<()> {
        let path = self.ballast();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .context("the ballast file")?;
        let block = vec![0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
            }
        }
    }

    /// Removes what [`SmallDisk::fill_up`] wrote: there is space again.
    pub fn free(&self) -> Result<()> {
        let path = self.ballast();
        fs::remove_file(&path).with_context(|| format!("{}", path.display()))
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join(".ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a file still open elsewhere can't keep it mounted.
        drop(Command::new("umount").arg("-l").arg(self.dir.path()).output());
    }
}
