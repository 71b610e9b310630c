//! What a person sees of a log.

use std::path::Path;
use std::sync::Arc;

use sterna_log::{FinishSnapshot, LogFs, RealFs, SegmentState, SnapshotSpool, inspect};

use crate::common::{at, block, id, open, small};

fn filled(dir: &Path) -> sterna_log::LogWriter {
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    let mut writer = open(&fs, dir, &small()).expect("opened").writer;
    writer.begin(id(1), at(500)).expect("begun");
    for from in (500..2000).step_by(50) {
        let mut block = block(from, from + 50, true);
        block.wall_ms = 1_700_000_000_000 + from;
        writer.append(at(from), &[block]).expect("appended");
    }
    writer.extend_history(id(2), at(2000)).expect("extended");
    let spool = SnapshotSpool::create(fs, dir, id(1), at(700)).expect("created");
    let how = FinishSnapshot {
        wall_ms: 1_700_000_001_000,
        checksum_verified: true,
        note: String::new(),
        sync: true,
    };
    spool.finish(how).expect("finished");
    writer
}

#[test]
fn a_log_is_shown_while_its_writer_has_it_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let _writer = filled(dir.path());
    let inspection = inspect(dir.path()).expect("inspected");
    assert!(inspection.is_sound());
    assert_eq!(
        (inspection.start(), inspection.end()),
        (Some(at(500)), Some(at(2000)))
    );
    let blocks: Vec<u64> = inspection.segments.iter().map(|segment| segment.blocks).collect();
    assert_eq!(blocks, [20, 10]);

    let text = inspection.to_string();
    for expected in [
        "It holds offsets 500 to 2000: 1500 bytes.",
        "0000000000000000000000000000000000000001  up to 2000",
        "0000000000000000000000000000000000000002  now",
        "2023-11-14 22:13:20Z",
        "0000000000000000000000000000000000000001 at 700: 0 bytes, 2023-11-14 22:13:21Z, ok",
        "Every checksum holds.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    let json = serde_json::to_value(&inspection).expect("serialized");
    assert_eq!(json["segments"][0]["end"], 1500);
    assert_eq!(json["segments"][1]["state"]["is"], "ok");
    assert_eq!(json["history"]["entries"][0]["end"], 2000);
}

#[test]
fn what_a_crash_tore_is_told_from_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(filled(dir.path()));
    let index = dir.path().join("segments/00000000000000001500.idx");
    let mut bytes = std::fs::read(&index).expect("read");
    let len = bytes.len();
    bytes[len - 1] ^= 1;
    std::fs::write(&index, &bytes).expect("written");
    let inspection = inspect(dir.path()).expect("inspected");
    let what = "an index record is not valid".to_owned();
    assert_eq!(
        inspection.segments[1].state,
        SegmentState::TornTail {
            offset: at(1950),
            what: what.clone()
        }
    );
    assert!(inspection.is_sound());
    assert!(inspection.to_string().contains("dropped when the log is opened"));

    let index = dir.path().join("segments/00000000000000000500.idx");
    bytes = std::fs::read(&index).expect("read");
    bytes[64] ^= 1;
    std::fs::write(&index, &bytes).expect("written");
    let inspection = inspect(dir.path()).expect("inspected");
    assert_eq!(
        inspection.segments[0].state,
        SegmentState::Damaged {
            offset: at(550),
            what
        }
    );
    assert!(!inspection.is_sound());
    assert!(inspection.to_string().contains("The log is damaged."));
}

#[test]
fn a_directory_that_is_not_there_is_an_error_and_an_empty_one_is_an_empty_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let inspection = inspect(dir.path()).expect("inspected");
    assert!(inspection.is_sound() && inspection.to_string().contains("It holds nothing yet."));
    let error = inspect(&dir.path().join("nowhere")).expect_err("not there");
    assert!(error.to_string().starts_with("cannot list"), "{error}");
}
