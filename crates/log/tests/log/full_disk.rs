//! A full disk: the owner drops the oldest, and if nothing is left to drop, goes on after a gap.

use std::path::Path;
use std::sync::Arc;

use sterna_log::sim::{Faults, SimFs};
use sterna_log::{LogError, LogFs, LogWriter};

use crate::common::{at, block, id, open, read_all, small, stream_bytes};

fn log_on(fs: &SimFs) -> LogWriter {
    let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
    let mut writer = open(&fs, Path::new("/data/shard"), &small())
        .expect("opened")
        .writer;
    writer.begin(id(1), at(0)).expect("begun");
    writer
}

fn fill_up(fs: &SimFs, writer: &mut LogWriter) -> LogError {
    loop {
        let from = writer.extent().end.get();
        if let Err(error) = writer.append(at(from), &[block(from, from + 90, true)]) {
            return error;
        }
        writer.sync().expect("synced");
        assert!(fs.used_bytes() < 1_000_000);
    }
}

#[test]
fn dropping_the_oldest_makes_room_and_nothing_is_missing() {
    let fs = SimFs::new(1);
    let mut writer = log_on(&fs);
    fs.set_faults(Faults {
        capacity_bytes: Some(fs.used_bytes() + 4500),
        ..Faults::default()
    });
    for _ in 0..20 {
        let error = fill_up(&fs, &mut writer);
        assert!(error.is_no_space(), "{error}");
        assert!(
            error.to_string().contains("what was synced before is safe"),
            "{error}"
        );
        let durable = writer.extent().durable_end;
        assert!(matches!(
            writer.append(writer.extent().end, &[]),
            Err(LogError::Stopped { .. })
        ));
        while writer.stopped().is_some() {
            assert!(
                writer.drop_oldest().expect("dropped").is_some(),
                "there is something to drop"
            );
            let report = writer.recover_in_place().expect("recovered");
            assert!(report.end >= durable && report.lost_synced_bytes == 0);
        }
    }
    let (start, end) = (writer.extent().start.get(), writer.extent().end.get());
    assert!(start > 10_000, "it went on for long");
    assert_eq!(
        read_all(&mut writer.readers().reader(), start, end, 512),
        stream_bytes(0, start, end)
    );
}

#[test]
fn with_nothing_to_drop_the_log_restarts_after_the_gap_on_the_space_it_had_kept_back() {
    let fs = SimFs::new(1);
    let mut writer = log_on(&fs);
    assert!(fill_until(&mut writer, 700));
    // Somebody else fills the disk to the last byte.
    fs.set_faults(Faults {
        capacity_bytes: Some(fs.used_bytes()),
        ..Faults::default()
    });
    assert!(fill_up(&fs, &mut writer).is_no_space());
    assert!(writer.drop_oldest().expect("nothing fails").is_none());
    writer.skip_to(id(1), at(5000)).expect("skipped");
    writer
        .append(at(5000), &[block(5000, 5090, true)])
        .expect("there is room for a little");
    writer.sync().expect("synced");
    fs.crash();
    drop(writer);
    let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
    let opened = open(&fs, Path::new("/data/shard"), &small()).expect("opened");
    assert_eq!((opened.start, opened.end), (at(5000), at(5090)));
}

#[test]
fn a_new_start_that_finds_no_room_leaves_the_old_log_as_it_was() {
    let fs = SimFs::new(1);
    let mut writer = log_on(&fs);
    assert!(fill_until(&mut writer, 700));
    fs.put(Path::new("/data/shard/reserve"), None);
    fs.set_faults(Faults {
        capacity_bytes: Some(fs.used_bytes()),
        ..Faults::default()
    });
    let error = writer.begin(id(2), at(9)).expect_err("no room");
    assert!(error.is_no_space() && writer.stopped().is_none(), "{error}");
    assert_eq!(
        (writer.history().current(), writer.extent().end),
        (Some(id(1)), at(700))
    );
    assert!(matches!(
        writer.skip_to(id(2), at(900)),
        Err(LogError::OtherHistory { .. })
    ));
    fs.set_faults(Faults::default());
    writer
        .append(at(700), &[block(700, 750, true)])
        .expect("it goes on");
    assert_eq!(
        read_all(&mut writer.readers().reader(), 0, 750, 512),
        stream_bytes(0, 0, 750)
    );
}

fn fill_until(writer: &mut LogWriter, end: u64) -> bool {
    for from in (0..end).step_by(50) {
        writer
            .append(at(from), &[block(from, from + 50, true)])
            .expect("appended");
    }
    writer.sync().expect("synced") == at(end)
}
