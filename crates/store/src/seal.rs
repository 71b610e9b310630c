//! Sealing: what is secret is kept encrypted, with a key from a file apart from the store.
//!
//! AES-256-GCM with a random nonce for each sealing; the key in the store is authenticated with it, so that a sealed
//! value can't be moved to another place. A copy of the store without the key file gives no password away.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::HEXLOWER;

use crate::error::StoreError;

/// The size of a key file.
const KEY_BYTES: usize = 32;

/// The first byte of a sealed value: which layout and which algorithm follow.
const FORMAT_AES_256_GCM: u8 = 1;

/// Seals and opens. The key is in no message.
pub struct Sealer {
    key: RandomizedNonceKey,
}

impl Sealer {
    /// Reads the key file; makes one, readable by its owner alone, where there is none.
    /// [`StoreError::Unusable`] where others may read it, or where it is not one.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        match OpenOptions::new().read(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|error| trouble(path, "can't be made", &error))?;
                Self::load(path)
            }
            Err(error) => Err(trouble(path, "can't be opened", &error)),
            Ok(file) => Self::read(path, file),
        }
    }

    /// Reads the key file, which must be there.
    pub(crate) fn load(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| trouble(path, "can't be opened", &error))?;
        Self::read(path, file)
    }

    fn read(path: &Path, file: File) -> Result<Self, StoreError> {
        let metadata = file
            .metadata()
            .map_err(|error| trouble(path, "can't be read", &error))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(StoreError::Unusable {
                reason: format!(
                    "others may read the key file {path} (mode {:04o}), and with it every sealed password. Run \
                     `chmod 600 {path}`, and change the passwords if somebody may have read it",
                    metadata.mode() & 0o7777,
                    path = path.display(),
                ),
            });
        }
        let mut key = Vec::with_capacity(KEY_BYTES + 1);
        file.take(KEY_BYTES as u64 + 1)
            .read_to_end(&mut key)
            .map_err(|error| trouble(path, "can't be read", &error))?;
        if key.len() != KEY_BYTES {
            return Err(StoreError::Unusable {
                reason: format!(
                    "{} is not a key file: one has exactly {KEY_BYTES} bytes. Put the right one back, or set another \
                     path for the key file",
                    path.display()
                ),
            });
        }
        Ok(Self::with_key(&key))
    }

    fn with_key(key: &[u8]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has the algorithm's length");
        Self { key }
    }

    /// Encrypts `bytes` for the place `key` in the store.
    pub fn seal(&self, key: &str, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut body = bytes.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(key.as_bytes()), &mut body)
            .map_err(|_| StoreError::Unusable {
                reason: format!("{key} could not be encrypted"),
            })?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(FORMAT_AES_256_GCM);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Decrypts what was sealed for the place `key`. [`StoreError::Damaged`] where it has no format that is known,
    /// [`StoreError::Unsealable`] where it was changed, moved, or sealed with another key.
    pub fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = |reason: String| StoreError::Damaged {
            key: key.to_owned(),
            reason,
        };
        let (&format, rest) = sealed
            .split_first()
            .ok_or_else(|| damaged("it is empty".to_owned()))?;
        if format != FORMAT_AES_256_GCM {
            return Err(damaged(format!(
                "it is sealed in format {format}, and this version knows {FORMAT_AES_256_GCM} only"
            )));
        }
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(|| damaged("it is cut short".to_owned()))?;
        let mut body = body.to_vec();
        let plain = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(key.as_bytes()),
                &mut body,
            )
            .map_err(|_| StoreError::Unsealable { key: key.to_owned() })?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

/// Makes a key file: whole or not at all, and on disk when this returns.
fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    let no_random = |_| io::Error::other("the system gives no random bytes");
    aws_lc_rs::rand::fill(&mut key).map_err(no_random)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    // A name of its own, for several gateways may share a key file, and all of them may find it missing.
    let mut mark = [0; 8];
    aws_lc_rs::rand::fill(&mut mark).map_err(no_random)?;
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", HEXLOWER.encode(&mark)));
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // A link, and not a rename: it never replaces a key that somebody else made meanwhile.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(dir)?.sync_all()
}

fn trouble(path: &Path, what: &str, error: &io::Error) -> StoreError {
    StoreError::Unusable {
        reason: format!("the key file {} {what}: {error}", path.display()),
    }
}
