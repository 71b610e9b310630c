//! Passwords: kept so that no log, error, answer or debug dump can show them.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// What stands in the place of a secret wherever one is printed.
const MASK: &str = "***";

/// A password or key. `Debug`, `Display` and `Serialize` all give `***`; [`Secret::expose`] gives the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Wraps a secret that is already in memory.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Arc::from(secret.as_ref()))
    }

    /// Reads a secret from the environment variable `name`.
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        use std::os::unix::ffi::OsStrExt;
        let text = std::env::var_os(name).ok_or_else(|| SecretError::NoVariable {
            name: name.to_owned(),
        })?;
        let secret = Self(Arc::from(text.as_bytes()));
        if secret.0.is_empty() {
            return Err(SecretError::EmptyVariable {
                name: name.to_owned(),
            });
        }
        Ok(secret)
    }

    /// Reads a secret from a file, without the one newline that an editor leaves at its end.
    pub fn from_file(path: &Path) -> Result<LoadedSecret, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read(path).map_err(unreadable)?;
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        let trimmed = text.strip_suffix(b"\n").unwrap_or(&text);
        let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
        if trimmed.is_empty() {
            return Err(SecretError::EmptyFile {
                path: path.to_owned(),
            });
        }
        let warning = (mode & 0o004 != 0).then(|| {
            format!(
                "{} can be read by every user of this machine (mode {:03o}); run: chmod 600 {}",
                path.display(),
                mode & 0o777,
                path.display()
            )
        });
        Ok(LoadedSecret {
            secret: Self(Arc::from(trimmed)),
            warning,
        })
    }

    /// The secret itself, to be put on the wire and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// A secret from a file, with what a person should know about the file.
#[derive(Debug, Clone)]
pub struct LoadedSecret {
    /// The secret.
    pub secret: Secret,
    /// Set when other users of the machine can read the file.
    pub warning: Option<String>,
}

/// Where a secret is to be read from, when it is not written in the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret.
    pub fn load(&self) -> Result<LoadedSecret, SecretError> {
        match self {
            Self::Env(name) => Ok(LoadedSecret {
                secret: Secret::from_env(name)?,
                warning: None,
            }),
            Self::File(path) => Secret::from_file(path),
        }
    }
}

/// A secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {name} is not set; nothing was started")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The variable is set to nothing.
    #[error("the environment variable {name} is empty; nothing was started")]
    EmptyVariable {
        /// Its name.
        name: String,
    },
    /// The file can't be read.
    #[error("the secret file {} can't be read: {source}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("the secret file {} is empty", path.display())]
    EmptyFile {
        /// Its path.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_a_secret() {
        let secret = Secret::new("hunter2");
        let json = serde_json::to_string(&secret).expect("a string");
        assert_eq!(format!("{secret} {secret:?} {json}"), "*** *** \"***\"");
        assert_eq!(secret.expose(), b"hunter2");
    }

    #[test]
    fn a_file_loses_one_newline_and_open_permissions_are_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("password");
        std::fs::write(&path, b"pass word\n\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let loaded = Secret::from_file(&path).expect("readable");
        assert_eq!(loaded.secret.expose(), b"pass word\n");
        assert!(loaded.warning.expect("a warning").contains("mode 644"));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(Secret::from_file(&path).expect("readable").warning.is_none());
        std::fs::write(&path, b"\n").expect("written");
        assert!(matches!(
            Secret::from_file(&path),
            Err(SecretError::EmptyFile { .. })
        ));
        assert!(matches!(
            Secret::from_file(&dir.path().join("none")),
            Err(SecretError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = Secret::from_env("STERNA_TEST_NO_SUCH_VARIABLE").expect_err("not set");
        assert!(error.to_string().contains("STERNA_TEST_NO_SUCH_VARIABLE"));
    }
}
