//! The demo's own place on this machine: a temporary directory, and ports on loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::words;

/// Ports come from here: below those that the kernel gives to outgoing connections, so that none of them takes a
/// node's port while the node is down.
const PORT_FIRST: u32 = 24_000;
const PORT_COUNT: u32 = 8_000;
/// A process that is dying may still make a file while its directory is removed.
const REMOVE_ATTEMPTS: u32 = 3;

/// A directory that goes with this value, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    kept: bool,
    next_port: u32,
}

impl Place {
    /// Makes the directory, readable by its owner only.
    pub(super) fn new() -> anyhow::Result<Self> {
        let pid = std::process::id();
        let parent = std::env::temp_dir();
        let parent =
            fs::canonicalize(&parent).with_context(|| format!("{} can't be used", parent.display()))?;
        let dir = parent.join(format!("sterna-demo-{pid}"));
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let made = builder.create(&dir);
        made.with_context(|| format!("{} can't be made; set TMPDIR to another directory", dir.display()))?;
        Ok(Self {
            dir,
            kept: false,
            // Demos that run side by side start far from each other.
            next_port: pid.wrapping_mul(0x9E37_79B9) >> 8,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the directory where it is.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// Removes the directory. Nothing may be running in it any more.
    pub(super) fn remove(&mut self) -> anyhow::Result<()> {
        self.kept = true;
        let mut attempts = 1;
        loop {
            match fs::remove_dir_all(&self.dir) {
                Err(error) if attempts == REMOVE_ATTEMPTS => {
                    return Err(error).with_context(|| format!("{} can't be removed", self.dir.display()));
                }
                Err(_) => attempts += 1,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// A port on which nothing listens.
    pub(super) fn free_port(&mut self) -> anyhow::Result<u16> {
        for _ in 0..PORT_COUNT {
            self.next_port = self.next_port.wrapping_add(1);
            let port = u16::try_from(PORT_FIRST + self.next_port % PORT_COUNT)?;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        anyhow::bail!(
            "no port between {PORT_FIRST} and {} is free",
            PORT_FIRST + PORT_COUNT
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.remove()
        {
            words::warn(&format!("{error:#}"));
        }
    }
}
