//! What can be wrong with a full transfer.

use crate::Excerpt;

/// A transfer that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdbError {
    /// The primary answered with an error where the RDB was due.
    #[error("the primary refused to send its RDB: {reply}")]
    Refused {
        /// Its words, without the `-`.
        reply: String,
    },
    /// The bytes are not what the protocol has here.
    #[error("expected {expected} at byte {at} of the RDB transfer, found {found}")]
    Malformed {
        /// What the protocol has here.
        expected: &'static str,
        /// Bytes of the transfer (or of the RDB, for its contents) before this.
        at: u64,
        /// What was there.
        found: Excerpt,
    },
    /// Fewer bytes than any RDB has.
    #[error("the RDB has only {len_bytes} bytes, fewer than the {min_bytes} of an empty one")]
    TooShort {
        /// Its length.
        len_bytes: u64,
        /// The least length.
        min_bytes: u64,
    },
    /// The RDB's contents don't end where the transfer ends.
    #[error(
        "expected the RDB's end opcode 0xff before its checksum at byte {at}, found 0x{found:02x}: it is cut or damaged"
    )]
    NoEnd {
        /// Position of the byte.
        at: u64,
        /// The byte there.
        found: u8,
    },
    /// The checksum at the RDB's end is not that of its contents.
    #[error(
        "the RDB of {len_bytes} bytes is damaged: its checksum is {stored:016x}, its contents have {computed:016x}"
    )]
    Checksum {
        /// Its length.
        len_bytes: u64,
        /// The checksum it ends with.
        stored: u64,
        /// The checksum of what was received.
        computed: u64,
    },
}
