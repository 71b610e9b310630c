//! Secrets that no `{:?}` shows.

use std::fmt;

/// A password. Its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps a password.
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Self(password.into().into_boxed_slice())
    }

    /// The password itself: for the wire and for comparing, never for a message.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What `AUTH` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; `None` is the default user, with the one-argument form of `AUTH`.
    pub user: Option<String>,
    /// The password.
    pub secret: Secret,
}
