//! Links, pipes and files of others in the place of the log's own, on the real file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use sterna_log::{LogError, LogFs, Opened, RealFs};

use crate::common::{at, block, id, open, small};

const KEPT: &[u8] = b"somebody else's";

fn reopen(dir: &Path) -> Result<Opened, LogError> {
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    open(&fs, dir, &small())
}

/// A log with something in it, closed.
fn filled(dir: &Path) {
    let mut writer = reopen(dir).expect("opened").writer;
    writer.begin(id(1), at(0)).expect("begun");
    writer.append(at(0), &[block(0, 50, true)]).expect("appended");
    writer.sync().expect("synced");
}

fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files_of(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Each file of the log in turn is a link to a file of somebody else's: that one stays as it is.
#[test]
fn no_file_is_read_or_written_through_a_link() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    filled(&log);
    let victim = dir.path().join("victim");
    fs::write(&victim, KEPT).expect("written");
    for path in files_of(&log) {
        let whole = fs::read(&path).expect("there");
        fs::remove_file(&path).expect("removed");
        symlink(&victim, &path).expect("linked");
        let opened = reopen(&log);
        assert_eq!(fs::read(&victim).expect("there"), KEPT, "{}", path.display());
        if let Ok(opened) = opened {
            // What is made anew is put in its place.
            drop(opened);
            assert!(
                path.ends_with("reserve") || !path.is_symlink(),
                "{}",
                path.display()
            );
        }
        drop(fs::remove_file(&path));
        fs::write(&path, whole).expect("written");
        drop(reopen(&log).expect("as it was"));
    }
}

#[test]
fn what_was_never_a_lock_is_not_written_to() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    let lock = dir.path().join("lock");
    fs::write(&lock, KEPT).expect("written");
    let error = reopen(dir.path()).expect_err("refused").to_string();
    assert!(
        error.contains("lock") && error.contains("somebody else"),
        "{error}"
    );
    assert_eq!(fs::read(&lock).expect("there"), KEPT);
}

/// A pipe would be waited for without an end.
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    let history = dir.path().join("history.json");
    fs::remove_file(&history).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&history).status();
    assert!(made.expect("mkfifo runs").success());
    let error = reopen(dir.path()).expect_err("refused").to_string();
    assert!(error.contains("not a regular file"), "{error}");
}
