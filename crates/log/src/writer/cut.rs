//! Dropping the newest part of a log.

use std::io::{self, IoSlice};
use std::sync::Arc;

use sterna_protocol::Offset;

use super::LogWriter;
use crate::fs::write_all_at;
use crate::history_file::{StoredHistory, remove_if_present};
use crate::index::{IndexHeader, IndexRecord, record_position};
use crate::layout::SegmentFile;
use crate::place::Place;
use crate::recovery;
use crate::segment::{ActiveSegment, read_all_records};
use crate::segments::Segments;
use crate::{LogError, LogFile};

impl LogWriter {
    /// Drops what follows `to`, durably, with the snapshots that reach beyond it. What is left is durable too.
    ///
    /// `to` must lie in the log and must be a unit boundary of the stream: inside of a block the log can't check that
    /// and takes the caller's word. An error stops the writer; the log then ends somewhere between `to` and where it
    /// ended before. Readers must not be asked to read past `to` until something was appended there again.
    pub fn truncate(&mut self, to: Offset) -> Result<(), LogError> {
        self.check_running()?;
        let Some(segments) = &self.segments else {
            return Err(self.not_begun());
        };
        if to < segments.start() || to > segments.end() {
            return Err(self.out_of_range("truncate the log", to));
        }
        let result = self.truncate_checked(to);
        self.shared.next_generation();
        result.map_err(|error| self.stop(error))
    }

    fn truncate_checked(&mut self, to: Offset) -> Result<(), LogError> {
        recovery::remove_snapshots(&self.place, |snapshot| snapshot.offset > to)?;
        let mut history = self.history.clone();
        history.truncate(to);
        if history != self.history {
            self.place.save_history(&StoredHistory {
                history: history.clone(),
                clearing: false,
            })?;
            self.history = history;
        }
        match &mut self.segments {
            Some(segments) => segments.cut(&self.place, to),
            None => Ok(()),
        }
    }
}

impl Segments {
    /// Drops what follows `to`, which lies in the log and counts as a unit boundary from now on.
    pub(crate) fn cut(&mut self, place: &Place, to: Offset) -> Result<(), LogError> {
        self.drop_segments_after(place, to)?;
        self.active.cut(place, to)?;
        (self.unit_end, self.durable_end) = (to, to);
        Ok(())
    }

    /// Drops whole segments, newest first and one durable step after the other, until `to` lies in the active one.
    fn drop_segments_after(&mut self, place: &Place, to: Offset) -> Result<(), LogError> {
        loop {
            let start = self.active.start();
            if start < to || (start == to && self.active.header.starts_on_unit) {
                return Ok(());
            }
            let Some(previous) = self.sealed.back() else {
                return Ok(());
            };
            let previous = recovery::reopen_sealed(place, previous.start)?;
            place.retire(start, false)?;
            self.active = previous;
            self.sealed.pop_back();
        }
    }
}

impl ActiveSegment {
    fn cut(&mut self, place: &Place, to: Offset) -> Result<(), LogError> {
        let (start, path) = (self.start(), place.layout.index(self.start()));
        let mut records = self.valid_records(place)?;
        records.truncate(records.partition_point(|record| record.start() < to));

        let mut header = self.header;
        let fits = match records.last_mut() {
            Some(last) if last.end == to && last.ends_on_unit => true,
            Some(last) => {
                *last = self.shortened(place, *last, to)?;
                false
            }
            None => std::mem::replace(&mut header.starts_on_unit, true),
        };
        self.data
            .sync_data()
            .map_err(|error| LogError::io("sync", &place.layout.data(start), error))?;
        if fits {
            let cut = || -> io::Result<()> {
                self.index.set_len(record_position(records.len() as u64))?;
                self.index.sync_data()
            };
            cut().map_err(|error| LogError::io("truncate", &path, error))?;
        } else {
            self.index = replace_index(place, header, &records)
                .map_err(|error| LogError::io("replace", &path, error))?;
        }
        self.header = header;
        self.end = to;
        self.records = records.len() as u64;
        self.last_ms = records.last().map_or(0, |record| record.wall_ms);
        self.all_synced = true;
        Ok(())
    }

    /// The records that this segment was known to have; one that has gone bad since is damage.
    fn valid_records(&self, place: &Place) -> Result<Vec<IndexRecord>, LogError> {
        let path = place.layout.index(self.start());
        let records = read_all_records(&*self.index, self.start())
            .map_err(|error| LogError::io("read", &path, error))?;
        let count = usize::try_from(self.records).unwrap_or(usize::MAX);
        let mut end = self.start();
        let mut valid = Vec::with_capacity(count.min(records.len()));
        for record in records.into_iter().take(count) {
            match record {
                Some(record) if record.start() == end => {
                    end = record.end;
                    valid.push(record);
                }
                _ => return Err(LogError::damaged(&path, end, "an index record is not valid")),
            }
        }
        if end == self.end {
            Ok(valid)
        } else {
            Err(LogError::damaged(&path, end, "index records are missing"))
        }
    }

    /// The record of the same block cut at `to`, a unit boundary.
    fn shortened(&self, place: &Place, record: IndexRecord, to: Offset) -> Result<IndexRecord, LogError> {
        let path = place.layout.data(self.start());
        let bytes = self
            .data
            .read_at(record.len as usize, record.start().bytes_since(self.start()))
            .map_err(|error| LogError::io("read", &path, error))?;
        if bytes.len() != record.len as usize || crc32c::crc32c(&bytes) != record.crc {
            return Err(LogError::damaged(
                &path,
                record.start(),
                "the block does not match its checksum",
            ));
        }
        let kept = &bytes[..usize::try_from(to.bytes_since(record.start())).unwrap_or(bytes.len())];
        let len = u32::try_from(kept.len()).unwrap_or(record.len);
        Ok(IndexRecord {
            end: to,
            len,
            crc: crc32c::crc32c(kept),
            ends_on_unit: true,
            ..record
        })
    }
}

/// Replaces the index of a segment as a whole, durably.
fn replace_index(
    place: &Place,
    header: IndexHeader,
    records: &[IndexRecord],
) -> io::Result<Arc<dyn LogFile>> {
    let mut bytes = header.encode().to_vec();
    for record in records {
        bytes.extend_from_slice(&record.encode(header.start));
    }
    let unfinished = place.layout.segment_file(SegmentFile::Unfinished(header.start));
    remove_if_present(&*place.fs, &unfinished)?;
    let index = place.fs.create_new(&unfinished)?;
    write_all_at(&*index, &mut [IoSlice::new(&bytes)], 0)?;
    index.sync_data()?;
    place.fs.rename(&unfinished, &place.layout.index(header.start))?;
    place.fs.sync_dir(&place.layout.segments())?;
    Ok(index)
}
