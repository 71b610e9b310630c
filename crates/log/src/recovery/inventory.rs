//! Which files `segments/` holds, and what is left over from steps that were interrupted.

use std::io;

use sterna_protocol::Offset;

use crate::index::records_in;
use crate::layout::SegmentFile;
use crate::place::Place;
use crate::segment::{ActiveSegment, IndexProblem, read_header};
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

pub(super) fn take(place: &Place) -> Result<Inventory, LogError> {
    let mut inventory = Inventory::default();
    for file in list(place)? {
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
pub(super) fn remove_all(place: &Place) -> Result<(), LogError> {
    for file in list(place)? {
        remove(place, file)?;
    }
    place.sync_segments_dir()
}

impl Inventory {
    pub(super) fn any_segment(&self) -> Option<Offset> {
        self.indexes.iter().chain(&self.data).min().copied()
    }

    /// Removes what interrupted steps left over, and spare files beyond their number.
    pub(super) fn tidy(&mut self, place: &Place, report: &mut RecoveryReport) -> Result<(), LogError> {
        for start in self.unfinished.drain(..) {
            remove(place, SegmentFile::Unfinished(start))?;
        }
        for start in self.gone.drain(..) {
            // A segment that was started there since is not the one that was dropped.
            if self.indexes.binary_search(&start).is_err() {
                if let Ok(at) = self.data.binary_search(&start) {
                    self.data.remove(at);
                    remove(place, SegmentFile::Data(start))?;
                    // The mark must outlive the data file, or that would look like one whose index was lost.
                    place.sync_segments_dir()?;
                }
                report
                    .notes
                    .push(format!("removed the rest of the dropped segment at {start}"));
            }
            remove(place, SegmentFile::Gone(start))?;
        }
        for (start, _) in self
            .spares
            .split_off(self.spares.len().min(place.settings.spare_segments as usize))
        {
            remove(place, SegmentFile::Spare(start))?;
        }
        for (start, len) in &mut self.spares {
            let path = place.layout.segment_file(SegmentFile::Spare(*start));
            let file = place.fs.open_read(&path);
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
        place: &Place,
        report: &mut RecoveryReport,
    ) -> Result<(), LogError> {
        for &start in &self.data {
            if self.indexes.binary_search(&start).is_err() {
                let what = "the segment's index is missing";
                return Err(LogError::damaged(&place.layout.index(start), start, what));
            }
        }
        while let Some(&last) = self.indexes.last() {
            if self.data.binary_search(&last).is_ok() || !self.finish_start(place, last)? {
                break;
            }
            report
                .notes
                .push(format!("removed the segment at {last} that was being started"));
            self.indexes.pop();
        }
        for &start in &self.indexes {
            if self.data.binary_search(&start).is_err() && self.indexes.last() != Some(&start) {
                let what = "the segment's file is missing";
                return Err(LogError::damaged(&place.layout.data(start), start, what));
            }
        }
        Ok(())
    }

    /// Deals with a last index that has no data file. Returns whether it was removed, for its header was torn.
    fn finish_start(&self, place: &Place, start: Offset) -> Result<bool, LogError> {
        let path = place.layout.index(start);
        let read_error = |error: io::Error| LogError::io("read", &path, error);
        let index = place.fs.open_write(&path).map_err(read_error)?;
        if records_in(index.len().map_err(read_error)?) > 0 {
            let what = "the segment's file is missing";
            return Err(LogError::damaged(&place.layout.data(start), start, what));
        }
        match read_header(&*index, start) {
            Ok(header) => {
                index.sync_data().map_err(read_error)?;
                ActiveSegment::create_data(&*place.fs, &place.layout, header, index, None)?;
                Ok(false)
            }
            Err(IndexProblem::Io(error)) => Err(read_error(error)),
            // Never synced, so no data file was made and no byte was written to it. The first segment of a log can't
            // be in that state: the history says that it is being cleared until that segment is durable.
            Err(_) if self.indexes.len() > 1 => {
                remove(place, SegmentFile::Index(start))?;
                Ok(true)
            }
            Err(problem) => Err(problem.into_log_error(&path, start)),
        }
    }
}

fn list(place: &Place) -> Result<Vec<SegmentFile>, LogError> {
    let dir = place.layout.segments();
    let names = place
        .fs
        .list(&dir)
        .map_err(|error| LogError::io("list", &dir, error))?;
    Ok(names.iter().filter_map(|name| SegmentFile::parse(name)).collect())
}

fn remove(place: &Place, file: SegmentFile) -> Result<(), LogError> {
    let path = place.layout.segment_file(file);
    place
        .fs
        .remove(&path)
        .map_err(|error| LogError::io("remove", &path, error))
}
