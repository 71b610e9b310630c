//! The secret with which the nodes of one shard log in: generated, never chosen, compared in constant time.

use std::fmt::Write as _;

use sterna_node::Secret;

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 24;

/// The operating system gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no randomness for a secret: {0}")]
pub struct NoRandomness(getrandom::Error);

/// A new secret, in hexadecimal: safe in a configuration file.
pub fn generate_secret() -> Result<Secret, NoRandomness> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(NoRandomness)?;
    let mut text = String::with_capacity(2 * SECRET_BYTES);
    for byte in random {
        write!(text, "{byte:02x}").expect("a string takes any text");
    }
    Ok(Secret::new(text))
}

/// Compares without telling by its time where the first difference is.
pub(super) fn equal(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = usize::from(expected.len() != given.len());
    for (index, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ expected.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_is_equal() {
        assert!(equal(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abd", b"abcd", b"abc\0"] {
            assert!(!equal(b"abc", wrong), "{wrong:?}");
        }
        assert!(!equal(b"ab\0", b"ab"));
    }

    #[test]
    fn secrets_differ() {
        let (one, other) = (
            generate_secret().expect("random"),
            generate_secret().expect("random"),
        );
        assert_eq!(one.expose().len(), 2 * SECRET_BYTES);
        assert_ne!(one.expose(), other.expose());
    }
}
