//! What the log may look like: one world, or several while it is open which of them an interrupted step has left.

use std::collections::BTreeSet;

use sterna_log::{History, HistoryEntry};
use sterna_protocol::Offset;

use crate::common::at;

/// One possible truth.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The offset before `content[0]`.
    pub(super) origin: u64,
    /// The stream from there on, as far as it was handed to the log.
    pub(super) content: Vec<u8>,
    /// Unit boundaries that the log was told of.
    pub(super) units: BTreeSet<u64>,
    /// Further ones, inside of blocks.
    pub(super) inner_units: BTreeSet<u64>,
    /// Any of these.
    pub(super) histories: Vec<History>,
    /// Where the log starts; up to `start_max` while a step that drops segments is open.
    pub(super) start: u64,
    pub(super) start_max: u64,
    /// What must be there.
    pub(super) durable: u64,
}

/// A log as it was found.
pub(super) struct Observed {
    pub(super) history: History,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) bytes: Vec<u8>,
}

impl World {
    /// An empty log at `offset`.
    pub(super) fn empty(offset: u64, history: History) -> Self {
        Self {
            origin: offset,
            content: Vec::new(),
            units: BTreeSet::from([offset]),
            inner_units: BTreeSet::new(),
            histories: vec![history],
            start: offset,
            start_max: offset,
            durable: offset,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.origin + self.content.len() as u64
    }

    pub(super) fn bytes(&self, from: u64, to: u64) -> &[u8] {
        let index = |offset: u64| usize::try_from(offset - self.origin).expect("in memory");
        &self.content[index(from)..index(to)]
    }

    /// What must be there after a crash: durable bytes up to the last boundary that the log knows.
    pub(super) fn end_min(&self) -> u64 {
        self.units
            .range(..=self.durable)
            .next_back()
            .copied()
            .unwrap_or(self.start)
    }

    /// Why this world is not the one that was found.
    pub(super) fn differs(&self, found: &Observed) -> Option<String> {
        let Observed {
            history,
            start,
            end,
            bytes,
        } = found;
        if !self.histories.contains(history) {
            return Some(format!("history {history:?} is none of {:?}", self.histories));
        }
        if *start < self.start || *start > self.start_max {
            return Some(format!(
                "start {start} is not in {}..={}",
                self.start, self.start_max
            ));
        }
        if *end < self.end_min().max(*start) || *end > self.end() {
            return Some(format!(
                "end {end} is not in {}..={} (durable {})",
                self.end_min(),
                self.end(),
                self.durable
            ));
        }
        if !self.units.contains(end) {
            return Some(format!("end {end} is no unit boundary"));
        }
        (bytes.as_slice() != self.bytes(*start, *end)).then(|| "the bytes differ".to_owned())
    }

    /// This world, now that it is known to be the one; everything in the log is durable.
    pub(super) fn settle(&mut self, found: &Observed) {
        self.cut(found.end);
        self.histories = vec![found.history.clone()];
        (self.start, self.start_max, self.durable) = (found.start, found.start, found.end);
    }

    pub(super) fn cut(&mut self, end: u64) {
        self.content
            .truncate(usize::try_from(end - self.origin).expect("in memory"));
        self.units.split_off(&(end + 1));
        self.inner_units.split_off(&(end + 1));
    }
}

/// A history as the log makes it when nobody can continue before `start` any more.
pub(super) fn without_ids_before(history: &History, history_start: Offset, start: u64) -> History {
    let kept: Vec<HistoryEntry> = history
        .entries()
        .iter()
        .filter(|entry| entry.end.is_none_or(|end| end >= at(start)))
        .copied()
        .collect();
    let json = serde_json::json!({ "start": history_start, "entries": kept });
    serde_json::from_value(json).expect("a history")
}
