//! The folder that a server works in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// How the folders of servers begin that end with their test.
const LEFT_BEHIND: &str = "sterna-server-";

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Removes it with this value.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// A folder that stays.
    pub(super) fn lasting(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("{} can't be made", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            _temporary: None,
        })
    }

    /// A new folder that goes with this value, unless `STERNA_TEST_KEEP=1`: `sterna-kept-<port>-…` when it is to be
    /// kept, else named after this process, so that a later one can tell that it was left behind.
    pub(super) fn temporary(port: u16) -> Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        if env::var_os("STERNA_TEST_KEEP").is_some_and(|keep| keep == "1") {
            let dir = tempfile::Builder::new()
                .prefix(&format!("sterna-kept-{port}-"))
                .tempdir()?;
            return Ok(Self {
                path: dir.keep(),
                _temporary: None,
            });
        }
        let dir = tempfile::Builder::new()
            .prefix(&format!("{LEFT_BEHIND}{}-", process::id()))
            .tempdir()?;
        Ok(Self {
            path: dir.path().to_owned(),
            _temporary: Some(dir),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the folders of test processes that were killed.
fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(LEFT_BEHIND)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // Another process may be removing it just now.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
