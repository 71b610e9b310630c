//! Dropping the oldest part of a log.

use sterna_protocol::Offset;

use super::LogWriter;
use crate::context::LogContext;
use crate::segment::SealedSegment;
use crate::segments::Segments;
use crate::{LogError, LogSettings, recovery};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedSegment {
    /// It covered `(start, end]`.
    pub start: Offset,
    /// The log starts here now.
    pub end: Offset,
    /// Bytes on disk that were freed (or kept as a spare file).
    pub disk_bytes: u64,
}

impl LogWriter {
    /// Drops the oldest segments while the log is larger or older than its settings allow, and then the snapshots that
    /// it can no longer continue from. Returns what was dropped, oldest first.
    ///
    /// Nothing that follows `keep_from` is dropped, even if the log is too large: the caller bounds how far back that
    /// is. Neither are the active segment and whatever follows the last durable unit boundary.
    pub fn enforce_retention(
        &mut self,
        now_ms: u64,
        keep_from: Option<Offset>,
    ) -> Result<Vec<DroppedSegment>, LogError> {
        self.check_running()?;
        let mut dropped = Vec::new();
        while let Some(segments) = &mut self.segments {
            let size = segments.disk_bytes();
            let due = segments.oldest_droppable().is_some_and(|oldest| {
                keep_from.is_none_or(|keep_from| oldest.end <= keep_from)
                    && (size > self.context.settings.max_bytes
                        || is_too_old(&oldest, now_ms, &self.context.settings))
            });
            if !due {
                break;
            }
            match segments.drop_oldest(&self.context, self.context.settings.spare_segments) {
                Ok(Some(segment)) => dropped.push(segment),
                Ok(None) => break,
                Err(error) => return Err(self.stop(error)),
            }
            self.shared.next_generation();
        }
        if !dropped.is_empty() {
            // Now there is room for it, if it had to be given up.
            self.context.keep_reserve();
            let start = self.extent().start;
            recovery::remove_snapshots(&self.context, |snapshot| snapshot.offset < start)?;
        }
        Ok(dropped)
    }

    /// Drops the oldest segment to make room on a full disk; also on a writer that has stopped. `None` if nothing can be
    /// dropped: only the active segment is left, or the last durable unit boundary lies before it.
    pub fn drop_oldest(&mut self) -> Result<Option<DroppedSegment>, LogError> {
        let Some(segments) = &mut self.segments else {
            return Ok(None);
        };
        // What lies in spare files is room as well.
        segments.remove_spares(&self.context);
        let result = segments.drop_oldest(&self.context, 0);
        self.shared.next_generation();
        match result {
            Ok(dropped) => Ok(dropped),
            Err(error) => Err(self.stop(error)),
        }
    }
}

impl Segments {
    /// The oldest segment, if the log knows a unit boundary without it: one that no crash can take, or recovery would find
    /// no offset to go on from.
    fn oldest_droppable(&self) -> Option<SealedSegment> {
        self.sealed
            .front()
            .filter(|oldest| oldest.end <= self.promised_end)
            .copied()
    }

    /// Drops the oldest segment; its data file becomes a spare one if there are fewer than `spares_max`.
    fn drop_oldest(
        &mut self,
        context: &LogContext,
        spares_max: u32,
    ) -> Result<Option<DroppedSegment>, LogError> {
        let Some(oldest) = self.oldest_droppable() else {
            return Ok(None);
        };
        let room = self.spares.len() < spares_max as usize;
        let keep_spare = room && self.spares.iter().all(|(start, _)| *start != oldest.start);
        if context.retire(oldest.start, keep_spare)? {
            self.spares.push((oldest.start, oldest.disk_bytes));
        }
        self.sealed.pop_front();
        let SealedSegment {
            start,
            end,
            disk_bytes,
            ..
        } = oldest;
        Ok(Some(DroppedSegment {
            start,
            end,
            disk_bytes,
        }))
    }

    fn remove_spares(&mut self, context: &LogContext) {
        recovery::remove_spares(context, self.spares.drain(..).map(|(start, _)| start));
    }
}

fn is_too_old(segment: &SealedSegment, now_ms: u64, settings: &LogSettings) -> bool {
    settings.max_age.is_some_and(|max_age| {
        let max_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_sub(segment.last_ms) > max_ms
    })
}
