//! What the disk is asked to do for a shard. Everything here blocks and runs on the pool for blocking work.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sterna_log::{FinishSnapshot, LogError, LogReader, LogWriter, SnapshotReader, SnapshotSpool};
use sterna_protocol::Offset;
use sterna_protocol::rdb::RdbError;

use super::event::{
    Change, Discard, FilesDone, FilesJob, LogDone, LogJob, LogStart, ReadDone, ReadFailure, ReadJob, Reader,
    SnapshotFeed, SpoolDone, SpoolJob,
};

/// A reader takes so much from disk at once.
const READ_BYTES_MAX: usize = 512 * 1024;

/// Appends and syncs. On a full disk the oldest segments go first, and only then does it fail.
pub(super) fn run_log(mut job: LogJob) -> LogDone {
    let mut sync_time = Duration::ZERO;
    let mut recovered = false;
    let result = begin(&mut job, &mut recovered).and_then(|()| {
        if let Some(process) = job.process {
            job.writer.note_process(process)?;
        }
        if job.sync {
            let started = Instant::now();
            job.writer.sync()?;
            sync_time = started.elapsed();
        }
        Ok(())
    });
    LogDone {
        // What can't be listed is found missing when it is read.
        snapshots: recovered.then(|| job.writer.snapshots().ok()).flatten(),
        writer: job.writer,
        start: job.start,
        synced: job.sync && result.is_ok(),
        result,
        sync_time,
    }
}

fn begin(job: &mut LogJob, recovered: &mut bool) -> Result<(), LogError> {
    match job.start {
        LogStart::Recover => {
            *recovered = true;
            job.writer.recover_in_place()?;
            for (id, at) in &job.extend {
                job.writer.extend_history(*id, *at)?;
            }
            Ok(())
        }
        LogStart::SkipTo(id, at) => job.writer.skip_to(id, at),
        LogStart::Begin(id, at) => job.writer.begin(id, at),
        LogStart::Append(at) => append(job, at, recovered),
        LogStart::Change(to, end) => change(&mut job.writer, to, end),
    }
}

fn change(writer: &mut LogWriter, change: Change, end: Offset) -> Result<(), LogError> {
    match change {
        Change::Begin(id, at) => writer.begin(id, at),
        Change::CutBack(to) => writer.truncate(to),
        Change::Extend(id, at) => {
            if writer.extent().end > end {
                writer.take_back(end)?;
            }
            writer.extend_history(id, at)
        }
    }
}

fn append(job: &mut LogJob, at: Offset, recovered: &mut bool) -> Result<(), LogError> {
    if job.writer.extent().end > at {
        job.writer.take_back(at)?;
    }
    loop {
        match job.writer.append(at, &job.blocks) {
            Ok(_) => break,
            Err(error) if error.is_no_space() => {
                *recovered = true;
                job.writer.recover_in_place()?;
                // A part of the blocks may have reached the disk; they are written again as a whole.
                if job.writer.extent().end > at {
                    job.writer.take_back(at)?;
                }
                if job.writer.extent().end != at || job.writer.drop_oldest()?.is_none() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    job.writer.enforce_retention(job.wall_ms, job.keep_from)?;
    Ok(())
}

/// Appends to a snapshot, and finishes it.
pub(super) fn run_spool(job: SpoolJob) -> SpoolDone {
    let SpoolJob {
        mut spool,
        bytes,
        finish,
        note,
        wall_ms,
    } = job;
    let path = spool.path().to_owned();
    let len: u64 = bytes.iter().map(|bytes| bytes.len() as u64).sum();
    if let Err(error) = spool.append(&bytes) {
        return SpoolDone {
            path,
            spool: None,
            result: Err(error),
            finished: None,
        };
    }
    if !finish {
        return SpoolDone {
            path,
            spool: Some(spool),
            result: Ok(len),
            finished: None,
        };
    }
    let how = FinishSnapshot {
        wall_ms,
        checksum_verified: true,
        note,
        sync: true,
    };
    match spool.finish(how) {
        Ok(meta) => SpoolDone {
            path,
            spool: None,
            result: Ok(len),
            finished: Some(meta),
        },
        Err(error) => SpoolDone {
            path,
            spool: None,
            result: Err(error),
            finished: None,
        },
    }
}

/// Removes files of snapshots, and makes one. What can't be removed is removed when the log is opened.
pub(super) fn run_files(job: FilesJob) -> FilesDone {
    for discard in job.discards {
        match discard {
            Discard::Unfinished(spool) => drop(spool),
            Discard::Whole(file) => {
                if let Err(error) = sterna_log::remove_snapshot(&*job.fs, &file) {
                    tracing::warn!(path = %file.path.display(), %error, "a snapshot can't be removed");
                }
            }
        }
    }
    let create = |(id, offset)| {
        let spool = SnapshotSpool::create_anew(job.fs, &job.log_dir, id, offset);
        (id, offset, spool)
    };
    FilesDone {
        created: job.create.map(create),
    }
}

/// Reads back for a follower.
pub(super) fn run_read(job: ReadJob) -> ReadDone {
    let ReadJob {
        follower,
        mut reader,
        from,
        upto,
        generation,
        whole,
    } = job;
    let result = match &mut reader {
        Reader::Log(log) => read_log(log, from, upto),
        Reader::Snapshot(snapshot) => {
            let room = usize::try_from(upto.saturating_sub(from))
                .unwrap_or(usize::MAX)
                .min(READ_BYTES_MAX);
            read_snapshot(snapshot, from, room, whole)
        }
    };
    ReadDone {
        follower,
        reader,
        from,
        generation,
        result,
    }
}

fn read_log(log: &mut LogReader, from: u64, upto: u64) -> Result<Bytes, ReadFailure> {
    log.read(Offset::new(from), READ_BYTES_MAX, Offset::new(upto))
        .map_err(ReadFailure::from)
}

/// The end of a snapshot is handed out only if all of it is right, as far as it came from disk from its beginning on:
/// what a follower was sent from memory was verified when it arrived, moments ago.
fn read_snapshot(
    feed: &mut SnapshotFeed,
    from: u64,
    room: usize,
    whole: Option<u64>,
) -> Result<Bytes, ReadFailure> {
    let reader = match &mut feed.reader {
        Some(reader) => reader,
        none => none.insert(SnapshotReader::open(&*feed.fs, &feed.path)?),
    };
    let bytes = reader.read(from, room)?;
    if feed.inspected != from {
        return Ok(bytes);
    }
    let damaged = |error: RdbError| ReadFailure {
        reason: format!(
            "the snapshot kept here was damaged on disk ({error}): it was not given whole, so \
             nothing was loaded"
        ),
        lasting: true,
    };
    feed.inspector.feed(&bytes).map_err(damaged)?;
    feed.inspected += bytes.len() as u64;
    if whole == Some(feed.inspected) {
        feed.inspector.finish().map_err(damaged)?;
    }
    Ok(bytes)
}
