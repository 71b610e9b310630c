//! A window of recent bytes kept in memory: the hot tail of a log, or of a snapshot that is still arriving.
//!
//! It holds the chunks as they came from the socket, so that relaying a byte to any number of followers copies
//! nothing. Positions are absolute: offsets of a history, or positions in an RDB file.

use std::collections::VecDeque;

use bytes::Bytes;

/// The bytes of `(start, end]`, in the chunks in which they arrived.
#[derive(Debug, Default)]
pub(crate) struct Window {
    start: u64,
    end: u64,
    chunks: VecDeque<(u64, Bytes)>,
}

impl Window {
    /// An empty window at `position`.
    pub(crate) fn at(position: u64) -> Self {
        Self {
            start: position,
            end: position,
            chunks: VecDeque::new(),
        }
    }

    /// The position before the first byte held.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The position after the last byte held.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Appends a chunk; an empty one is ignored.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let begins = self.end;
        self.end += chunk.len() as u64;
        self.chunks.push_back((begins, chunk));
    }

    /// Drops whole chunks from the front while more than `bytes_max` are held, but none that reaches past `keep_from`.
    pub(crate) fn shrink(&mut self, bytes_max: u64, keep_from: u64) {
        while self.len() > bytes_max {
            let Some((begins, chunk)) = self.chunks.front() else {
                return;
            };
            let ends = begins + chunk.len() as u64;
            if ends > keep_from {
                return;
            }
            self.start = ends;
            self.chunks.pop_front();
        }
    }

    /// Forgets every byte after `position`.
    pub(crate) fn truncate(&mut self, position: u64) {
        if position <= self.start {
            *self = Self::at(position);
            return;
        }
        while let Some((begins, chunk)) = self.chunks.back_mut() {
            let keep = position.saturating_sub(*begins);
            if keep >= chunk.len() as u64 {
                break;
            }
            if keep > 0 {
                chunk.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
                break;
            }
            self.chunks.pop_back();
        }
        self.end = self.end.min(position);
    }

    /// The bytes after `from` and up to `upto`, at most about `bytes_max` of them (at least one byte if there is one);
    /// `None` when `from` lies before the window.
    pub(crate) fn slices(&self, from: u64, upto: u64, bytes_max: u64) -> Option<Vec<Bytes>> {
        if from < self.start {
            return None;
        }
        let upto = upto.min(self.end).min(from.saturating_add(bytes_max));
        let mut slices = Vec::new();
        if from >= upto {
            return Some(slices);
        }
        let first = self
            .chunks
            .partition_point(|(begins, chunk)| begins + chunk.len() as u64 <= from);
        for (begins, chunk) in self.chunks.range(first..) {
            if *begins >= upto {
                break;
            }
            let low = from.saturating_sub(*begins);
            let high = (upto - begins).min(chunk.len() as u64);
            slices.push(chunk.slice(index(low)..index(high)));
        }
        Some(slices)
    }
}

fn index(position_in_chunk: u64) -> usize {
    usize::try_from(position_in_chunk).expect("a position inside a chunk in memory fits in usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut window = Window::at(100);
        for chunk in ["abc", "defg", "", "hi"] {
            window.push(Bytes::from_static(chunk.as_bytes()));
        }
        window
    }

    fn text(slices: &[Bytes]) -> String {
        slices
            .iter()
            .map(|slice| String::from_utf8_lossy(slice).into_owned())
            .collect()
    }

    #[test]
    fn any_range_comes_back_as_it_went_in() {
        let (window, all) = (window(), "abcdefghi");
        for from in 0..=9_usize {
            for upto in from..=9 {
                let slices = window
                    .slices(100 + from as u64, 100 + upto as u64, 1000)
                    .expect("inside");
                assert_eq!(text(&slices), all[from..upto]);
            }
        }
        assert_eq!(window.slices(99, 105, 10), None);
        assert_eq!(text(&window.slices(101, 200, 3).expect("inside")), "bcd");
    }

    #[test]
    fn shrinking_keeps_what_is_still_needed() {
        let mut window = window();
        window.shrink(5, 103);
        assert_eq!((window.start(), window.len()), (103, 6));
        window.shrink(5, 109);
        assert_eq!((window.start(), window.len()), (107, 2));
    }

    #[test]
    fn truncation_cuts_inside_a_chunk() {
        for keep in 0..=9 {
            let mut window = window();
            window.truncate(100 + keep);
            assert_eq!(window.end(), 100 + keep);
            let slices = window.slices(window.start(), u64::MAX, 1000).expect("inside");
            assert_eq!(
                text(&slices),
                "abcdefghi"[..usize::try_from(keep).expect("small")]
            );
        }
    }
}
