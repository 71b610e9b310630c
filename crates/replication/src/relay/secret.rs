//! The secret with which the nodes of one shard log in: generated, never chosen.

use std::fmt::Write as _;

use sterna_protocol::Secret;

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

#[cfg(test)]
mod tests {
    use super::*;

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
