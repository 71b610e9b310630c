//! Verifying the active segment: the only one that may hold torn blocks after a crash.

use std::io;

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::index::{IndexRecord, record_position};
use crate::segment::{ActiveSegment, read_all_records, read_header};
use crate::{LogError, LogFile};

/// Bytes that are read and checked at once, if the blocks are smaller.
const RUN_BYTES: u64 = 4 * 1024 * 1024;

/// The active segment after its valid blocks were found.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its index holds the valid records and no other.
    pub(super) active: ActiveSegment,
    pub(super) records: Vec<IndexRecord>,
    /// Where the index said that the segment ends.
    pub(super) indexed_end: Offset,
    /// What is known to have been synced: at least up to here.
    pub(super) synced_end: Offset,
}

/// Finds the valid blocks of the segment at `start` and drops the records behind the first bad one.
pub(super) fn verify(context: &LogContext, start: Offset) -> Result<Tail, LogError> {
    let (index_path, data_path) = (context.layout.index(start), context.layout.data(start));
    let index = context
        .fs
        .open_write(&index_path)
        .map_err(|error| LogError::io("open", &index_path, error))?;
    let data = context
        .fs
        .open_write(&data_path)
        .map_err(|error| LogError::io("open", &data_path, error))?;
    // Judge by what the disk holds: write what is still in memory, then read it back from there.
    for (file, path) in [(&data, &data_path), (&index, &index_path)] {
        file.sync_data()
            .map_err(|error| LogError::io("sync", path, error))?;
        file.forget_cache()
            .map_err(|error| LogError::io("read", path, error))?;
    }
    let header = read_header(&*index, start).map_err(|problem| problem.into_log_error(&index_path, start))?;
    let found = read_all_records(&*index, start).map_err(|error| LogError::io("read", &index_path, error))?;
    let data_len = data
        .len()
        .map_err(|error| LogError::io("read", &data_path, error))?;

    let mut records = contiguous(&found, start, data_len);
    let valid =
        count_valid(&*data, start, &records).map_err(|error| LogError::io("read", &data_path, error))?;
    let (indexed_end, synced_end) = what_was_claimed(&found, start, valid);
    records.truncate(valid);

    let cut = || -> io::Result<()> {
        let len = record_position(valid as u64);
        if index.len()? != len {
            index.set_len(len)?;
            index.sync_data()?;
        }
        Ok(())
    };
    cut().map_err(|error| LogError::io("truncate", &index_path, error))?;
    let end = records.last().map_or(start, |record| record.end);
    let last_ms = records.last().map_or(0, |record| record.wall_ms);
    let count = valid as u64;
    let active = ActiveSegment {
        header,
        data,
        index,
        end,
        records: count,
        last_ms,
        data_len,
        all_synced: true,
    };
    Ok(Tail {
        active,
        records,
        indexed_end,
        synced_end,
    })
}

/// The records that follow each other from the start on and whose bytes the data file is long enough for.
pub(crate) fn contiguous(found: &[Option<IndexRecord>], start: Offset, data_len: u64) -> Vec<IndexRecord> {
    let mut end = start;
    let follows = |record: &IndexRecord| {
        let follows = record.start() == end && record.end.bytes_since(start) <= data_len;
        end = record.end;
        follows
    };
    found
        .iter()
        .map_while(|record| *record)
        .take_while(follows)
        .collect()
}

/// How many blocks, from the first on, match their checksums.
pub(crate) fn count_valid(data: &dyn LogFile, start: Offset, records: &[IndexRecord]) -> io::Result<usize> {
    let mut valid = 0;
    while let Some(first) = records.get(valid) {
        let run_start = first.start();
        let in_run = |record: &&IndexRecord| record.end.bytes_since(run_start) <= RUN_BYTES;
        let run = &records[valid..valid + records[valid..].iter().take_while(in_run).count().max(1)];
        let run_len = run.last().map_or(0, |last| last.end.bytes_since(run_start));
        let len = usize::try_from(run_len).map_err(io::Error::other)?;
        let bytes = data.read_at(len, run_start.bytes_since(start))?;
        let mut rest = bytes.as_slice();
        for record in run {
            let Some((block, after)) = rest.split_at_checked(record.len as usize) else {
                return Ok(valid);
            };
            if crc32c::crc32c(block) != record.crc {
                return Ok(valid);
            }
            rest = after;
            valid += 1;
        }
    }
    Ok(valid)
}

/// Where the index claimed to end, and up to where it is known to have been synced, given that the first `valid` records
/// are good.
fn what_was_claimed(found: &[Option<IndexRecord>], start: Offset, valid: usize) -> (Offset, Offset) {
    let (mut indexed_end, mut synced_end) = (start, start);
    for (number, record) in found.iter().enumerate() {
        let Some(record) = record else { continue };
        indexed_end = indexed_end.max(record.end);
        // Written when everything before it was synced; if records in between are bad, that was lost.
        if record.after_sync && number > valid {
            synced_end = synced_end.max(record.start());
        }
    }
    (indexed_end, synced_end)
}
