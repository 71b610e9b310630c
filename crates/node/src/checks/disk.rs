//! Room for the log and the snapshot on this machine.

use std::io;
use std::path::{Path, PathBuf};

use super::observe::Node;
use sterna_model::units;
use sterna_model::{Check, Subject};

use super::CopyRequest;

/// How deep the data directory is looked through for what it already holds.
const DEPTH_MAX: usize = 4;

pub(super) fn judge(request: &CopyRequest, source: Option<&Node>, checks: &mut Vec<Check>) {
    let subject = &Subject::Here;
    let dir = existing_ancestor(&request.data_dir);
    if let Err(error) = probe(&dir) {
        checks.push(Check::refuse(
            subject,
            "data directory",
            format!("nothing can be written in {}: {error}", dir.display()),
            format!(
                "make {} writable for this user, or give another --data-dir",
                request.data_dir.display()
            ),
        ));
        return;
    }
    checks.push(Check::pass(
        subject,
        "data directory",
        format!("{} is writable", request.data_dir.display()),
    ));
    let free = match rustix::fs::statvfs(&dir) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            checks.push(Check::warn(
                subject,
                "disk room",
                format!("how much room {} has can't be found out: {error}", dir.display()),
                "make sure that the log and a snapshot of the source fit",
            ));
            return;
        }
    };
    let snapshot = source
        .and_then(|source| source.info.memory().used_bytes)
        .unwrap_or(0);
    checks.push(room(
        free,
        held(&request.data_dir, DEPTH_MAX),
        snapshot,
        request.log_max_bytes,
    ));
}

/// `held` bytes are there already and count as room: the log reuses them.
fn room(free: u64, held: u64, snapshot: u64, log_max: u64) -> Check {
    const NAME: &str = "disk room";
    let subject = &Subject::Here;
    let room = free.saturating_add(held);
    let has = units::bytes(room);
    let needs = units::bytes(snapshot);
    let log = units::bytes(log_max);
    if room < snapshot {
        Check::refuse(
            subject,
            NAME,
            format!("{has}, but a snapshot of the source may take {needs}"),
            "give a --data-dir on a larger disk, or make room",
        )
    } else if room < snapshot.saturating_add(log_max) {
        Check::warn(
            subject,
            NAME,
            format!("{has}, less than a snapshot ({needs}) and a full log ({log}) may take together"),
            "make room, or set a smaller --log-max-bytes: when the disk is full, the oldest log goes first",
        )
    } else {
        Check::pass(
            subject,
            NAME,
            format!("{has}; a snapshot may take {needs}, the log up to {log}"),
        )
    }
}

fn existing_ancestor(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute
        .ancestors()
        .find(|dir| dir.exists())
        .map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// Writes a file and removes it: permission bits alone say nothing to root or on a read-only mount.
fn probe(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    let path = dir.join(format!(".sterna-check-{}", std::process::id()));
    std::fs::File::create_new(&path)?;
    std::fs::remove_file(&path)
}

fn held(dir: &Path, depth: usize) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let mut bytes = 0_u64;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => bytes = bytes.saturating_add(metadata.len()),
            Ok(metadata) if metadata.is_dir() && depth > 0 => {
                bytes = bytes.saturating_add(held(&entry.path(), depth - 1));
            }
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_model::Verdict;

    #[test]
    fn room_is_judged_by_snapshot_then_by_log() {
        assert_eq!(room(99, 0, 100, 50).verdict, Verdict::Refuse);
        assert_eq!(room(100, 0, 100, 50).verdict, Verdict::Warn);
        assert_eq!(room(100, 50, 100, 50).verdict, Verdict::Pass);
        assert_eq!(room(150, 0, 100, 50).verdict, Verdict::Pass);
    }

    #[test]
    fn a_directory_that_can_not_be_written_is_found_out() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(probe(dir.path()).is_ok());
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("readable").count(),
            0,
            "the probe stayed behind"
        );
        let file = dir.path().join("file");
        std::fs::write(&file, b"0123456789").expect("written");
        assert_eq!(existing_ancestor(&file.join("below")), file);
        assert!(probe(&file).is_err());
        // procfs takes no files, not even from root.
        assert!(probe(Path::new("/proc")).is_err());
        assert_eq!(held(dir.path(), 1), 10);
    }
}
