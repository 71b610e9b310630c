//! What the tests of the log share.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sterna_log::{Block, Log, LogError, LogFs, LogSettings, Opened};
use sterna_protocol::{Offset, ReplicationId};

/// The id number `number`.
pub(crate) fn id(number: u64) -> ReplicationId {
    format!("{number:040x}").parse().expect("40 hexadecimal digits")
}

pub(crate) fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

/// The stream byte after `offset` in the stream number `stream`: every wrong byte or wrong place shows.
pub(crate) fn stream_byte(stream: u64, offset: u64) -> u8 {
    let mixed = (offset ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed.to_be_bytes()[1]
}

/// The bytes that cover `(from, to]` of a stream.
pub(crate) fn stream_bytes(stream: u64, from: u64, to: u64) -> Bytes {
    (from..to).map(|offset| stream_byte(stream, offset)).collect()
}

/// A block of stream 0 that covers `(from, to]`.
pub(crate) fn block(from: u64, to: u64, ends_on_unit: bool) -> Block {
    Block {
        bytes: vec![stream_bytes(0, from, to)],
        wall_ms: to,
        ends_on_unit,
    }
}

/// Settings small enough that everything happens soon.
pub(crate) fn small() -> LogSettings {
    LogSettings {
        segment_bytes: 1000,
        block_bytes_max: 100,
        max_bytes: 5000,
        ..LogSettings::default()
    }
}

pub(crate) fn open(fs: &Arc<dyn LogFs>, dir: &Path, settings: &LogSettings) -> Result<Opened, LogError> {
    Log::open(Arc::clone(fs), dir, settings.clone())
}

/// Reads all of `(from, to]` in pieces of at most `max` bytes.
pub(crate) fn read_all(reader: &mut sterna_log::LogReader, from: u64, to: u64, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while from + (bytes.len() as u64) < to {
        let next = from + bytes.len() as u64;
        let piece = reader.read(at(next), max, at(to)).expect("the log holds it");
        assert!(!piece.is_empty() && piece.len() <= max);
        bytes.extend_from_slice(&piece);
    }
    bytes
}
