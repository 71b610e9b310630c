//! The data directory, before anything in it is touched.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::exit::{Classify as _, CommandResult, Failure};

/// Refuses a directory in which every user of the machine can put and replace files: logs and rescue files would be read from, and
/// written to, wherever these lead. One that is not there yet is made for its owner alone.
pub(crate) fn demand_own(dir: &Path) -> CommandResult {
    let metadata = match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.class(Failure::Local)?,
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    let dir = dir.display();
    Err(Failure::Local.because(format!(
        "every user of this machine can write to {dir} (mode {mode:04o}), and so choose what is read and written there. Nothing was \
         started: run `chmod o-w {dir}`, or name a directory below it, which is then made for its owner alone"
    )))
}
