//! Watches an RDB pass: reads its header, sums it up, and says at the end whether it is whole.

use super::{RdbError, RdbHeader};

/// What became of the checksum at an RDB's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RdbChecksum {
    /// It is that of the contents.
    Verified(u64),
    /// The server writes none (`rdbchecksum no`).
    Disabled,
}

/// A whole RDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdbSummary {
    /// Its length, checksum included.
    pub len_bytes: u64,
    /// What it says about itself.
    pub header: RdbHeader,
    /// Whether its checksum could be verified.
    pub checksum: RdbChecksum,
}

/// Observes the payload of a transfer.
#[derive(Debug, Clone)]
pub struct RdbInspector {}

impl Default for RdbInspector {
    fn default() -> Self {
        Self::new()
    }
}

impl RdbInspector {
    /// An inspector at the RDB's first byte.
    pub fn new() -> Self {
        Self {}
    }

    /// Takes the next payload bytes. Fails where they can't be an RDB (wrong magic).
    pub fn feed(&mut self, payload: &[u8]) -> Result<(), RdbError> {
        let _ = payload;
        todo!()
    }

    /// Payload bytes seen.
    pub fn len_bytes(&self) -> u64 {
        todo!()
    }

    /// The header, once all leading auxiliary fields have passed.
    pub fn header(&self) -> Option<&RdbHeader> {
        todo!()
    }

    /// Checks the RDB after its last byte: length, end opcode and checksum.
    pub fn finish(&self) -> Result<RdbSummary, RdbError> {
        todo!()
    }
}
