//! The framing of an RDB after `+FULLRESYNC`, in both of its forms.

use bytes::Bytes;

use super::RdbError;

/// Length of the mark of an EOF-marked transfer.
pub const EOF_MARK_LEN: usize = 40;

/// How the primary says where the RDB ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RdbForm {
    /// `$<len>`: after this many bytes.
    Length(u64),
    /// `$EOF:<mark>`: where the mark comes again.
    Eof,
}

/// What a transfer brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RdbEvent {
    /// A newline before the header: the primary is alive and makes its RDB.
    Keepalive,
    /// The header.
    Start(RdbForm),
    /// The next bytes of the RDB, never empty.
    Payload(Bytes),
    /// The RDB is complete; what is left in the input is the stream.
    End,
}

/// Reads one transfer.
#[derive(Debug)]
pub struct RdbTransfer {}

impl Default for RdbTransfer {
    fn default() -> Self {
        Self::new()
    }
}

impl RdbTransfer {
    /// A reader of what follows `+FULLRESYNC`.
    pub fn new() -> Self {
        Self {}
    }

    /// Takes the next event off the front of `input`; call it until it gives `None`, which means that more input is
    /// needed or, after [`RdbEvent::End`], that the rest is not the transfer's.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<RdbEvent>, RdbError> {
        let _ = input;
        todo!()
    }

    /// Payload bytes given out so far.
    pub fn payload_bytes(&self) -> u64 {
        todo!()
    }
}
