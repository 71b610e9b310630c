//! What can be wrong with a replication stream.

use crate::{Excerpt, Offset};

/// The stream is not one that a primary sends; a follower given it would break. Nothing past `unit_end` may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes are not what the protocol has here.
    #[error("expected {expected} in the replication stream after offset {offset}, found {found}")]
    Malformed {
        /// What the protocol has here.
        expected: &'static str,
        /// Offset before the first wrong byte.
        offset: Offset,
        /// What was there.
        found: Excerpt,
    },
    /// A well-formed command where a primary never sends it.
    #[error("{problem} in the replication stream, in the command after offset {offset}: {found}")]
    Misplaced {
        /// What is wrong.
        problem: &'static str,
        /// Offset before the command.
        offset: Offset,
        /// The command's first arguments.
        found: Excerpt,
    },
    /// A length beyond what any server accepts.
    #[error("{what} after offset {offset} of the replication stream is over the limit of {limit}: {found}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Offset before the length.
        offset: Offset,
        /// The bound.
        limit: u64,
        /// The header.
        found: Excerpt,
    },
    /// The bytes end inside a command (only from [`super::Commands`]; the scanner waits for more).
    #[error("the replication stream ends at offset {end}, inside the command after offset {offset}: {found}")]
    Truncated {
        /// Offset before the command.
        offset: Offset,
        /// Where the bytes end.
        end: Offset,
        /// The command's beginning.
        found: Excerpt,
    },
}

impl StreamError {
    /// Where it is: the offset before the first wrong byte, or before the wrong command.
    pub fn offset(&self) -> Offset {
        match self {
            Self::Malformed { offset, .. }
            | Self::Misplaced { offset, .. }
            | Self::TooLarge { offset, .. }
            | Self::Truncated { offset, .. } => *offset,
        }
    }
}
