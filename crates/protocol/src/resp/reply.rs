//! Reads replies, in RESP2 or RESP3, as they come in.

use bytes::BytesMut;

use super::{RespError, Value};

/// Default bound of one whole reply: a string of the default `proto-max-bulk-len` (512 MiB) and its frame fit.
pub const REPLY_BYTES_MAX: u64 = (512 << 20) + (1 << 20);
/// How deep arrays may nest.
pub const REPLY_DEPTH_MAX: usize = 32;
/// How many elements one reply may have over all its levels.
pub const REPLY_ELEMENTS_MAX: u64 = 16 << 20;
/// How long a line may be: the servers' own bound for inline text (`PROTO_INLINE_MAX_SIZE`).
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;

/// An incremental reader of replies.
#[derive(Debug)]
pub struct ReplyReader {}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyReader {
    /// A reader that takes replies of up to [`REPLY_BYTES_MAX`] bytes.
    pub fn new() -> Self {
        Self::with_limit(REPLY_BYTES_MAX)
    }

    /// A reader that takes replies of up to `reply_bytes_max` bytes.
    pub fn with_limit(reply_bytes_max: u64) -> Self {
        let _ = reply_bytes_max;
        todo!()
    }

    /// Takes the next whole reply off the front of `input`; `None` when more input is needed.
    pub fn feed(&mut self, input: &mut BytesMut) -> Result<Option<Value>, RespError> {
        let _ = input;
        todo!()
    }
}
