//! Who may ask: users with a password each, as a Sentinel's ACL has them. What they may ask is the same for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use sterna_protocol::Secret;

/// The user of those who name none.
pub(crate) const DEFAULT_USER: &str = "default";

/// The users, by name. Without any, everybody is answered.
#[derive(Debug, Clone, Default)]
pub struct Logins(Arc<BTreeMap<String, Secret>>);

/// A file of users makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no user and password: write NAME:PASSWORD, each user once")]
pub struct BadUsers {
    /// Which, from 1 on.
    pub line: usize,
}

impl Logins {
    /// The default user with this password.
    pub fn with_default(password: Secret) -> Self {
        Self(Arc::new(BTreeMap::from([(DEFAULT_USER.to_owned(), password)])))
    }

    /// Those of `text` as well: `NAME:PASSWORD` a line; empty ones and those that begin with `#` are left out.
    pub fn and(&self, text: &[u8]) -> Result<Self, BadUsers> {
        let mut users = (*self.0).clone();
        for (place, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let bad = BadUsers { line: place + 1 };
            let colon = line.iter().position(|byte| *byte == b':').ok_or(bad.clone())?;
            let (name, password) = (&line[..colon], &line[colon + 1..]);
            let fits = !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && !password.is_empty();
            let name = String::from_utf8_lossy(name).into_owned();
            if !fits || users.insert(name, Secret::new(password)).is_some() {
                return Err(bad);
            }
        }
        Ok(Self(Arc::new(users)))
    }

    /// Whether everybody is answered.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the default user has a password.
    pub(crate) fn has_default(&self) -> bool {
        self.0.contains_key(DEFAULT_USER)
    }

    /// Whether this user has this password. Where everybody is answered the default user takes any.
    pub(crate) fn fit(&self, user: &[u8], secret: &Secret) -> bool {
        if self.is_open() {
            return user == DEFAULT_USER.as_bytes();
        }
        let known = std::str::from_utf8(user).ok().and_then(|user| self.0.get(user));
        known.is_some_and(|known| known == secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_line_by_line_and_mistakes_name_the_line_alone() {
        let one = Logins::with_default(Secret::new("first"));
        let all = one
            .and(b"# people\nweb:se:cret\r\n\nbatch:other\n")
            .expect("users");
        for (user, secret) in [("default", "first"), ("web", "se:cret"), ("batch", "other")] {
            assert!(all.fit(user.as_bytes(), &Secret::new(secret)), "{user}");
            assert!(!all.fit(user.as_bytes(), &Secret::new("x")), "{user}");
        }
        assert!(!all.fit(b"nobody", &Secret::new("first")));
        for (bad, line) in [
            ("web", 1),
            ("\nweb:", 2),
            (":x", 1),
            ("a b:x", 1),
            ("web:x\nweb:y", 2),
            ("default:again", 1),
        ] {
            assert_eq!(one.and(bad.as_bytes()).err(), Some(BadUsers { line }), "{bad}");
        }
    }
}
