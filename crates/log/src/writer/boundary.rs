//! Making a unit boundary inside of a block known to the index.

use std::io::{self, IoSlice};
use std::sync::Arc;

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::fs::write_all_at;
use crate::history_file::remove_if_present;
use crate::index::{IndexHeader, IndexRecord};
use crate::layout::SegmentFile;
use crate::segment::{ActiveSegment, read_all_records};
use crate::segments::Segments;
use crate::{LogError, LogFile, recovery};

impl Segments {
    /// Makes the index say that `at`, an offset in the log, is a unit boundary. The bytes stay as they are; the block
    /// that holds `at` becomes two. It happens as a whole or not at all.
    pub(super) fn mark_boundary(&mut self, context: &LogContext, at: Offset) -> Result<(), LogError> {
        if at > self.active.start() || self.sealed.is_empty() {
            return self.active.mark_boundary(context, at);
        }
        // The segment that ends at or after it; the oldest one for the log's own start.
        let holder = self.sealed.partition_point(|segment| segment.end < at);
        match self.sealed.get(holder) {
            Some(segment) => recovery::reopen_sealed(context, segment.start)?.mark_boundary(context, at),
            None => Ok(()),
        }
    }
}

impl ActiveSegment {
    fn mark_boundary(&mut self, context: &LogContext, at: Offset) -> Result<(), LogError> {
        if at == self.start() {
            if self.header.starts_on_unit {
                return Ok(());
            }
            let records = self.valid_records(context)?;
            return self.replace_index(
                context,
                IndexHeader {
                    starts_on_unit: true,
                    ..self.header
                },
                &records,
            );
        }
        let mut records = self.valid_records(context)?;
        let holder = records.partition_point(|record| record.end < at);
        let Some(record) = records.get(holder).copied() else {
            return Ok(());
        };
        if record.end == at {
            if record.ends_on_unit {
                return Ok(());
            }
            records[holder].ends_on_unit = true;
        } else {
            records.splice(holder..=holder, self.split(context, record, at)?);
        }
        self.replace_index(context, self.header, &records)
    }

    /// The records that this segment was known to have; one that has gone bad since is damage.
    pub(super) fn valid_records(&self, context: &LogContext) -> Result<Vec<IndexRecord>, LogError> {
        let path = context.layout.index(self.start());
        let records = read_all_records(&*self.index, self.start())
            .map_err(|error| LogError::io("read", &path, error))?;
        let count = usize::try_from(self.records).unwrap_or(usize::MAX);
        let mut end = self.start();
        let mut valid = Vec::with_capacity(count.min(records.len()) + 1);
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

    /// The two records that stand for a block cut at `at`.
    fn split(
        &self,
        context: &LogContext,
        record: IndexRecord,
        at: Offset,
    ) -> Result<[IndexRecord; 2], LogError> {
        let path = context.layout.data(self.start());
        let bytes = self
            .data
            .read_at(record.len as usize, record.start().bytes_since(self.start()))
            .map_err(|error| LogError::io("read", &path, error))?;
        let first_len = u32::try_from(at.bytes_since(record.start())).unwrap_or(u32::MAX);
        match bytes.split_at_checked(first_len as usize) {
            Some((first, second))
                if bytes.len() == record.len as usize && crc32c::crc32c(&bytes) == record.crc =>
            {
                let (len, crc) = (record.len - first_len, crc32c::crc32c(second));
                let second = IndexRecord {
                    len,
                    crc,
                    after_sync: false,
                    ..record
                };
                let (len, crc) = (first_len, crc32c::crc32c(first));
                Ok([
                    IndexRecord {
                        end: at,
                        len,
                        crc,
                        ends_on_unit: true,
                        ..record
                    },
                    second,
                ])
            }
            _ => Err(LogError::damaged(
                &path,
                record.start(),
                "the block does not match its checksum",
            )),
        }
    }

    /// Replaces the index as a whole, durably.
    fn replace_index(
        &mut self,
        context: &LogContext,
        header: IndexHeader,
        records: &[IndexRecord],
    ) -> Result<(), LogError> {
        let mut bytes = header.encode().to_vec();
        for record in records {
            bytes.extend_from_slice(&record.encode(header.start));
        }
        let path = context.layout.index(header.start);
        let unfinished = context.layout.segment_file(SegmentFile::Unfinished(header.start));
        let replace = || -> io::Result<Arc<dyn LogFile>> {
            remove_if_present(&*context.fs, &unfinished)?;
            let index = context.fs.create_new(&unfinished)?;
            write_all_at(&*index, &mut [IoSlice::new(&bytes)], 0)?;
            index.sync_data()?;
            context.fs.rename(&unfinished, &path)?;
            context.fs.sync_dir(&context.layout.segments())?;
            Ok(index)
        };
        self.index = replace().map_err(|error| LogError::io("replace", &path, error))?;
        self.header = header;
        self.records = records.len() as u64;
        Ok(())
    }
}
