//! The index's binary form: a header, then one fixed-size record for each block of the segment.
//!
//! All numbers are little endian. A record says what a block is and carries a checksum of itself that also covers the
//! segment's start, so that a record which strayed in from another segment never counts.
//!
//! ```text
//! header  magic[8] version:u32 flags:u32 start:u64 zero:u32 crc32c:u32
//! record  end:u64 wall_ms:u64 length:u32 block_crc32c:u32 flags:u32 crc32c:u32
//! ```

use sterna_protocol::Offset;

/// Size of the header and of each record, in bytes: no record crosses a disk sector.
pub(crate) const ENTRY_BYTES: usize = 32;
/// Version of this form.
pub(crate) const INDEX_VERSION: u32 = 1;
/// Largest block that a record may describe.
pub(crate) const BLOCK_BYTES_LIMIT: u32 = 64 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"STERNAIX";
const CRC_AT: usize = ENTRY_BYTES - 4;

const STARTS_ON_UNIT: u32 = 1;
const ENDS_ON_UNIT: u32 = 1;
const AFTER_SYNC: u32 = 2;

/// The first 32 bytes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    /// The segment holds what follows this offset.
    pub(crate) start: Offset,
    /// Whether `start` is a unit boundary.
    pub(crate) starts_on_unit: bool,
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexRecord {
    /// The offset after the block's last byte.
    pub(crate) end: Offset,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// Its length in bytes, at least 1.
    pub(crate) len: u32,
    /// CRC32C of its bytes.
    pub(crate) crc: u32,
    /// Whether it ends on a unit boundary.
    pub(crate) ends_on_unit: bool,
    /// Whether everything before it had been synced when it was written: damage there is not a torn write.
    pub(crate) after_sync: bool,
}

/// Why 32 bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Fewer bytes, another magic, or a wrong checksum.
    Invalid,
    /// A version that this code doesn't know.
    Version(u32),
}

impl IndexHeader {
    pub(crate) fn encode(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&INDEX_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&flag(self.starts_on_unit, STARTS_ON_UNIT).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.start.get().to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = bytes.first_chunk::<ENTRY_BYTES>() else {
            return Err(BadHeader::Invalid);
        };
        if bytes[..8] != MAGIC || u32_at(bytes, CRC_AT) != crc32c::crc32c(&bytes[..CRC_AT]) {
            return Err(BadHeader::Invalid);
        }
        let flags = u32_at(bytes, 12);
        match u32_at(bytes, 8) {
            INDEX_VERSION if flags & !STARTS_ON_UNIT == 0 => {}
            INDEX_VERSION => return Err(BadHeader::Invalid),
            version => return Err(BadHeader::Version(version)),
        }
        Ok(Self {
            start: Offset::new(u64_at(bytes, 16)),
            starts_on_unit: flags & STARTS_ON_UNIT != 0,
        })
    }
}

impl IndexRecord {
    /// The offset before the block's first byte.
    pub(crate) fn start(&self) -> Offset {
        Offset::new(self.end.get() - u64::from(self.len))
    }

    pub(crate) fn encode(self, segment_start: Offset) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.end.get().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.wall_ms.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.crc.to_le_bytes());
        let flags = flag(self.ends_on_unit, ENDS_ON_UNIT) | flag(self.after_sync, AFTER_SYNC);
        bytes[24..28].copy_from_slice(&flags.to_le_bytes());
        let crc = record_crc(&bytes, segment_start);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if this is no record of that segment.
    pub(crate) fn decode(bytes: &[u8], segment_start: Offset) -> Option<Self> {
        let bytes = bytes.first_chunk::<ENTRY_BYTES>()?;
        if u32_at(bytes, CRC_AT) != record_crc(bytes, segment_start) {
            return None;
        }
        let (end, len, flags) = (u64_at(bytes, 0), u32_at(bytes, 16), u32_at(bytes, 24));
        let fits = end
            .checked_sub(u64::from(len))
            .is_some_and(|start| start >= segment_start.get());
        if len == 0 || len > BLOCK_BYTES_LIMIT || !fits || flags & !(ENDS_ON_UNIT | AFTER_SYNC) != 0 {
            return None;
        }
        Some(Self {
            end: Offset::new(end),
            wall_ms: u64_at(bytes, 8),
            len,
            crc: u32_at(bytes, 20),
            ends_on_unit: flags & ENDS_ON_UNIT != 0,
            after_sync: flags & AFTER_SYNC != 0,
        })
    }
}

/// Where record number `record` stands in the file.
pub(crate) fn record_position(record: u64) -> u64 {
    (record + 1) * ENTRY_BYTES as u64
}

/// How many whole records a file of that length has.
pub(crate) fn records_in(file_len: u64) -> u64 {
    (file_len / ENTRY_BYTES as u64).saturating_sub(1)
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

fn record_crc(bytes: &[u8; ENTRY_BYTES], segment_start: Offset) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&segment_start.get().to_le_bytes()),
        &bytes[..CRC_AT],
    )
}

fn u32_at(bytes: &[u8; ENTRY_BYTES], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8; ENTRY_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(end: u64, len: u32, wall_ms: u64, flags: (bool, bool)) -> IndexRecord {
        let (ends_on_unit, after_sync) = flags;
        IndexRecord {
            end: Offset::new(end),
            wall_ms,
            len,
            crc: 7,
            ends_on_unit,
            after_sync,
        }
    }

    proptest! {
        #[test]
        fn records_are_read_back_and_no_changed_bit_passes(
            start in 0..u64::MAX / 2, before in 0..u64::MAX / 4, len in 1..=BLOCK_BYTES_LIMIT, wall_ms: u64,
            flags: (bool, bool), bit in 0..ENTRY_BYTES * 8,
        ) {
            let record = record(start + before + u64::from(len), len, wall_ms, flags);
            let mut bytes = record.encode(Offset::new(start));
            prop_assert_eq!(IndexRecord::decode(&bytes, Offset::new(start)), Some(record));
            prop_assert_eq!(IndexRecord::decode(&bytes, Offset::new(start + 1)), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(IndexRecord::decode(&bytes, Offset::new(start)), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: [u8; ENTRY_BYTES], start: u64) {
            let _ = IndexRecord::decode(&bytes, Offset::new(start));
            let _ = IndexHeader::decode(&bytes);
        }
    }

    #[test]
    fn zeros_are_no_record() {
        for start in [0, 1, 4096] {
            assert_eq!(IndexRecord::decode(&[0; ENTRY_BYTES], Offset::new(start)), None);
        }
    }

    #[test]
    fn a_header_of_another_version_is_told_from_a_torn_one() {
        let header = IndexHeader {
            start: Offset::new(5),
            starts_on_unit: true,
        };
        let mut bytes = header.encode();
        assert_eq!(IndexHeader::decode(&bytes), Ok(header));
        assert_eq!(IndexHeader::decode(&bytes[..31]), Err(BadHeader::Invalid));
        bytes[8] = 2;
        assert_eq!(IndexHeader::decode(&bytes), Err(BadHeader::Invalid));
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(IndexHeader::decode(&bytes), Err(BadHeader::Version(2)));
    }
}
