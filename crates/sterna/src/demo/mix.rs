//! Mixed data: commands of many kinds with values that don't compress, the same in every run.

mod fill;

use bytes::BytesMut;
use sterna_protocol::resp::encode_command;

pub(super) use fill::Fill;

/// The database of data that lives for seconds only. They have it to themselves, because a server that samples keys
/// for expiry finds the last ones soon only where most keys are due.
pub(super) const SHORT_LIVED_DB: u32 = 3;

/// Values are cut from so much noise.
const NOISE_BYTES: usize = 2 << 20;

/// Commands on their way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: BytesMut,
}

impl Batch {
    /// Adds a command.
    pub(super) fn push(&mut self, args: &[&[u8]]) {
        encode_command(&mut self.bytes, args);
    }

    /// Adds a command whose words have no spaces.
    pub(super) fn words(&mut self, command: &str) {
        let args: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        self.push(&args);
    }

    /// Selects a database.
    pub(super) fn select(&mut self, db: u32) {
        self.words(&format!("SELECT {db}"));
    }

    /// Makes room for the next batch.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Numbers and values out of a fixed sequence.
#[derive(Debug)]
struct Noise {
    state: u64,
    text: Vec<u8>,
}

impl Noise {
    fn new(seed: u64) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut noise = Self {
            state: seed,
            text: Vec::new(),
        };
        let text = (0..NOISE_BYTES).map(|_| LETTERS[noise.below(64)]).collect();
        noise.text = text;
        noise
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is small.
    fn below(&mut self, limit: usize) -> usize {
        let number = self.next() % u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(number).unwrap_or(0)
    }

    /// A value of `least` to `most` bytes.
    fn value(&mut self, least: usize, most: usize) -> Vec<u8> {
        let len = least + self.below(most - least + 1);
        let from = self.below(self.text.len() - len);
        self.text[from..from + len].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_the_same_data() {
        let filled = || {
            let (mut fill, mut batch) = (Fill::new(), Batch::default());
            for _ in 0..100 {
                fill.push(&mut batch);
            }
            batch.bytes
        };
        assert_eq!(filled(), filled());
    }
}
