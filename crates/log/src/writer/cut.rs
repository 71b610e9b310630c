//! Dropping the newest part of a log.

use std::io;

use sterna_protocol::Offset;

use super::LogWriter;
use crate::context::LogContext;
use crate::history_file::StoredHistory;
use crate::index::record_position;
use crate::segment::ActiveSegment;
use crate::segments::Segments;
use crate::{LogError, recovery};

impl LogWriter {
    /// Drops what follows `to`, durably, with the snapshots that reach beyond it. What is left is durable too.
    ///
    /// `to` must lie in the log and must be a unit boundary of the stream: inside of a block the log can't check that
    /// and takes the caller's word. An error stops the writer; the log then ends somewhere between `to` and where it
    /// ended before. Readers must not be asked to read past `to` until something was appended there again.
    pub fn truncate(&mut self, to: Offset) -> Result<(), LogError> {
        self.check_holds(to)?;
        let result = self.truncate_checked(to);
        self.shared.next_generation();
        result.map_err(|error| self.stop(error))
    }

    /// Drops what follows `to`, durably, where the same bytes come again: the beginning of a unit whose rest did not come. As
    /// [`Self::truncate`], but snapshots and history stay.
    pub fn take_back(&mut self, to: Offset) -> Result<(), LogError> {
        self.check_holds(to)?;
        let result = match &mut self.segments {
            Some(segments) => segments.cut(&self.context, to),
            None => Ok(()),
        };
        self.shared.next_generation();
        result.map_err(|error| self.stop(error))
    }

    fn check_holds(&self, to: Offset) -> Result<(), LogError> {
        self.check_running()?;
        let Some(segments) = &self.segments else {
            return Err(self.not_begun());
        };
        if to < segments.start() || to > segments.end() {
            return Err(self.out_of_range("truncate the log", to));
        }
        Ok(())
    }

    fn truncate_checked(&mut self, to: Offset) -> Result<(), LogError> {
        recovery::remove_snapshots(&self.context, |snapshot| snapshot.offset > to)?;
        let mut history = self.history.clone();
        history.truncate(to);
        if history != self.history {
            self.context.save_history(&StoredHistory {
                history: history.clone(),
                clearing: false,
            })?;
            self.history = history;
        }
        match &mut self.segments {
            Some(segments) => segments.cut(&self.context, to),
            None => Ok(()),
        }
    }
}

impl Segments {
    /// Drops what follows `to`, which lies in the log and counts as a unit boundary from now on.
    ///
    /// The boundary is made known first, then segments are dropped, newest first and each durably before the next, then
    /// the rest. So wherever this stops, the log is whole and recovery finds a boundary that is not before `to`.
    pub(crate) fn cut(&mut self, context: &LogContext, to: Offset) -> Result<(), LogError> {
        // From here on nobody is to miss what follows, however far this gets.
        self.durable_end = self.durable_end.min(to);
        self.promised_end = self.promised_end.min(to);
        self.mark_boundary(context, to)?;
        self.drop_segments_after(context, to)?;
        self.active.cut(context, to)?;
        (self.unit_end, self.durable_end, self.promised_end) = (to, to, to);
        Ok(())
    }

    /// Drops whole segments until `to` lies in the active one.
    fn drop_segments_after(&mut self, context: &LogContext, to: Offset) -> Result<(), LogError> {
        loop {
            let start = self.active.start();
            if start < to || (start == to && self.active.header.starts_on_unit) {
                return Ok(());
            }
            let Some(previous) = self.sealed.back() else {
                return Ok(());
            };
            let previous = recovery::reopen_sealed(context, previous.start)?;
            context.retire(start, false)?;
            self.active = previous;
            self.sealed.pop_back();
        }
    }
}

impl ActiveSegment {
    /// Drops the records that follow `to`, where one of them ends or the segment starts.
    fn cut(&mut self, context: &LogContext, to: Offset) -> Result<(), LogError> {
        let (data_path, index_path) = (
            context.layout.data(self.start()),
            context.layout.index(self.start()),
        );
        let mut records = self.valid_records(context)?;
        records.truncate(records.partition_point(|record| record.start() < to));
        self.data
            .sync_data()
            .map_err(|error| LogError::io("sync", &data_path, error))?;
        let cut = || -> io::Result<()> {
            self.index.set_len(record_position(records.len() as u64))?;
            self.index.sync_data()
        };
        cut().map_err(|error| LogError::io("truncate", &index_path, error))?;
        self.end = to;
        self.records = records.len() as u64;
        self.last_ms = records.last().map_or(0, |record| record.wall_ms);
        self.all_synced = true;
        Ok(())
    }
}
