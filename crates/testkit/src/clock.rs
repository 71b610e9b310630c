//! A wall clock that a test sets: servers that are started with it read the machine's, and what was added to it. Their
//! monotonic clock goes on, as when somebody or something sets the clock of a machine.
//!
//! A small library is compiled with `cc` and preloaded; a namespace of time does not hold the wall clock.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::engine::Engine;

const SOURCE: &str = include_str!("clock/shim.c");

/// A clock, and the servers that go by it. Its files go with the value; servers that run keep what they have.
#[derive(Debug)]
pub struct ShiftedClock {
    offset: File,
    dir: TempDir,
}

impl ShiftedClock {
    /// A clock that shows the machine's time. Needs `cc`.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sterna-clock-").tempdir()?;
        let source = dir.path().join("shim.c");
        fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(dir.path().join("shim.so"))
            .arg(&source)
            .output()
            .context("cc can't be run")?;
        let complaint = String::from_utf8_lossy(&compiled.stderr);
        ensure!(compiled.status.success(), "cc: {}", complaint.trim());
        let clock = Self {
            offset: File::create(dir.path().join("offset"))?,
            dir,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// The engine, going by this clock.
    #[must_use]
    pub fn engine(&self, engine: Engine) -> Engine {
        let variable = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let mut program = vec![
            "env".to_owned(),
            variable("LD_PRELOAD", self.dir.path().join("shim.so")),
            variable("CLOCK_OFFSET_FILE", self.dir.path().join("offset")),
        ];
        program.extend(engine.program);
        Engine { program, ..engine }
    }

    /// Shows from now on the machine's time and so many milliseconds more (or less).
    pub fn set(&self, offset_ms: i64) -> Result<()> {
        // Eight bytes at once: nobody reads half of them.
        self.offset
            .write_all_at(&offset_ms.to_ne_bytes(), 0)
            .context("the offset of a clock")
    }
}
