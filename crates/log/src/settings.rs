//! What can be set about a log, with units and defaults.

use std::time::Duration;

use crate::index::BLOCK_BYTES_LIMIT;

const MIB: u64 = 1024 * 1024;

/// Settings of one shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Bytes of stream after which a new segment is started. Retention drops whole segments, so this is also its
    /// grain. Default 64 MiB.
    pub segment_bytes: u64,
    /// Blocks after which a new segment is started whatever its size: it bounds the index (32 bytes a block).
    /// Default 65 536.
    pub segment_blocks_max: u32,
    /// Largest block, in bytes: what a reader must read and check at once. Larger ones are split. Default 1 MiB, at
    /// most 64 MiB.
    pub block_bytes_max: u32,
    /// Bytes that segments and their indexes may take before retention drops the oldest. Default 8 GiB.
    pub max_bytes: u64,
    /// Age after which retention drops a segment, counted from its last block. Default none: only the size counts.
    pub max_age: Option<Duration>,
    /// How many dropped segment files are kept to be written over as new ones: rewriting pages that are still cached
    /// costs less processor time than touching new ones. Default 0: none.
    pub spare_segments: u32,
}

/// A log of its largest size has at least so many segments...
const SEGMENTS_MIN: u64 = 16;
/// ...but none is smaller than this.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

impl LogSettings {
    /// The usual settings for a log of at most `max_bytes`. Retention drops whole segments, so a small log has small
    /// ones.
    pub fn with_max_bytes(max_bytes: u64) -> Self {
        let default = Self::default();
        Self {
            segment_bytes: (max_bytes / SEGMENTS_MIN).clamp(SEGMENT_BYTES_MIN, default.segment_bytes),
            max_bytes,
            ..default
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            segment_blocks_max: 65_536,
            block_bytes_max: 1024 * 1024,
            max_bytes: 8 * 1024 * MIB,
            max_age: None,
            spare_segments: 0,
        }
    }
}

impl LogSettings {
    /// The nearest settings that make sense: nothing is 0, and no block is larger than a reader accepts.
    pub(crate) fn clamped(self) -> Self {
        Self {
            segment_bytes: self.segment_bytes.max(1),
            segment_blocks_max: self.segment_blocks_max.max(1),
            block_bytes_max: self.block_bytes_max.clamp(1, BLOCK_BYTES_LIMIT),
            ..self
        }
    }
}
