//! What was changed behind the log's back is refused or dropped with a clear word, never guessed at and never handed out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use sterna_log::sim::{Faults, SimFs};
use sterna_log::{LogError, LogFs, LogReader, Opened, ReadError, SegmentState, inspect_on};

use crate::common::{at, block, id, open, read_all, small, stream_bytes};

const DIR: &str = "/data/shard";

/// A log of stream 0 that covers `(0, 4900]` in segments of 1000 bytes and blocks of 50, each a unit.
fn log_on(fs: &SimFs) {
    let mut writer = reopen(fs).expect("opened").writer;
    writer.begin(id(1), at(0)).expect("begun");
    for from in (0..4900).step_by(50) {
        writer
            .append(at(from), &[block(from, from + 50, true)])
            .expect("appended");
        writer.sync().expect("synced");
    }
}

fn filled() -> SimFs {
    let fs = SimFs::new(1);
    log_on(&fs);
    fs
}

fn reopen(fs: &SimFs) -> Result<Opened, LogError> {
    let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
    open(&fs, Path::new(DIR), &small())
}

fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn segment(start: u64, extension: &str) -> PathBuf {
    file(&format!("segments/{start:020}.{extension}"))
}

fn flip(fs: &SimFs, path: &Path, at: usize) {
    let mut contents = fs.contents(path).expect("it is there");
    contents[at] ^= 1;
    fs.put(path, Some(contents));
}

fn everything(fs: &SimFs) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    fs.paths()
        .into_iter()
        .map(|path| (path.clone(), fs.contents(&path)))
        .collect()
}

/// Opens it and expects that it is refused for damage at that file and offset, with nothing changed.
fn assert_refused(fs: &SimFs, path: &Path, offset: u64) {
    let before = everything(fs);
    let error = reopen(fs).expect_err("it is damaged");
    match &error {
        LogError::Damaged {
            path: found,
            offset: found_at,
            ..
        } => {
            assert_eq!((found.as_path(), *found_at), (path, at(offset)), "{error}");
        }
        _ => panic!("{error}"),
    }
    assert!(error.to_string().contains("move it away"), "{error}");
    assert!(everything(fs) == before, "something was changed");
    let inspection = inspect_on(fs, Path::new(DIR)).expect("inspected");
    assert!(!inspection.is_sound(), "{inspection}");
}

#[test]
fn a_missing_segment_in_the_middle_is_refused() {
    let fs = filled();
    fs.put(&segment(2000, "seg"), None);
    assert_refused(&fs, &segment(2000, "seg"), 2000);
    fs.put(&segment(2000, "idx"), None);
    assert_refused(&fs, &segment(1000, "idx"), 2000);
}

#[test]
fn a_missing_index_is_refused_wherever_it_was() {
    for start in [0, 3000, 4000] {
        let fs = filled();
        fs.put(&segment(start, "idx"), None);
        assert_refused(&fs, &segment(start, "idx"), start);
    }
}

#[test]
fn a_missing_newest_segment_is_refused() {
    let fs = filled();
    fs.put(&segment(4000, "seg"), None);
    assert_refused(&fs, &segment(4000, "seg"), 4000);
}

#[test]
fn a_segment_of_the_wrong_size_is_refused() {
    let fs = filled();
    let mut contents = fs.contents(&segment(1000, "seg")).expect("it is there");
    contents.truncate(999);
    fs.put(&segment(1000, "seg"), Some(contents));
    assert_refused(&fs, &segment(1000, "seg"), 1999);
}

#[test]
fn an_index_of_another_segment_is_refused() {
    let fs = filled();
    fs.put(&segment(1000, "idx"), fs.contents(&segment(2000, "idx")));
    assert_refused(&fs, &segment(1000, "idx"), 1000);
}

#[test]
fn a_log_without_its_history_or_segments_is_refused() {
    let fs = filled();
    let history = fs.contents(&file("history.json"));
    fs.put(&file("history.json"), None);
    assert_refused(&fs, &file("history.json"), 0);
    fs.put(&file("history.json"), history);
    for path in fs
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(file("segments")))
    {
        fs.put(&path, None);
    }
    assert_refused(&fs, &file("segments"), 0);
}

#[test]
fn a_history_that_was_changed_is_refused() {
    let fs = filled();
    let text = String::from_utf8(fs.contents(&file("history.json")).expect("it is there")).expect("text");
    for changed in [
        text.replace("01\"", "02\""),
        text.replace("\"start\": 0", "\"start\": 1"),
        text[..40].to_owned(),
    ] {
        assert_ne!(changed, text);
        fs.put(&file("history.json"), Some(changed.into_bytes()));
        assert_refused(&fs, &file("history.json"), 0);
    }
}

#[test]
fn a_format_of_a_later_version_is_named() {
    let fs = filled();
    let text = String::from_utf8(fs.contents(&file("history.json")).expect("it is there")).expect("text");
    fs.put(
        &file("history.json"),
        Some(text.replace("\"format\": 1", "\"format\": 2").into_bytes()),
    );
    let error = reopen(&fs).expect_err("unknown");
    assert!(
        matches!(
            error,
            LogError::UnknownFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
    fs.put(&file("history.json"), Some(text.into_bytes()));

    let mut index = fs.contents(&segment(1000, "idx")).expect("it is there");
    index[8] = 3;
    let crc = crc32c::crc32c(&index[..28]);
    index[28..32].copy_from_slice(&crc.to_le_bytes());
    fs.put(&segment(1000, "idx"), Some(index));
    let error = reopen(&fs).expect_err("unknown");
    assert!(
        matches!(
            error,
            LogError::UnknownFormat {
                found: 3,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_bad_block_in_an_old_segment_is_found_when_it_is_read_and_the_rest_is_good() {
    let fs = filled();
    flip(&fs, &segment(2000, "seg"), 333);
    let writer = reopen(&fs).expect("opened").writer;
    let mut reader = writer.readers().reader();
    assert_eq!(read_all(&mut reader, 0, 2300, 4096), stream_bytes(0, 0, 2300));
    let error = reader.read(at(2310), 100, at(4900)).expect_err("damaged");
    assert!(
        matches!(&error, ReadError::Damaged { path, offset, .. }
        if *path == segment(2000, "seg") && *offset == at(2300)),
        "{error}"
    );
    assert_eq!(
        read_all(&mut reader, 2350, 4900, 4096),
        stream_bytes(0, 2350, 4900)
    );

    let inspection = inspect_on(&fs, Path::new(DIR)).expect("inspected");
    let what = "a block does not match its checksum".to_owned();
    assert_eq!(
        inspection.segments[2].state,
        SegmentState::Damaged {
            offset: at(2300),
            what
        }
    );
}

#[test]
fn synced_bytes_that_the_disk_lost_are_counted() {
    let fs = filled();
    flip(&fs, &segment(4000, "seg"), 420);
    let opened = reopen(&fs).expect("opened");
    assert_eq!((opened.end, opened.recovered.dropped_bytes), (at(4400), 500));
    // Each block was synced before the next one was written; whether the last one was, nothing on disk says.
    assert_eq!(opened.recovered.lost_synced_bytes, 450);
}

#[test]
fn a_read_only_disk_is_named_and_can_still_be_inspected() {
    let fs = filled();
    fs.set_faults(Faults {
        read_only: true,
        ..Faults::default()
    });
    let error = reopen(&fs).expect_err("read only");
    assert!(
        error.to_string().contains("cannot lock /data/shard/lock"),
        "{error}"
    );
    assert!(inspect_on(&fs, Path::new(DIR)).expect("inspected").is_sound());
    let mut reader = LogReader::inspecting(Arc::new(fs.clone()), Path::new(DIR));
    assert_eq!(read_all(&mut reader, 0, 4900, 999), stream_bytes(0, 0, 4900));
}

#[test]
fn a_real_directory_that_cannot_be_made_is_named() {
    let fs: Arc<dyn LogFs> = Arc::new(sterna_log::RealFs);
    let error = open(&fs, Path::new("/proc/sterna/shard"), &small()).expect_err("nobody can create it");
    assert!(
        error.to_string().starts_with("cannot create /proc/sterna/shard"),
        "{error}"
    );
}

#[test]
fn files_of_others_are_left_alone() {
    let fs = filled();
    let foreign = [
        file("segments/lost+found"),
        file("snapshots/README"),
        file("segments/1.seg"),
    ];
    for path in &foreign {
        fs.put(path, Some(vec![1]));
    }
    let mut writer = reopen(&fs).expect("opened").writer;
    writer.begin(id(2), at(7)).expect("begun");
    for path in &foreign {
        assert!(fs.contents(path).is_some(), "{} was removed", path.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_no_wrong_byte_is_handed_out(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255u8), 1..6),
        cut: Option<prop::sample::Index>,
    ) {
        let fs = filled();
        for (which, at, mask) in changes {
            let path = which.get(&fs.paths()).clone();
            let mut contents = fs.contents(&path).expect("it is there");
            if contents.is_empty() {
                continue;
            }
            let at = at.index(contents.len());
            contents[at] ^= mask;
            if let Some(cut) = cut.filter(|_| mask > 128) {
                contents.truncate(cut.index(contents.len()));
            }
            fs.put(&path, Some(contents));
        }
        inspect_on(&fs, Path::new(DIR)).expect("inspected").to_string();
        let Ok(opened) = reopen(&fs) else { return Ok(()) };
        prop_assert!(opened.end <= at(4900));
        let mut reader = opened.writer.readers().reader();
        let mut from = opened.start;
        while from < opened.end {
            match reader.read(from, 170, opened.end) {
                Ok(bytes) => {
                    let to = from + bytes.len() as u64;
                    prop_assert_eq!(bytes, stream_bytes(0, from.get(), to.get()));
                    from = to;
                }
                Err(ReadError::Damaged { .. }) => from += 1,
                Err(error) => panic!("{from}: {error}"),
            }
        }
    }
}
