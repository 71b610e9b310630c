//! Where passwords are read from: the environment, or files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sterna_protocol::Secret;

use crate::files;

/// The largest file that a secret is read from: one of users of discovery, with a password for each.
const SECRET_BYTES_MAX: usize = 1 << 20;

/// A secret from a file, with what a person should know about the file.
#[derive(Debug, Clone)]
pub struct LoadedSecret {
    pub secret: Secret,
    /// Set when other users of the machine can read the file.
    pub warning: Option<String>,
}

impl LoadedSecret {
    /// Reads a secret from a file, without the one newline that an editor leaves at its end.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = files::read_small(path, SECRET_BYTES_MAX).map_err(unreadable)?;
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
        Ok(Self {
            secret: Secret::new(trimmed),
            warning,
        })
    }
}

/// Where a secret is to be read from, when it is not written in the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret.
    pub fn load(&self) -> Result<LoadedSecret, SecretError> {
        match self {
            Self::Env(name) => Ok(LoadedSecret {
                secret: from_env(name)?,
                warning: None,
            }),
            Self::File(path) => LoadedSecret::from_file(path),
        }
    }
}

fn from_env(name: &str) -> Result<Secret, SecretError> {
    let text = std::env::var_os(name).ok_or_else(|| SecretError::NoVariable {
        name: name.to_owned(),
    })?;
    let secret = Secret::new(text.into_encoded_bytes());
    if secret.is_empty() {
        return Err(SecretError::EmptyVariable {
            name: name.to_owned(),
        });
    }
    Ok(secret)
}

/// A secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {name} is not set; nothing was started")]
    NoVariable { name: String },
    /// The variable is set to nothing.
    #[error("the environment variable {name} is empty; nothing was started")]
    EmptyVariable { name: String },
    /// The file can't be read.
    #[error("the secret file {} can't be read: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("the secret file {} is empty", path.display())]
    EmptyFile { path: PathBuf },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_loses_one_newline_and_open_permissions_are_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("password");
        std::fs::write(&path, b"pass word\n\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let loaded = LoadedSecret::from_file(&path).expect("readable");
        assert_eq!(loaded.secret.expose(), b"pass word\n");
        assert!(loaded.warning.expect("a warning").contains("mode 644"));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(
            LoadedSecret::from_file(&path)
                .expect("readable")
                .warning
                .is_none()
        );
        std::fs::write(&path, b"\n").expect("written");
        assert!(matches!(
            LoadedSecret::from_file(&path),
            Err(SecretError::EmptyFile { .. })
        ));
        assert!(matches!(
            LoadedSecret::from_file(&dir.path().join("none")),
            Err(SecretError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = from_env("STERNA_TEST_NO_SUCH_VARIABLE").expect_err("not set");
        assert!(error.to_string().contains("STERNA_TEST_NO_SUCH_VARIABLE"));
    }
}
