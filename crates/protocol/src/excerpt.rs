//! A short, printable look at raw bytes, for error messages.

use std::fmt;

/// How many bytes of input an error shows at most.
pub const EXCERPT_BYTES_MAX: usize = 64;

/// Up to [`EXCERPT_BYTES_MAX`] bytes of input, escaped so that any terminal or log can show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Takes the beginning of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
        let cut = if shown.len() < bytes.len() { "…" } else { "" };
        Self(format!("\"{}{cut}\"", shown.escape_ascii()).into_boxed_str())
    }

    /// The quoted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_control_bytes_and_never_more_than_the_bound() {
        assert_eq!(Excerpt::of(b"+OK\r\n\xff\"").to_string(), r#""+OK\r\n\xff\"""#);
        let long = Excerpt::of(&[b'a'; 65]);
        assert_eq!(long.as_str(), format!("\"{}…\"", "a".repeat(64)));
    }
}
