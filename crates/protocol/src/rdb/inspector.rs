//! Watches an RDB pass: reads its header, sums it up, and says at the end whether it is whole.

use std::fmt;

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use super::aux::HeaderReader;
use super::{RdbError, RdbHeader};
use crate::Excerpt;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Length of the checksum at the end.
const CHECKSUM_LEN: usize = 8;
/// Magic, end opcode and checksum: an RDB of nothing.
const RDB_BYTES_MIN: u64 = 18;
/// The opcode before the checksum.
const END: u8 = 0xff;

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
#[derive(Clone)]
pub struct RdbInspector {
    header: HeaderReader,
    len_bytes: u64,
    digest: Digest<'static, u64, Table<16>>,
    /// The last byte that the digest has.
    summed_last: u8,
    /// The last bytes seen: the checksum, if nothing more comes.
    tail: Vec<u8>,
}

impl fmt::Debug for RdbInspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RdbInspector")
            .field("header", &self.header)
            .field("len_bytes", &self.len_bytes)
            .finish_non_exhaustive()
    }
}

impl Default for RdbInspector {
    fn default() -> Self {
        Self::new()
    }
}

impl RdbInspector {
    /// An inspector at the RDB's first byte.
    pub fn new() -> Self {
        Self {
            header: HeaderReader::new(),
            len_bytes: 0,
            digest: CRC.digest(),
            summed_last: 0,
            tail: Vec::with_capacity(CHECKSUM_LEN),
        }
    }

    /// Takes the next payload bytes. Fails where they can't be an RDB (wrong magic).
    pub fn feed(&mut self, payload: &[u8]) -> Result<(), RdbError> {
        self.header.feed(payload)?;
        self.len_bytes += payload.len() as u64;
        // All but the last eight bytes, of the tail first, go into the digest.
        let out = (self.tail.len() + payload.len()).saturating_sub(CHECKSUM_LEN);
        let (summed, kept) = payload.split_at(out.saturating_sub(self.tail.len()));
        let out_of_tail = out.min(self.tail.len());
        self.digest.update(&self.tail[..out_of_tail]);
        self.digest.update(summed);
        if let Some(last) = summed.last().or(self.tail[..out_of_tail].last()) {
            self.summed_last = *last;
        }
        self.tail.drain(..out_of_tail);
        self.tail.extend_from_slice(kept);
        Ok(())
    }

    /// Payload bytes seen.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The header, once all leading auxiliary fields have passed.
    pub fn header(&self) -> Option<&RdbHeader> {
        self.header.header()
    }

    /// Checks the RDB after its last byte: length, end opcode and checksum.
    pub fn finish(&self) -> Result<RdbSummary, RdbError> {
        let len_bytes = self.len_bytes;
        let stored = match <[u8; CHECKSUM_LEN]>::try_from(&self.tail[..]) {
            Ok(stored) if len_bytes >= RDB_BYTES_MIN => u64::from_le_bytes(stored),
            _ => {
                return Err(RdbError::TooShort {
                    len_bytes,
                    min_bytes: RDB_BYTES_MIN,
                });
            }
        };
        if self.summed_last != END {
            return Err(RdbError::NoEnd {
                at: len_bytes - CHECKSUM_LEN as u64 - 1,
                found: self.summed_last,
            });
        }
        let checksum = match self.digest.clone().finalize() {
            _ if stored == 0 => RdbChecksum::Disabled,
            computed if computed == stored => RdbChecksum::Verified(stored),
            computed => {
                return Err(RdbError::Checksum {
                    len_bytes,
                    stored,
                    computed,
                });
            }
        };
        let header = self.header().cloned().ok_or_else(|| RdbError::Malformed {
            expected: "auxiliary fields that end before the RDB does",
            at: len_bytes,
            found: Excerpt::of(&self.tail),
        })?;
        Ok(RdbSummary {
            len_bytes,
            header,
            checksum,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty database as Redis 7.0.15 saves it.
    fn rdb() -> Vec<u8> {
        let mut bytes = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40\xff".to_vec();
        let sum = CRC.checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn inspect(bytes: &[u8], piece_len: usize) -> Result<RdbSummary, RdbError> {
        let mut inspector = RdbInspector::new();
        for piece in bytes.chunks(piece_len) {
            inspector.feed(piece)?;
        }
        inspector.finish()
    }

    #[test]
    fn the_checksum_is_the_servers() {
        // The check value of `crc64()` in the servers' own `crc64.c`.
        assert_eq!(CRC.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn a_whole_rdb_is_verified_in_any_pieces() {
        let bytes = rdb();
        for piece_len in 1..=bytes.len() {
            let summary = inspect(&bytes, piece_len).expect("the RDB is whole");
            assert_eq!(summary.len_bytes, bytes.len() as u64);
            assert!(matches!(summary.checksum, RdbChecksum::Verified(_)));
            assert_eq!(summary.header.server_version(), Some("7.0.15"));
        }
    }

    #[test]
    fn damage_and_cuts_are_found() {
        let bytes = rdb();
        for len in 0..bytes.len() {
            assert!(inspect(&bytes[..len], 16).is_err(), "cut at {len}");
        }
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        assert!(matches!(inspect(&damaged, 16), Err(RdbError::Checksum { .. })));
        assert!(matches!(
            inspect(&[&bytes[..], b"\0"].concat(), 16),
            Err(RdbError::NoEnd { .. })
        ));
    }

    #[test]
    fn a_checksum_of_zero_is_none() {
        let mut bytes = rdb();
        let len = bytes.len();
        bytes[len - 8..].fill(0);
        assert_eq!(
            inspect(&bytes, 16).map(|summary| summary.checksum),
            Ok(RdbChecksum::Disabled)
        );
    }
}
