//! Memory for what is read from the primary: chunks that are used again once nobody holds a part of them.
//!
//! Fresh memory costs a page fault every 4 KiB, which is felt at hundreds of megabytes a second. A chunk is shared with
//! the tail, the log and the followers; what is left of it here tells when all of them have let it go.

use std::collections::VecDeque;

use bytes::BytesMut;

/// A read takes at most so much.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
/// With less room than this, the next read gets another chunk.
const ROOM_BYTES_MIN: usize = 64 * 1024;
/// Used chunks that are waited for; together they are about the default tail.
const USED_MAX: usize = 80;

/// The chunk that is read into, and those that were.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    used: VecDeque<BytesMut>,
    /// Whether the input is one of these chunks; the first one is the handshake's small buffer.
    gave: bool,
}

impl Chunks {
    /// Makes sure that `input`, which is empty, has room for a large read.
    pub(super) fn make_room(&mut self, input: &mut BytesMut) {
        if !input.is_empty() || input.capacity() >= ROOM_BYTES_MIN {
            return;
        }
        let next = self.next();
        let used = std::mem::replace(input, next);
        if std::mem::replace(&mut self.gave, true) && self.used.len() < USED_MAX {
            self.used.push_back(used);
        }
    }

    /// The oldest used chunk if it is free again, else a new one.
    fn next(&mut self) -> BytesMut {
        if let Some(mut oldest) = self.used.pop_front() {
            if oldest.try_reclaim(CHUNK_BYTES) {
                return oldest;
            }
            self.used.push_front(oldest);
        }
        BytesMut::with_capacity(CHUNK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_used_again_only_when_nobody_holds_a_part_of_it() {
        let mut chunks = Chunks::default();
        let mut input = BytesMut::new();
        let mut held = VecDeque::new();
        let mut addresses = std::collections::BTreeSet::new();
        for round in 0..100_u8 {
            chunks.make_room(&mut input);
            addresses.insert(input.as_ptr() as usize);
            input.resize(input.capacity().min(CHUNK_BYTES), round);
            held.push_back((round, input.split().freeze()));
            if held.len() > 10 {
                held.pop_front();
            }
            assert!(
                held.iter()
                    .all(|(round, bytes)| bytes.iter().all(|byte| byte == round))
            );
        }
        assert!(addresses.len() <= 20, "{} allocations", addresses.len());
    }
}
