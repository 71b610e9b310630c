//! Passwords and keys: no `{:?}` and no error shows them, they are wiped when the last copy is dropped, and how long a
//! comparison takes tells nothing of them.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What stands in the place of a secret wherever one is printed.
const MASK: &str = "***";

/// A password or key. `Debug` and `Display` give `***`, and it is no JSON: a file that must hold it says so with
/// [`exposed`]. Clones share the memory, which is wiped with the last of them.
#[derive(Clone, Default)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes a secret over. What is borrowed is copied, and the original stays with the caller.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(secret.into())))
    }

    /// The secret itself, to be put on the wire and nowhere else. Compare secrets with `==`, not what this gives.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    /// Looks at every byte whatever the first ones are; only a difference in length shows.
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

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

/// As whom to log in with `AUTH`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; none means `default`, with the form of `AUTH` that every version knows.
    pub user: Option<String>,
    /// The password. Without it a user logs in with an empty one, and without both there is no `AUTH` at all.
    pub password: Option<Secret>,
}

/// For a field that is written as it is, into what nobody else can read: `#[serde(with = "sterna_protocol::secret::exposed")]`.
/// Only text can be written; anything else is an error.
pub mod exposed {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Error as _, Serializer};

    use super::Secret;

    /// Writes the secret.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(secret.expose());
        serializer.serialize_str(text.map_err(|_| S::Error::custom("a secret that is not text"))?)
    }

    /// Reads it back.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole_and_never_shown() {
        assert_eq!(Secret::new("hunter2"), Secret::new("hunter2"));
        for other in ["", "hunter", "hunter3", "hunter22", "Hunter2"] {
            assert_ne!(Secret::new("hunter2"), Secret::new(other));
        }
        let credentials = Credentials {
            user: None,
            password: Some(Secret::new("hunter2")),
        };
        let secret = Secret::new("hunter2");
        assert_eq!(secret.expose(), b"hunter2");
        let printed = format!("{secret} {secret:?} {credentials:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(format!("{secret}"), "***");
    }
}
