//! The chain of replication ids that a log has lived through.
//!
//! Each change of primary gives the stream a new id; the bytes go on without a break. A follower that knows an older id
//! may continue as long as it isn't past the point where that id ended.

use serde::{Deserialize, Serialize};
use sterna_protocol::{Offset, ReplicationId};

/// Ids that a chain keeps; beyond that the oldest is forgotten, and a follower that knows nothing newer needs a full
/// synchronisation.
pub const HISTORY_ENTRIES_MAX: usize = 1000;

/// One id of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// The replication id.
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
}

/// The chain can't be changed in that way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The id ended earlier in this chain, so its name would mean two things.
    #[error("replication id {id} already ended at offset {ended} of this history and can't continue it")]
    Reused {
        /// The id.
        id: ReplicationId,
        /// Where it ended.
        ended: Offset,
    },
    /// There is no chain to extend.
    #[error("there is no history to continue with replication id {id}")]
    Empty {
        /// The id.
        id: ReplicationId,
    },
}

impl History {
    /// A new chain: everything after `start` belongs to `id`.
    pub fn begin(id: ReplicationId, start: Offset) -> Self {
        Self {
            start,
            entries: vec![HistoryEntry { id, end: None }],
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
