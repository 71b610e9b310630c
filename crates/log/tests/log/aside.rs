//! A log whose files can't be used makes way for another, and is kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sterna_log::{Log, LogError, LogFs, Opened, RealFs};

use crate::common::{at, block, id, small};

/// Does something to a log that is closed.
type Spoil = fn(&Path);

fn open(dir: &Path) -> Result<Opened, LogError> {
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    Log::open_or_keep_aside(fs, dir, small())
}

/// Something in it, and closed.
fn fill(dir: &Path) {
    let mut writer = open(dir).expect("opened").writer;
    writer.begin(id(1), at(0)).expect("begun");
    writer.append(at(0), &[block(0, 50, true)]).expect("appended");
    writer.sync().expect("synced");
}

fn is_empty(opened: &Opened) -> bool {
    opened.history.current().is_none() && opened.end == at(0)
}

#[test]
fn whatever_is_in_the_place_of_its_files_another_begins() {
    let ways: [(&str, Spoil); 6] = [
        ("not a history", |log| {
            fs::write(log.join("history.json"), "{").expect("written");
        }),
        ("format 9", |log| {
            let history = fs::read_to_string(log.join("history.json")).expect("read");
            let later = history.replacen("\"format\": 1", "\"format\": 9", 1);
            assert_ne!(later, history);
            fs::write(log.join("history.json"), later).expect("written");
        }),
        ("every segment is missing", |log| {
            fs::remove_dir_all(log.join("segments")).expect("removed");
        }),
        ("not a directory", |log| {
            fs::remove_dir_all(log.join("snapshots")).expect("removed");
            fs::write(log.join("snapshots"), "").expect("written");
        }),
        ("it is not a regular file", |log| {
            fs::remove_file(log.join("history.json")).expect("removed");
            fs::create_dir(log.join("history.json")).expect("made");
        }),
        ("somebody else put it there", |log| {
            fs::write(log.join("lock"), "somebody else's").expect("written");
        }),
    ];
    for (said, spoil) in ways {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        fill(&log);
        spoil(&log);
        assert!(is_empty(&open(&log).expect(said)), "{said}");
        let kept = Log::kept_aside(&log);
        assert_eq!(kept.len(), 1, "{said}: {kept:?}");
        assert!(kept[0].why.to_lowercase().contains(said), "{said}: {kept:?}");
        assert!(kept[0].dir.starts_with(dir.path()) && kept[0].dir.is_dir());
        assert!(
            !kept[0].why.contains("keep a copy"),
            "nothing is left to do: {kept:?}"
        );
        fill(&log);
    }
}

#[test]
fn the_first_and_the_last_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    for number in 1..=4 {
        fill(&log);
        fs::write(log.join("history.json"), format!("damage {number}")).expect("written");
        assert!(is_empty(&open(&log).expect("another")));
    }
    let kept = Log::kept_aside(&log);
    let damage = |dir: &Path| fs::read_to_string(dir.join("history.json")).expect("kept");
    let damage: Vec<_> = kept.iter().map(|kept| damage(&kept.dir)).collect();
    assert_eq!(damage, ["damage 1", "damage 4"]);
}

/// Another log would not open either: nothing is moved.
#[test]
fn one_that_is_in_use_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    fill(&log);
    let held = open(&log).expect("opened");
    assert!(matches!(open(&log), Err(LogError::Locked { .. })));
    assert_eq!(held.end, at(50));
    assert!(Log::kept_aside(&log).is_empty());
}
