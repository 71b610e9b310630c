//! The transfer headers that a primary sends.

use bytes::Bytes;

use super::EOF_MARK_LEN;

/// The header of a transfer of exactly `len_bytes` bytes.
pub fn length_header(len_bytes: u64) -> Bytes {
    Bytes::from(format!("${len_bytes}\r\n"))
}

/// The header of a transfer that ends where `mark` comes again.
///
/// Send nothing after the second mark until the follower's first `REPLCONF ACK`: a replica that loads from disk
/// hangs on bytes glued to it.
pub fn eof_header(mark: &[u8; EOF_MARK_LEN]) -> Bytes {
    Bytes::from([b"$EOF:", mark.as_slice(), b"\r\n"].concat())
}
