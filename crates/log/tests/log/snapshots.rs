//! Snapshots on a real file system.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sterna_log::{
    FinishSnapshot, LogError, LogFs, LogWriter, RealFs, SnapshotReader, SnapshotSpool, list_snapshots,
    remove_snapshot,
};

use crate::common::{at, block, id, open, small, stream_bytes};

fn real() -> Arc<dyn LogFs> {
    Arc::new(RealFs)
}

fn reopen(dir: &Path) -> LogWriter {
    open(&real(), dir, &small()).expect("opened").writer
}

/// A log that covers `(100, 4100]`.
fn log_in(dir: &Path) -> LogWriter {
    let mut writer = reopen(dir);
    writer.begin(id(1), at(100)).expect("begun");
    for from in (100..4100).step_by(50) {
        writer
            .append(at(from), &[block(from, from + 50, true)])
            .expect("appended");
    }
    writer.sync().expect("synced");
    writer
}

fn spool(dir: &Path, offset: u64) -> Result<SnapshotSpool, LogError> {
    SnapshotSpool::create(real(), dir, id(1), at(offset))
}

fn finished(sync: bool) -> FinishSnapshot {
    FinishSnapshot {
        wall_ms: 77,
        checksum_verified: true,
        note: String::new(),
        sync,
    }
}

fn offsets(writer: &LogWriter) -> Vec<u64> {
    writer
        .snapshots()
        .expect("listed")
        .iter()
        .map(|snapshot| snapshot.offset.get())
        .collect()
}

#[test]
fn a_snapshot_is_read_while_it_grows_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = log_in(dir.path());
    let mut growing = spool(dir.path(), 500).expect("created");
    let reader = growing.reader();
    assert!(reader.read(0, 100).expect("read").is_empty());
    growing.append(&[stream_bytes(3, 0, 1000)]).expect("appended");
    assert_eq!(reader.read(900, 100).expect("read"), stream_bytes(3, 900, 1000));
    growing
        .append(&[stream_bytes(3, 1000, 1500), stream_bytes(3, 1500, 1600)])
        .expect("appended");
    assert_eq!(growing.len(), 1600);
    assert!(offsets(&writer).is_empty(), "it is not complete yet");
    let meta = growing.finish(finished(true)).expect("finished");
    assert_eq!(
        (meta.len, meta.wall_ms, meta.offset, meta.id),
        (1600, 77, at(500), id(1))
    );
    assert_eq!(writer.snapshots().expect("listed"), std::slice::from_ref(&meta));
    drop(writer);

    let opened = open(&real(), dir.path(), &small()).expect("opened");
    assert_eq!(opened.snapshots, std::slice::from_ref(&meta));
    let reader = SnapshotReader::open(&RealFs, &meta.path).expect("opened");
    remove_snapshot(&RealFs, &meta).expect("removed");
    assert!(list_snapshots(&RealFs, dir.path()).expect("listed").is_empty());
    assert_eq!(
        reader.read(0, 9999).expect("a reader can go on"),
        stream_bytes(3, 0, 1600)
    );
}

#[test]
fn one_that_is_dropped_or_left_by_a_crash_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = log_in(dir.path());
    let mut dropped = spool(dir.path(), 500).expect("created");
    dropped.append(&[stream_bytes(3, 0, 10)]).expect("appended");
    let path = dropped.path().to_owned();
    drop(dropped);
    assert!(!path.exists());

    let mut left = spool(dir.path(), 600).expect("created");
    left.append(&[stream_bytes(3, 0, 10)]).expect("appended");
    let path = left.path().to_owned();
    std::mem::forget(left);
    drop(writer);
    assert!(path.exists());
    drop(reopen(dir.path()));
    assert!(!path.exists());
}

#[test]
fn one_that_was_not_synced_does_not_outlive_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = log_in(dir.path());
    spool(dir.path(), 500)
        .expect("created")
        .finish(finished(false))
        .expect("finished");
    assert_eq!(offsets(&writer), [500]);
    writer.recover_in_place().expect("recovered");
    assert_eq!(offsets(&writer), [500], "the process lives on");
    drop(writer);
    assert!(offsets(&reopen(dir.path())).is_empty());
}

#[test]
fn there_is_one_at_a_time_for_an_offset() {
    let dir = tempfile::tempdir().expect("a directory");
    let _writer = log_in(dir.path());
    let first = spool(dir.path(), 500).expect("created");
    let is_taken = |result: Result<SnapshotSpool, LogError>| matches!(result, Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists);
    assert!(is_taken(spool(dir.path(), 500)));
    first.finish(finished(true)).expect("finished");
    assert!(is_taken(spool(dir.path(), 500)));
    spool(dir.path(), 501).expect("another offset");
}

#[test]
fn those_that_the_log_cannot_continue_from_are_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = log_in(dir.path());
    for offset in [100, 1100, 2000, 4100] {
        spool(dir.path(), offset)
            .expect("created")
            .finish(finished(true))
            .expect("finished");
    }
    assert_eq!(offsets(&writer), [100, 1100, 2000, 4100]);
    writer.drop_oldest().expect("dropped").expect("there is one");
    assert_eq!(offsets(&writer), [1100, 2000, 4100], "the log starts at 1100");
    writer.take_back(at(4060)).expect("taken back");
    assert_eq!(writer.extent().end, at(4060));
    let kept = list_snapshots(&RealFs, dir.path()).expect("listed");
    assert!(
        kept.iter().any(|snapshot| snapshot.offset == at(4100)),
        "the same bytes come again: {kept:?}"
    );
    writer.truncate(at(4050)).expect("truncated");
    assert_eq!(offsets(&writer), [1100, 2000]);
    while writer.drop_oldest().expect("dropped").is_some() {}
    writer.enforce_retention(0, None).expect("enforced");
    writer.skip_to(id(1), at(5000)).expect("skipped");
    assert!(list_snapshots(&RealFs, dir.path()).expect("listed").is_empty());
}

#[test]
fn a_new_start_keeps_only_the_snapshot_that_it_starts_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = log_in(dir.path());
    spool(dir.path(), 2000)
        .expect("created")
        .finish(finished(true))
        .expect("finished");
    SnapshotSpool::create(real(), dir.path(), id(2), at(9000))
        .expect("created")
        .finish(finished(true))
        .expect("finished");
    assert_eq!(
        offsets(&writer),
        [2000],
        "the other one is of a history that the log does not know"
    );
    writer.begin(id(2), at(9000)).expect("begun");
    assert_eq!(offsets(&writer), [9000]);
    assert_eq!(list_snapshots(&RealFs, dir.path()).expect("listed").len(), 1);
}
