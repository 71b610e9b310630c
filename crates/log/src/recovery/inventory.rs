//! Which files `segments/` holds, and what is left over from steps that were interrupted.

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::index::records_in;
use crate::layout::SegmentFile;
use crate::{LogError, RecoveryReport};

/// The files by kind; starts are sorted.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) indexes: Vec<Offset>,
    data: Vec<Offset>,
    gone: Vec<Offset>,
    unfinished: Vec<Offset>,
    /// Spare data files with their lengths.
    pub(super) spares: Vec<(Offset, u64)>,
}

pub(super) fn take(context: &LogContext) -> Result<Inventory, LogError> {
    let mut inventory = Inventory::default();
    for file in list(context)? {
        match file {
            SegmentFile::Data(start) => inventory.data.push(start),
            SegmentFile::Index(start) => inventory.indexes.push(start),
            SegmentFile::Gone(start) => inventory.gone.push(start),
            SegmentFile::Unfinished(start) => inventory.unfinished.push(start),
            SegmentFile::Spare(start) => inventory.spares.push((start, 0)),
        }
    }
    inventory.indexes.sort_unstable();
    inventory.data.sort_unstable();
    Ok(inventory)
}

/// Removes every file of every segment, durably.
pub(super) fn remove_all(context: &LogContext) -> Result<(), LogError> {
    for file in list(context)? {
        remove(context, file)?;
    }
    context.sync_segments_dir()
}

impl Inventory {
    pub(super) fn any_segment(&self) -> Option<Offset> {
        self.indexes.iter().chain(&self.data).min().copied()
    }

    /// Removes what interrupted steps left over, and spare files beyond their number.
    pub(super) fn tidy(&mut self, context: &LogContext, report: &mut RecoveryReport) -> Result<(), LogError> {
        for start in self.unfinished.drain(..) {
            remove(context, SegmentFile::Unfinished(start))?;
        }
        for start in self.gone.drain(..) {
            // A segment that was started there since is not the one that was dropped.
            if self.indexes.binary_search(&start).is_err() {
                if let Ok(at) = self.data.binary_search(&start) {
                    self.data.remove(at);
                    remove(context, SegmentFile::Data(start))?;
                    // The mark must outlive the data file, or that would look like one whose index was lost.
                    context.sync_segments_dir()?;
                }
                report
                    .notes
                    .push(format!("removed the rest of the dropped segment at {start}"));
            }
            remove(context, SegmentFile::Gone(start))?;
        }
        for (start, _) in self
            .spares
            .split_off(self.spares.len().min(context.settings.spare_segments as usize))
        {
            remove(context, SegmentFile::Spare(start))?;
        }
        for (start, len) in &mut self.spares {
            let path = context.layout.segment_file(SegmentFile::Spare(*start));
            let file = context.fs.open_read(&path);
            *len = file
                .and_then(|file| file.len())
                .map_err(|error| LogError::io("read", &path, error))?;
        }
        Ok(())
    }

    /// Sees to it that each index has its data file and the other way round. Only a segment that was being started may
    /// lack one: it is the last one and has no record.
    pub(super) fn check_complete(
        &mut self,
        context: &LogContext,
        report: &mut RecoveryReport,
    ) -> Result<(), LogError> {
        for &start in &self.data {
            if self.indexes.binary_search(&start).is_err() {
                let what = "the segment's index is missing";
                return Err(LogError::damaged(&context.layout.index(start), start, what));
            }
        }
        if let [.., _, last] = self.indexes[..]
            && self.data.binary_search(&last).is_err()
        {
            remove_unstarted(context, last)?;
            report
                .notes
                .push(format!("removed the segment at {last} that was being started"));
            self.indexes.pop();
        }
        for &start in &self.indexes {
            if self.data.binary_search(&start).is_err() {
                let what = "the segment's file is missing";
                return Err(LogError::damaged(&context.layout.data(start), start, what));
            }
        }
        Ok(())
    }
}

/// Removes a last index that has no data file: none was made, so no byte was written to the segment. (The first segment
/// of a log can't be in that state: the history says that the log is being cleared until that segment is durable.)
///
/// It is not finished instead, for after a failed sync nobody knows whether the disk has what memory shows of it.
fn remove_unstarted(context: &LogContext, start: Offset) -> Result<(), LogError> {
    let path = context.layout.index(start);
    let len = context.fs.open_read(&path).and_then(|index| index.len());
    if records_in(len.map_err(|error| LogError::io("read", &path, error))?) > 0 {
        let what = "the segment's file is missing";
        return Err(LogError::damaged(&context.layout.data(start), start, what));
    }
    remove(context, SegmentFile::Index(start))?;
    // It must not come back beside the next segment that is started.
    context.sync_segments_dir()
}

fn list(context: &LogContext) -> Result<Vec<SegmentFile>, LogError> {
    let dir = context.layout.segments();
    let names = context
        .fs
        .list(&dir)
        .map_err(|error| LogError::io("list", &dir, error))?;
    Ok(names.iter().filter_map(|name| SegmentFile::parse(name)).collect())
}

fn remove(context: &LogContext, file: SegmentFile) -> Result<(), LogError> {
    let path = context.layout.segment_file(file);
    context
        .fs
        .remove(&path)
        .map_err(|error| LogError::io("remove", &path, error))
}
