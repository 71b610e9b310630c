//! Which history the bytes belong to: beginning anew, going on under another id, going on after a gap.

use sterna_protocol::{Offset, ReplicationId, RunId};

use super::{Extent, LogWriter};
use crate::context::Shared;
use crate::history_file::StoredHistory;
use crate::{History, HistoryError, LogError, recovery};

impl LogWriter {
    /// Starts a new lineage: drops all segments and every snapshot that is not of history `id` at `at`, and begins an
    /// empty log there. `at` is where a full synchronisation put the follower, so it is a unit boundary.
    ///
    /// A crash leaves either the old log whole or the new one empty. It also works on a writer that has stopped. If it
    /// fails before anything was changed (the disk is full, say), the writer goes on as it was; if it fails later, the
    /// writer has stopped, and [`Self::recover_in_place`] tells which of the two logs there is.
    pub fn begin(&mut self, id: ReplicationId, at: Offset) -> Result<(), LogError> {
        self.restart(History::begin(id, at), Shared::next_lineage)
    }

    /// Restarts the log, empty, at a later offset of the same history: after a time in which the disk was full and the
    /// stream went past the log. Nobody who holds less than `at`, a unit boundary, can continue from it.
    ///
    /// `id` must be the current id: if a [`Self::begin`] or [`Self::extend_history`] has failed meanwhile, the log and
    /// the stream are of different histories, and what follows must not be appended.
    ///
    /// A crash, a stopped writer and an error are as with [`Self::begin`].
    pub fn skip_to(&mut self, id: ReplicationId, at: Offset) -> Result<(), LogError> {
        let Some(current) = self.history.current() else {
            return Err(self.not_begun());
        };
        if id != current {
            return Err(LogError::OtherHistory { given: id, current });
        }
        if at < self.extent().end {
            return Err(self.out_of_range("restart the log", at));
        }
        let mut history = self.history.clone();
        history.restart_at(at);
        self.restart(history, |_| ())
    }

    /// The primary goes on under a new id: the current one ends at `at`. That is the log's end, which must be a unit
    /// boundary, or beyond it, where the log lost its last moments and the bytes up to there come anew. What the log has is
    /// durable before the history says so. With the current id nothing changes.
    pub fn extend_history(&mut self, id: ReplicationId, at: Offset) -> Result<(), LogError> {
        self.check_running()?;
        if self.history.current().is_none() {
            return Err(HistoryError::Empty { id }.into());
        }
        let Extent { end, unit_end, .. } = self.extent();
        if at < end || end != unit_end {
            return Err(self.out_of_range(
                "change the replication id (only after the log's last whole unit)",
                at,
            ));
        }
        let mut history = self.history.clone();
        history.extend(id, at)?;
        if history == self.history {
            return Ok(());
        }
        self.sync()?;
        history.forget_before(self.extent().start);
        self.save(history)
    }

    /// Notes which process of the primary the stream comes from. Nothing changes where that is known, or where no history
    /// was begun.
    pub fn note_process(&mut self, process: RunId) -> Result<(), LogError> {
        self.check_running()?;
        if self.history.current().is_none() || self.history.process() == Some(process) {
            return Ok(());
        }
        let mut history = self.history.clone();
        history.note_process(process);
        self.save(history)
    }

    fn save(&mut self, history: History) -> Result<(), LogError> {
        let stored = StoredHistory {
            history: history.clone(),
            clearing: false,
        };
        self.context
            .save_history(&stored)
            .map_err(|error| self.stop(error))?;
        self.history = history;
        Ok(())
    }

    fn restart(&mut self, history: History, commit: impl FnOnce(&Shared)) -> Result<(), LogError> {
        self.context.prepare_history(&StoredHistory {
            history: history.clone(),
            clearing: true,
        })?;
        commit(&self.shared);
        // Until it is done, nobody knows which segments there are.
        self.segments = None;
        let result = self
            .context
            .commit_history()
            .and_then(|()| recovery::clear(&self.context, &history));
        self.shared.next_generation();
        match result {
            Ok(segments) => {
                self.context.keep_reserve();
                (self.history, self.segments, self.stopped) = (history, Some(segments), None);
                Ok(())
            }
            Err(error) => Err(self.stop(error)),
        }
    }
}
