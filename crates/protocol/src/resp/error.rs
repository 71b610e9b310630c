//! What can be wrong with RESP input.

use crate::Excerpt;

/// Bytes that are not RESP, or RESP beyond a bound. The reader that gave it can't be used on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// The bytes are not what the protocol has here.
    #[error("expected {expected} at byte {at} of the connection's input, found {found}")]
    Malformed {
        /// What the protocol has here.
        expected: &'static str,
        /// Bytes that this reader consumed before.
        at: u64,
        /// What was there.
        found: Excerpt,
    },
    /// The input is well-formed so far, but larger than what is accepted.
    #[error("{what} at byte {at} of the connection's input is over the limit of {limit}: {found}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Bytes that this reader consumed before.
        at: u64,
        /// The bound.
        limit: u64,
        /// Its beginning.
        found: Excerpt,
    },
}
