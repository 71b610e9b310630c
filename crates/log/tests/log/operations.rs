//! The log on a real file system: what everyday operation relies on.

use std::path::Path;
use std::sync::Arc;

use crate::common::{at, block, id, open, read_all, small, stream_bytes};
use sterna_log::{LogError, LogFs, LogSettings, Opened, ReadError, RealFs};
use tempfile::TempDir;

fn real() -> Arc<dyn LogFs> {
    Arc::new(RealFs)
}

fn temp() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A log of stream 0 that covers `(0, end]` in blocks of 50 bytes, each a unit.
fn filled(dir: &Path, end: u64) -> Opened {
    let mut opened = open(&real(), dir, &small()).expect("opened");
    opened.writer.begin(id(1), at(0)).expect("begun");
    for from in (0..end).step_by(50) {
        opened
            .writer
            .append(at(from), &[block(from, (from + 50).min(end), true)])
            .expect("appended");
    }
    opened.writer.sync().expect("synced");
    opened
}

#[test]
fn an_empty_directory_has_no_history_until_the_log_is_begun() {
    let dir = temp();
    let mut opened = open(&real(), dir.path(), &small()).expect("opened");
    assert_eq!(opened.history.current(), None);
    assert!(matches!(
        opened.writer.append(at(0), &[]),
        Err(LogError::NotBegun { .. })
    ));
    opened.writer.begin(id(1), at(70)).expect("begun");
    drop(opened);
    let opened = open(&real(), dir.path(), &small()).expect("opened again");
    assert_eq!((opened.start, opened.end), (at(70), at(70)));
    assert_eq!(opened.history.current(), Some(id(1)));
}

#[test]
fn what_was_appended_is_read_back_across_segments_and_restarts() {
    let dir = temp();
    let opened = filled(dir.path(), 4900);
    let mut reader = opened.writer.readers().reader();
    assert_eq!(read_all(&mut reader, 0, 4900, 70), stream_bytes(0, 0, 4900));
    assert_eq!(
        read_all(&mut reader, 1234, 4321, 10_000),
        stream_bytes(0, 1234, 4321)
    );
    assert!(matches!(
        reader.read(at(4900), 10, at(9999)),
        Err(ReadError::NotYet)
    ));
    drop(opened);
    let opened = open(&real(), dir.path(), &small()).expect("opened again");
    assert_eq!(
        (opened.start, opened.end, opened.recovered.dropped_bytes),
        (at(0), at(4900), 0)
    );
    assert_eq!(
        read_all(&mut opened.writer.readers().reader(), 0, 4900, 333),
        stream_bytes(0, 0, 4900)
    );
}

#[test]
fn a_unit_that_has_not_arrived_whole_is_dropped_when_the_log_is_opened() {
    let dir = temp();
    let mut opened = filled(dir.path(), 950);
    // Over two segment boundaries.
    opened
        .writer
        .append(at(950), &[block(950, 3200, false)])
        .expect("appended");
    assert_eq!(
        (opened.writer.extent().unit_end, opened.writer.extent().end),
        (at(950), at(3200))
    );
    drop(opened);
    let opened = open(&real(), dir.path(), &small()).expect("opened again");
    assert_eq!((opened.end, opened.recovered.dropped_bytes), (at(950), 2250));
    assert_eq!(opened.recovered.lost_synced_bytes, 0);
}

#[test]
fn an_owner_with_another_idea_of_the_offset_cannot_append() {
    let dir = temp();
    let mut opened = filled(dir.path(), 100);
    let error = opened.writer.append(at(90), &[block(90, 100, true)]);
    assert!(matches!(error, Err(LogError::OutOfRange { .. })));
    opened
        .writer
        .append(at(100), &[block(100, 110, true)])
        .expect("the writer goes on");
}

#[test]
fn the_time_of_an_offset_is_when_the_next_byte_came() {
    let dir = temp();
    let opened = filled(dir.path(), 4000);
    let mut reader = opened.writer.readers().reader();
    assert_eq!(reader.time_of(at(0)).expect("read"), Some(50));
    assert_eq!(reader.time_of(at(3949)).expect("read"), Some(3950));
    assert_eq!(reader.time_of(at(3950)).expect("read"), Some(4000));
    assert_eq!(reader.time_of(at(4000)).expect("read"), None);
}

#[test]
fn truncating_splits_a_block_and_the_log_goes_on_from_there() {
    let dir = temp();
    let mut opened = filled(dir.path(), 4000);
    let mut reader = opened.writer.readers().reader();
    assert_eq!(reader.read(at(1500), 999, at(4000)).expect("read").len(), 500);
    opened.writer.truncate(at(1510)).expect("truncated");
    opened.writer.extend_history(id(2), at(1510)).expect("extended");
    let other = sterna_log::Block {
        bytes: vec![stream_bytes(9, 1510, 1600)],
        wall_ms: 1,
        ends_on_unit: true,
    };
    opened.writer.append(at(1510), &[other]).expect("appended");
    let mut expected = stream_bytes(0, 1000, 1510).to_vec();
    expected.extend_from_slice(&stream_bytes(9, 1510, 1600));
    assert_eq!(
        read_all(&mut reader, 1000, 1600, 4096),
        expected,
        "a reader that cached what was cut off"
    );
    opened.writer.sync().expect("synced");
    drop(opened);
    let opened = open(&real(), dir.path(), &small()).expect("opened again");
    assert_eq!((opened.end, opened.recovered.dropped_bytes), (at(1600), 0));
    assert_eq!(opened.history.end_of(id(1)), Some(at(1510)));
    assert_eq!(
        read_all(&mut opened.writer.readers().reader(), 1000, 1600, 4096),
        expected
    );
}

#[test]
fn retention_drops_the_oldest_by_size_and_by_age_but_nothing_that_is_needed() {
    let dir = temp();
    let mut opened = filled(dir.path(), 9000);
    assert!(
        opened
            .writer
            .enforce_retention(9000, Some(at(999)))
            .expect("enforced")
            .is_empty()
    );
    let dropped = opened
        .writer
        .enforce_retention(9000, Some(at(2500)))
        .expect("enforced");
    assert_eq!(
        dropped
            .iter()
            .map(|segment| segment.end.get())
            .collect::<Vec<_>>(),
        [1000, 2000]
    );
    assert_eq!(opened.writer.extent().start, at(2000));
    opened.writer.enforce_retention(9000, None).expect("enforced");
    assert!(opened.writer.disk_bytes() <= 5000);
    let start = opened.writer.extent().start;
    let mut reader = opened.writer.readers().reader();
    assert!(
        matches!(reader.read(at(100), 9, at(9000)), Err(ReadError::Dropped { start: now }) if now == start)
    );
    drop((opened, reader));

    let aged = LogSettings {
        max_age: Some(std::time::Duration::from_secs(1)),
        ..small()
    };
    let mut opened = open(&real(), dir.path(), &aged).expect("opened again");
    assert_eq!(opened.start, start);
    opened.writer.enforce_retention(8500, None).expect("enforced");
    assert_eq!(
        opened.writer.extent().start,
        at(7000),
        "the segment that ends at 8000 is 500 ms old, at 7000 1500 ms"
    );
}

#[test]
fn after_a_gap_the_log_restarts_in_the_same_history() {
    let dir = temp();
    let mut opened = filled(dir.path(), 3000);
    opened.writer.extend_history(id(2), at(3000)).expect("extended");
    assert!(matches!(
        opened.writer.skip_to(id(1), at(7000)),
        Err(LogError::OtherHistory { .. })
    ));
    opened.writer.skip_to(id(2), at(7000)).expect("skipped");
    drop(opened);
    let opened = open(&real(), dir.path(), &small()).expect("opened again");
    assert_eq!((opened.start, opened.end), (at(7000), at(7000)));
    assert_eq!(
        opened
            .history
            .entries()
            .iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>(),
        [id(2)]
    );
}

#[test]
fn a_reader_of_the_old_history_notices_that_the_log_was_begun_anew() {
    let dir = temp();
    let mut opened = filled(dir.path(), 3000);
    let mut reader = opened.writer.readers().reader();
    reader.read(at(0), 10, at(3000)).expect("read");
    opened.writer.begin(id(7), at(0)).expect("begun anew");
    opened
        .writer
        .append(at(0), &[block(0, 50, true)])
        .expect("appended");
    assert!(matches!(
        reader.read(at(20), 10, at(50)),
        Err(ReadError::Replaced)
    ));
    assert_eq!(
        read_all(&mut opened.writer.readers().reader(), 0, 50, 100),
        stream_bytes(0, 0, 50)
    );
}

#[test]
fn a_second_opener_is_told_who_holds_the_log() {
    let dir = temp();
    let opened = filled(dir.path(), 100);
    let error = open(&real(), dir.path(), &small()).expect_err("locked");
    assert!(matches!(&error, LogError::Locked { holder: Some(pid), .. } if *pid == std::process::id()));
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(opened);
    open(&real(), dir.path(), &small()).expect("free again");
}
