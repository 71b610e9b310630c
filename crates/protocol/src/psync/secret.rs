//! Secrets that no `{:?}` shows, that are wiped when dropped, and whose comparison tells nothing by its time.

use std::fmt;
use std::hint::black_box;

/// A password.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps a password.
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Self(password.into().into_boxed_slice())
    }

    /// The password itself: for the wire, never for a message. Compare secrets with `==`, not what this gives.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Looks at every byte whatever the first ones are; only a difference in length shows.
    fn eq(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
        self.0.len() == other.0.len() && difference == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving out a write that nothing reads.
        black_box(&self.0);
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
            secret: Secret::new("hunter2"),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
