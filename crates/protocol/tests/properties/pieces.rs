//! Cuts input into pieces, as networks do.

use proptest::prelude::*;
use proptest::sample::Index;

/// Where to cut.
#[derive(Debug, Clone)]
pub(crate) struct Cuts(Vec<Index>);

/// No cut at all, some, or one after every byte.
pub(crate) fn cuts() -> impl Strategy<Value = Cuts> {
    prop::collection::vec(any::<Index>(), 0..12).prop_map(Cuts)
}

impl Cuts {
    /// The pieces of `bytes`; byte by byte where as many cuts as possible were drawn.
    pub(crate) fn pieces<'a>(&self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        if bytes.is_empty() {
            return Vec::new();
        }
        if self.0.len() == 11 {
            return bytes.chunks(1).collect();
        }
        let mut ends: Vec<usize> = self.0.iter().map(|cut| cut.index(bytes.len())).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        ends.into_iter()
            .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
            .collect()
    }
}

/// Well-formed bytes with a few bytes damaged: reaches deeper than pure noise.
pub(crate) fn damaged(bytes: Vec<u8>, damage: &[(Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes;
    if !bytes.is_empty() {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

/// A few bytes to damage, often with bytes that mean something to the protocol.
pub(crate) fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"*$+-:\r\n0123456789".to_vec())];
    prop::collection::vec((any::<Index>(), byte), 0..4)
}
