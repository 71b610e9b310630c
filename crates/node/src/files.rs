//! Files that are read only where they are what they should be, and written so that nothing else is.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Reads a regular file of at most `bytes_max` bytes, as it may be a secret's. A pipe without a writer is not waited for, and a device
/// not read without an end: both are errors, as is a file that is larger.
pub fn read_small(path: &Path, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let wait_for_nobody = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(wait_for_nobody.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(bytes_max) + 1));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let why = format!("it is larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Makes a file that only its owner can read, in place of one that a crash may have left there. Where the name is a link, the link is
/// removed, and what it leads to stays as it is.
pub fn create_private(path: &Path) -> io::Result<File> {
    match remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (pipe, file, link) = ["pipe", "file", "link"].map(|name| dir.path().join(name)).into();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        std::fs::write(&file, b"12345").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let kind = |path: &Path, most| {
            read_small(path, most)
                .map_err(|error| error.kind())
                .map(|bytes| bytes.to_vec())
        };
        assert_eq!(kind(&pipe, 10), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(Path::new("/dev/zero"), 10), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(dir.path(), 10), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(&file, 4), Err(io::ErrorKind::FileTooLarge));
        for path in [&file, &link] {
            assert_eq!(kind(path, 5), Ok(b"12345".to_vec()));
        }
    }

    #[test]
    fn a_file_is_made_anew_and_not_through_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let [victim, link] = ["victim", "link"].map(|name| dir.path().join(name));
        std::fs::write(&victim, b"kept").expect("written");
        std::os::unix::fs::symlink(&victim, &link).expect("linked");
        for _ in 0..2 {
            let mut file = create_private(&link).expect("made");
            io::Write::write_all(&mut file, b"new").expect("written");
        }
        assert_eq!(std::fs::read(&victim).expect("there"), b"kept");
        assert_eq!(std::fs::read(&link).expect("there"), b"new");
    }
}
