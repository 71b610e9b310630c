//! What there is to replicate: histories with the bytes that belong to them, and snapshots.

use std::collections::BTreeMap;

use bytes::Bytes;
use crc::{CRC_64_REDIS, Crc};
use sterna_protocol::{Offset, ReplicationId};

/// The id of forty times this digit.
pub(super) fn id(digit: char) -> ReplicationId {
    digit.to_string().repeat(40).parse().expect("forty digits")
}

/// A command of the stream with a value of `len` bytes.
pub(super) fn set(key: u64, len: usize) -> Vec<u8> {
    let (key, fill) = (key.to_string(), char::from(b'a' + (key % 26) as u8));
    let value = fill.to_string().repeat(len);
    format!(
        "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${len}\r\n{value}\r\n",
        key.len()
    )
    .into_bytes()
}

pub(super) fn getack() -> Vec<u8> {
    b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n".to_vec()
}

/// A right RDB with so many bytes of payload.
pub(super) fn rdb(payload_bytes: usize) -> Bytes {
    rdb_of("REDIS0010", payload_bytes)
}

/// One with this magic and version.
pub(super) fn rdb_of(magic: &str, payload_bytes: usize) -> Bytes {
    let fields = b"\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40\xfe\x00";
    let mut bytes = [magic.as_bytes(), fields].concat();
    bytes.extend((0..=250_u8).cycle().take(payload_bytes));
    bytes.push(0xff);
    let sum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Bytes::from(bytes)
}

/// Who wrote what: the bytes of each history, of which two may share a beginning.
#[derive(Debug, Default)]
pub(super) struct World {
    histories: BTreeMap<ReplicationId, History>,
}

#[derive(Debug, Clone, Default)]
struct History {
    start: u64,
    bytes: Vec<u8>,
    /// The ends of its commands, ascending, its start among them.
    boundaries: Vec<u64>,
}

impl World {
    /// A history that begins at `start`.
    pub(super) fn begin(&mut self, id: ReplicationId, start: u64) {
        let history = History {
            start,
            bytes: Vec::new(),
            boundaries: vec![start],
        };
        self.histories.insert(id, history);
    }

    /// `id` goes on from `at` of `from`.
    pub(super) fn fork(&mut self, id: ReplicationId, from: ReplicationId, at: u64) {
        let mut history = self.histories[&from].clone();
        history
            .bytes
            .truncate(usize::try_from(at - history.start).expect("small"));
        history.boundaries.retain(|boundary| *boundary <= at);
        self.histories.insert(id, history);
    }

    /// The same history again, without what followed `at`: a primary that lost its last writes and kept its id.
    pub(super) fn cut(&mut self, id: ReplicationId, at: u64) {
        self.fork(id, id, at);
    }

    pub(super) fn write(&mut self, id: ReplicationId, command: &[u8]) {
        let history = self.histories.get_mut(&id).expect("known");
        history.bytes.extend_from_slice(command);
        history
            .boundaries
            .push(history.start + history.bytes.len() as u64);
    }

    pub(super) fn knows(&self, id: ReplicationId) -> bool {
        self.histories.contains_key(&id)
    }

    pub(super) fn end(&self, id: ReplicationId) -> u64 {
        *self.histories[&id].boundaries.last().expect("its start at least")
    }

    pub(super) fn start(&self, id: ReplicationId) -> u64 {
        self.histories[&id].start
    }

    /// The last boundary at or before `at`.
    pub(super) fn boundary_before(&self, id: ReplicationId, at: u64) -> u64 {
        let boundaries = &self.histories[&id].boundaries;
        boundaries[boundaries
            .partition_point(|boundary| *boundary <= at)
            .saturating_sub(1)]
    }

    pub(super) fn is_boundary(&self, id: ReplicationId, at: Offset) -> bool {
        self.histories[&id].boundaries.binary_search(&at.get()).is_ok()
    }

    /// The bytes after `from`, up to `upto`.
    pub(super) fn bytes(&self, id: ReplicationId, from: u64, upto: u64) -> &[u8] {
        let history = &self.histories[&id];
        let index = |at: u64| usize::try_from(at - history.start).expect("small");
        &history.bytes[index(from)..index(upto)]
    }
}
