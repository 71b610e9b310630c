//! From what a crash or an error left on disk to a log that can be appended to, or to a clear refusal.
//!
//! What the active segment lost is cut off: it was not synced, or the report says that it was. Anything else that
//! contradicts itself is damage, and nothing is changed then.

mod inventory;
pub(crate) mod tail;

use std::collections::VecDeque;

use sterna_protocol::Offset;

use crate::context::LogContext;
use crate::history_file::{self, StoredHistory, remove_if_present};
use crate::index::{IndexHeader, record_position, records_in};
use crate::layout::SegmentFile;
use crate::segment::{ActiveSegment, SealedSegment, read_all_records, read_header, read_records};
use crate::segments::Segments;
use crate::snapshot::{self, StoredSnapshot};
use crate::{History, LogError, RecoveryReport, SnapshotMeta};
use inventory::Inventory;

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) history: History,
    /// `None` if the log was never begun.
    pub(crate) segments: Option<Segments>,
    pub(crate) report: RecoveryReport,
    /// Where the valid blocks ended, before the log was cut to a unit boundary.
    pub(crate) valid_end: Offset,
}

/// Recovers the log. Snapshots that it can't continue from are removed.
pub(crate) fn recover(context: &LogContext) -> Result<Recovered, LogError> {
    // What an interrupted step did to the names must be durable before anything is built on it.
    for dir in [
        context.layout.dir().to_owned(),
        context.layout.segments(),
        context.layout.snapshots(),
    ] {
        context
            .fs
            .sync_dir(&dir)
            .map_err(|error| LogError::io("sync", &dir, error))?;
    }
    let mut report = RecoveryReport::default();
    remove_if_present(&*context.fs, &context.layout.history_unfinished())
        .map_err(|error| LogError::io("remove", &context.layout.history_unfinished(), error))?;
    let Some(StoredHistory { history, clearing }) = history_file::load(&*context.fs, &context.layout)? else {
        if let Some(start) = inventory::take(context)?.any_segment() {
            let what = "history.json is missing, though there are segments";
            return Err(LogError::damaged(&context.layout.history(), start, what));
        }
        let valid_end = Offset::ZERO;
        return Ok(Recovered {
            history: History::default(),
            segments: None,
            report,
            valid_end,
        });
    };
    let (segments, valid_end) = if clearing {
        report
            .notes
            .push("finished a new start of the log that was interrupted".to_owned());
        let segments = clear(context, &history)?;
        let end = segments.end();
        (segments, end)
    } else {
        recover_segments(context, &mut report)?
    };
    report.end = segments.end();
    let keep = |stored: &StoredSnapshot| is_usable(&stored.meta, &history, &segments);
    remove_stored_snapshots(context, |stored| !keep(stored))?;
    Ok(Recovered {
        history,
        segments: Some(segments),
        report,
        valid_end,
    })
}

/// Makes the log an empty one at the start of `history`, which is on disk already, marked as clearing.
pub(crate) fn clear(context: &LogContext, history: &History) -> Result<Segments, LogError> {
    inventory::remove_all(context)?;
    let header = IndexHeader {
        start: history.start(),
        starts_on_unit: true,
    };
    let active = ActiveSegment::create(&*context.fs, &context.layout, header, None)?;
    let segments = Segments::empty(active);
    remove_stored_snapshots(context, |stored| !is_usable(&stored.meta, history, &segments))?;
    context.save_history(&StoredHistory {
        history: history.clone(),
        clearing: false,
    })?;
    Ok(segments)
}

fn recover_segments(
    context: &LogContext,
    report: &mut RecoveryReport,
) -> Result<(Segments, Offset), LogError> {
    let mut inventory = inventory::take(context)?;
    inventory.tidy(context, report)?;
    inventory.check_complete(context, report)?;
    let Inventory { indexes, spares, .. } = inventory;
    let Some((&last, older)) = indexes.split_last() else {
        let what = "there is a history, but every segment is missing";
        return Err(LogError::damaged(&context.layout.segments(), Offset::ZERO, what));
    };

    let mut sealed = VecDeque::with_capacity(older.len());
    for (&start, &next) in older.iter().zip(&indexes[1..]) {
        let segment = reopen_sealed(context, start)?;
        if segment.end != next {
            let what = format!(
                "the segment ends at {}, and the next one starts at {next}",
                segment.end
            );
            return Err(LogError::damaged(
                &context.layout.index(start),
                segment.end.min(next),
                what,
            ));
        }
        sealed.push_back(segment.seal());
    }
    let tail = tail::verify(context, last)?;
    report.dropped_bytes = tail.indexed_end.bytes_since(tail.active.end);
    report.lost_synced_bytes = tail.synced_end.bytes_since(tail.active.end);
    let end = tail.active.end;
    let unit_end = last_unit_end(context, &sealed, &tail)?;
    let mut segments = Segments {
        sealed,
        active: tail.active,
        unit_end,
        durable_end: end,
        promised_end: unit_end,
        spares,
    };
    if unit_end < end {
        report.dropped_bytes += end.bytes_since(unit_end);
        segments.cut(context, unit_end)?;
    }
    segments.trim(context)?;
    Ok((segments, end))
}

/// The last unit boundary that the log knows of.
fn last_unit_end(
    context: &LogContext,
    sealed: &VecDeque<SealedSegment>,
    tail: &tail::Tail,
) -> Result<Offset, LogError> {
    if let Some(record) = tail.records.iter().rev().find(|record| record.ends_on_unit) {
        return Ok(record.end);
    }
    if tail.active.header.starts_on_unit {
        return Ok(tail.active.start());
    }
    for segment in sealed.iter().rev() {
        let path = context.layout.index(segment.start);
        let index = context
            .fs
            .open_read(&path)
            .map_err(|error| LogError::io("open", &path, error))?;
        let header = read_header(&*index, segment.start)
            .map_err(|problem| problem.into_log_error(&path, segment.start))?;
        let records =
            read_all_records(&*index, segment.start).map_err(|error| LogError::io("read", &path, error))?;
        if let Some(record) = records
            .into_iter()
            .flatten()
            .rev()
            .find(|record| record.ends_on_unit)
        {
            return Ok(record.end);
        }
        if header.starts_on_unit {
            return Ok(segment.start);
        }
    }
    let start = sealed
        .front()
        .map_or(tail.active.start(), |segment| segment.start);
    let what = "no unit boundary is left in the log, so nobody can continue from it";
    Err(LogError::damaged(&context.layout.segments(), start, what))
}

/// Opens a segment that was sealed; checks its header, its last record and the files' lengths, not its bytes.
pub(crate) fn reopen_sealed(context: &LogContext, start: Offset) -> Result<ActiveSegment, LogError> {
    let (index_path, data_path) = (context.layout.index(start), context.layout.data(start));
    let index = context
        .fs
        .open_write(&index_path)
        .map_err(|error| LogError::io("open", &index_path, error))?;
    let data = context
        .fs
        .open_write(&data_path)
        .map_err(|error| LogError::io("open", &data_path, error))?;
    let header = read_header(&*index, start).map_err(|problem| problem.into_log_error(&index_path, start))?;
    let read_error = |error| LogError::io("read", &index_path, error);
    let index_len = index.len().map_err(read_error)?;
    let records = records_in(index_len);
    let last = match records.checked_sub(1) {
        Some(last) => read_records(&*index, start, last, 1)
            .map_err(read_error)?
            .pop()
            .flatten(),
        None => None,
    };
    let Some(last) = last.filter(|_| index_len == record_position(records)) else {
        return Err(LogError::damaged(
            &index_path,
            start,
            "its last record is not valid",
        ));
    };
    let data_len = data
        .len()
        .map_err(|error| LogError::io("read", &data_path, error))?;
    let valid_len = last.end.bytes_since(start);
    if data_len < valid_len {
        let what = format!("the file has {data_len} bytes, and its index counts {valid_len}");
        return Err(LogError::damaged(&data_path, start + data_len, what));
    }
    let (end, last_ms) = (last.end, last.wall_ms);
    Ok(ActiveSegment {
        header,
        data,
        index,
        end,
        records,
        last_ms,
        data_len,
        all_synced: true,
    })
}

impl Segments {
    /// Cuts off what the active data file has beyond its valid bytes. They mean nothing; this only keeps them from
    /// taking space and from puzzling people.
    fn trim(&mut self, context: &LogContext) -> Result<(), LogError> {
        let valid_len = self.active.end.bytes_since(self.active.start());
        if self.active.data_len > valid_len {
            let path = context.layout.data(self.active.start());
            self.active
                .data
                .set_len(valid_len)
                .map_err(|error| LogError::io("truncate", &path, error))?;
            self.active.data_len = valid_len;
        }
        Ok(())
    }
}

fn is_usable(snapshot: &SnapshotMeta, history: &History, segments: &Segments) -> bool {
    let held = snapshot.offset >= segments.start() && snapshot.offset <= segments.end();
    held && history.covers(snapshot.id, snapshot.offset)
}

/// The complete snapshots that the log can continue from, oldest first.
pub(crate) fn usable_snapshots(
    context: &LogContext,
    history: &History,
    segments: Option<&Segments>,
) -> Result<Vec<SnapshotMeta>, LogError> {
    let Some(segments) = segments else {
        return Ok(Vec::new());
    };
    let mut snapshots = snapshot::list_snapshots(&*context.fs, context.layout.dir())?;
    snapshots.retain(|meta| is_usable(meta, history, segments));
    Ok(snapshots)
}

/// Removes, durably, the complete snapshots that `unwanted` picks.
pub(crate) fn remove_snapshots(
    context: &LogContext,
    unwanted: impl Fn(&SnapshotMeta) -> bool,
) -> Result<(), LogError> {
    remove_stored_snapshots(context, |stored| unwanted(&stored.meta))
}

/// Removes what a process that is gone left behind: snapshots that were not finished, or not synced.
pub(crate) fn remove_unfinished_snapshots(context: &LogContext) -> Result<(), LogError> {
    snapshot::remove_debris(&*context.fs, &context.layout)?;
    remove_stored_snapshots(context, |stored| !stored.synced)
}

fn remove_stored_snapshots(
    context: &LogContext,
    unwanted: impl Fn(&StoredSnapshot) -> bool,
) -> Result<(), LogError> {
    let stored = snapshot::load_all(&*context.fs, &context.layout)?;
    for snapshot in stored.iter().filter(|stored| unwanted(stored)) {
        snapshot::remove_snapshot(&*context.fs, &snapshot.meta)?;
    }
    Ok(())
}

/// Removes spare data files. One that can't be removed is found again when the log is opened.
pub(crate) fn remove_spares(context: &LogContext, spares: impl Iterator<Item = Offset>) {
    for spare in spares {
        let path = context.layout.segment_file(SegmentFile::Spare(spare));
        if let Err(error) = context.fs.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a spare segment file");
        }
    }
}
