//! A simulated file: what memory shows, what the disk holds, and what is yet to be written.

use std::collections::BTreeSet;

use super::rng::SimRng;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    memory: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ, as far as the system knows.
    dirty: BTreeSet<usize>,
}

impl Inode {
    pub(super) fn with(contents: Vec<u8>) -> Self {
        Self {
            durable: contents.clone(),
            memory: contents,
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.memory.len() < end {
            self.set_len(end);
        }
        self.memory[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let before = self.memory.len();
        self.memory.resize(len, 0);
        if len > before {
            self.dirty.extend(before / SECTOR..=(len - 1) / SECTOR);
        } else {
            self.dirty.retain(|sector| sector * SECTOR < len);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.memory.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.memory, &mut self.durable, sector);
        }
    }

    /// A sync that fails: some of it is written, and all of it counts as written.
    pub(super) fn fail_sync(&mut self, rng: &mut SimRng) {
        if rng.coin() {
            self.durable.resize(self.memory.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if rng.coin() {
                copy_sector(&self.memory, &mut self.durable, sector);
            }
        }
    }

    /// Reads come from the disk again, except for what has yet to be written.
    pub(super) fn forget_cache(&mut self) {
        for sector in 0..self.memory.len().div_ceil(SECTOR) {
            if !self.dirty.contains(&sector) {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(self.memory.len());
                let there = self.durable.len().clamp(from, to);
                self.memory[from..there].copy_from_slice(&self.durable[from..there]);
                self.memory[there..to].fill(0);
            }
        }
    }

    /// What the disk holds after the power failed.
    pub(super) fn crash(&mut self, rng: &mut SimRng) {
        let (old_len, new_len) = (self.durable.len(), self.memory.len());
        let (low, high) = (old_len.min(new_len), old_len.max(new_len));
        let between = low + usize::try_from(rng.below((high - low) as u64 + 1)).unwrap_or(0);
        let how = rng.below(4);
        let len = match how {
            0 => old_len,
            1 => new_len,
            2 => between,
            _ => [old_len, new_len, between][usize::try_from(rng.below(3)).unwrap_or(0)],
        };
        let mut image = self.durable.clone();
        // Where nothing was written the file shows zeros, or what other files left on the disk.
        let garbage = rng.chance(200);
        image.resize(high, 0);
        if garbage {
            image[old_len..]
                .iter_mut()
                .for_each(|byte| *byte = rng.next_u64().to_le_bytes()[0]);
        }
        for sector in &self.dirty {
            let kept = match how {
                0 => false,
                1 => true,
                2 => sector * SECTOR < between,
                _ => rng.coin(),
            };
            if kept {
                copy_sector(&self.memory, &mut image, *sector);
            }
        }
        image.truncate(len);
        *self = Self::with(image);
    }
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}
