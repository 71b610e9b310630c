//! The chain of replication ids that a log has lived through.
//!
//! Each change of primary gives the stream a new id; the bytes go on without a break. A follower that knows an older id
//! may continue as long as it isn't past the point where that id ended.

use serde::{Deserialize, Serialize};
use sterna_protocol::{Offset, ReplicationId, RunId};

/// Ids that a chain keeps; beyond that the oldest is forgotten, and a follower that knows nothing newer needs a full
/// synchronisation.
pub const HISTORY_ENTRIES_MAX: usize = 1000;

/// One id of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    pub id: ReplicationId,
    /// The last offset that belongs to it; `None` for the current id, which goes on.
    pub end: Option<Offset>,
}

/// The chain, oldest id first; the last one is current. Empty before the first synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    start: Offset,
    entries: Vec<HistoryEntry>,
    /// The primary's process that the newest of the current id came from, where that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<RunId>,
}

/// The chain can't be changed in that way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The id ended earlier in this chain, so its name would mean two things.
    #[error("replication id {id} already ended at offset {ended} of this history and can't continue it")]
    Reused { id: ReplicationId, ended: Offset },
    /// There is no chain to extend.
    #[error("there is no history to continue with replication id {id}")]
    Empty { id: ReplicationId },
}

impl History {
    /// A new chain: everything after `start` belongs to `id`.
    pub fn begin(id: ReplicationId, start: Offset) -> Self {
        Self {
            start,
            entries: vec![HistoryEntry { id, end: None }],
            process: None,
        }
    }

    /// The offset at which this log was begun, or begun anew after a gap. Retention may have moved the log's own start
    /// further.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The chain, oldest id first.
    pub fn entries(&self) -> &[HistoryEntry] {
        &self.entries
    }

    /// The id that the stream has now.
    pub fn current(&self) -> Option<ReplicationId> {
        self.entries.last().map(|entry| entry.id)
    }

    /// The primary's process that the newest of the current id came from, where that was noted: while it lives, it has
    /// whatever is here, also under another id.
    pub fn process(&self) -> Option<RunId> {
        self.process
    }

    /// The stream comes from this process from now on.
    pub(crate) fn note_process(&mut self, process: RunId) {
        self.process = Some(process);
    }

    /// Whether somebody who holds `offset` of history `id` holds a prefix of this one. Whether the bytes that follow are
    /// still in the log, or in it already, is for the caller to see.
    pub fn covers(&self, id: ReplicationId, offset: Offset) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.id == id && entry.end.is_none_or(|end| offset <= end))
    }

    /// The last offset of an id: `None` if the id is unknown or is current and goes on.
    pub fn end_of(&self, id: ReplicationId) -> Option<Offset> {
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .and_then(|entry| entry.end)
    }

    /// The stream goes on under a new id after `at`. Extending with the current id changes nothing.
    pub fn extend(&mut self, id: ReplicationId, at: Offset) -> Result<(), HistoryError> {
        match self.entries.iter().find(|entry| entry.id == id) {
            Some(HistoryEntry { end: None, .. }) => return Ok(()),
            Some(HistoryEntry { end: Some(ended), .. }) => {
                return Err(HistoryError::Reused { id, ended: *ended });
            }
            None if self.entries.is_empty() => return Err(HistoryError::Empty { id }),
            None => {}
        }
        // What follows `at` is the new id's alone, even if an older id had claimed it before a truncation.
        for entry in &mut self.entries {
            entry.end = Some(entry.end.map_or(at, |end| end.min(at)));
        }
        self.entries.push(HistoryEntry { id, end: None });
        self.process = None;
        let surplus = self.entries.len().saturating_sub(HISTORY_ENTRIES_MAX);
        self.entries.drain(..surplus);
        Ok(())
    }

    /// What followed `to` is gone: no ended id vouches for more. The current id stays, for what is left is a prefix of
    /// its history as well.
    pub fn truncate(&mut self, to: Offset) {
        for entry in &mut self.entries {
            entry.end = entry.end.map(|end| end.min(to));
        }
    }

    /// Whether this could have come from the operations here: only the last id goes on, no id occurs twice, and ends
    /// never go back.
    pub(crate) fn is_consistent(&self) -> bool {
        let Some((current, ended)) = self.entries.split_last() else {
            return false;
        };
        let ends: Option<Vec<Offset>> = ended.iter().map(|entry| entry.end).collect();
        let mut ids: Vec<ReplicationId> = self.entries.iter().map(|entry| entry.id).collect();
        ids.sort_unstable();
        current.end.is_none()
            && ends.is_some_and(|ends| ends.is_sorted())
            && ids.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Forgets ids that ended before `start`: nobody can continue from there any more.
    pub(crate) fn forget_before(&mut self, start: Offset) {
        self.entries
            .retain(|entry| entry.end.is_none_or(|end| end >= start));
    }

    /// The chain goes on at `start` after a gap: nobody who holds less can continue.
    pub(crate) fn restart_at(&mut self, start: Offset) {
        self.start = start;
        self.forget_before(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ReplicationId {
        format!("{number:040x}").parse().expect("an id")
    }

    fn ends(history: &History) -> Vec<Option<u64>> {
        history
            .entries()
            .iter()
            .map(|entry| entry.end.map(Offset::get))
            .collect()
    }

    #[test]
    fn an_ended_id_covers_its_own_part_and_the_current_one_everything() {
        let mut history = History::begin(id(1), Offset::new(10));
        history.extend(id(2), Offset::new(50)).expect("extended");
        assert!(history.covers(id(1), Offset::new(50)));
        assert!(!history.covers(id(1), Offset::new(51)));
        assert!(history.covers(id(2), Offset::new(7000)));
        assert!(!history.covers(id(3), Offset::new(1)));
        assert_eq!(
            (history.end_of(id(1)), history.end_of(id(2))),
            (Some(Offset::new(50)), None)
        );
        assert_eq!(history.current(), Some(id(2)));
    }

    #[test]
    fn a_new_id_takes_over_what_was_cut_off() {
        let mut history = History::begin(id(1), Offset::ZERO);
        history.extend(id(2), Offset::new(100)).expect("extended");
        history.truncate(Offset::new(80));
        assert_eq!(ends(&history), [Some(80), None]);
        history.extend(id(3), Offset::new(80)).expect("extended");
        assert_eq!(ends(&history), [Some(80), Some(80), None]);
        assert!(!history.covers(id(2), Offset::new(90)));
        assert!(history.is_consistent());
    }

    #[test]
    fn extending_again_changes_nothing_and_an_old_id_never_comes_back() {
        let mut history = History::begin(id(1), Offset::ZERO);
        history.extend(id(2), Offset::new(5)).expect("extended");
        let before = history.clone();
        assert_eq!(history.extend(id(2), Offset::new(9)), Ok(()));
        assert_eq!(history, before);
        let ended = Offset::new(5);
        assert_eq!(
            history.extend(id(1), Offset::new(9)),
            Err(HistoryError::Reused { id: id(1), ended })
        );
        assert_eq!(
            History::default().extend(id(1), ended),
            Err(HistoryError::Empty { id: id(1) })
        );
    }

    #[test]
    fn the_chain_is_bounded_and_forgets_the_oldest() {
        let mut history = History::begin(id(0), Offset::ZERO);
        for number in 1..=HISTORY_ENTRIES_MAX {
            history
                .extend(id(number), Offset::new(number as u64))
                .expect("extended");
        }
        assert_eq!(history.entries().len(), HISTORY_ENTRIES_MAX);
        assert_eq!(history.entries().first().map(|entry| entry.id), Some(id(1)));
        assert_eq!(history.current(), Some(id(HISTORY_ENTRIES_MAX)));
    }

    #[test]
    fn ids_that_nobody_can_continue_are_forgotten() {
        let mut history = History::begin(id(1), Offset::ZERO);
        history.extend(id(2), Offset::new(10)).expect("extended");
        history.extend(id(3), Offset::new(20)).expect("extended");
        history.restart_at(Offset::new(20));
        assert_eq!(ends(&history), [Some(20), None]);
        assert_eq!(history.start(), Offset::new(20));
    }
}
