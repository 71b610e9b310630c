//! The segments of an open log, as its writer knows them.

use std::collections::VecDeque;

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::index::IndexHeader;
use crate::segment::{ActiveSegment, SealedSegment};
use crate::{Extent, LogError};

/// Oldest first and without a gap: each sealed segment ends where the next one, at last the active one, starts.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) sealed: VecDeque<SealedSegment>,
    pub(crate) active: ActiveSegment,
    /// The last unit boundary; never before the log's start, never after its end.
    pub(crate) unit_end: Offset,
    /// What is durable; never after the end.
    pub(crate) durable_end: Offset,
    /// The last unit boundary in it: no crash and no error may take anything before it.
    pub(crate) promised_end: Offset,
    /// Data files of dropped segments that can be written over, with their lengths.
    pub(crate) spares: Vec<(Offset, u64)>,
}

impl Segments {
    /// A log with one empty segment, which starts on a unit boundary.
    pub(crate) fn empty(active: ActiveSegment) -> Self {
        let at = active.end;
        Self {
            sealed: VecDeque::new(),
            active,
            unit_end: at,
            durable_end: at,
            promised_end: at,
            spares: Vec::new(),
        }
    }

    pub(crate) fn start(&self) -> Offset {
        self.sealed
            .front()
            .map_or(self.active.start(), |segment| segment.start)
    }

    pub(crate) fn end(&self) -> Offset {
        self.active.end
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent {
            start: self.start(),
            end: self.end(),
            durable_end: self.durable_end,
            unit_end: self.unit_end,
            durable_unit_end: self.promised_end,
        }
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|segment| segment.disk_bytes).sum();
        let spares: u64 = self.spares.iter().map(|(_, bytes)| bytes).sum();
        sealed + spares + self.active.disk_bytes()
    }

    pub(crate) fn sync(&mut self, context: &LogContext) -> Result<Offset, LogError> {
        self.active.sync(&context.layout)?;
        self.durable_end = self.active.end;
        self.promised_end = self.unit_end;
        Ok(self.durable_end)
    }

    /// Seals the active segment and starts the next one.
    pub(crate) fn roll(&mut self, context: &LogContext) -> Result<(), LogError> {
        // Direct writes end on a whole sector; a sealed segment holds the stream's bytes and nothing else.
        self.active.trim_padding(&context.layout)?;
        // A sealed segment is durable as a whole: only the active one is searched for torn blocks after a crash.
        let end = self.sync(context)?;
        let header = IndexHeader {
            start: end,
            starts_on_unit: self.unit_end == end,
        };
        let spare = self.spares.pop().map(|(spare, _)| spare);
        let next = ActiveSegment::create(&*context.fs, &context.layout, header, spare)?;
        let sealed = std::mem::replace(&mut self.active, next).seal();
        self.sealed.push_back(sealed);
        Ok(())
    }
}
