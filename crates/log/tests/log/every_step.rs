//! Each change of a log, interrupted at each of its disk operations: by the power, or by one error that recovery follows.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sterna_log::sim::{Faults, SimFs};
use sterna_log::{FinishSnapshot, History, LogError, LogFs, LogSettings, LogWriter, Opened, SnapshotSpool};

use crate::common::{at, block, id, open, read_all, small, stream_bytes};

const DIR: &str = "/data/shard";
/// How often each interruption is repeated with another outcome of the crash.
const CRASHES: u64 = 4;

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 1030,
        spare_segments: 1,
        ..small()
    }
}

fn reopen(fs: &SimFs) -> Opened {
    let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
    open(&fs, Path::new(DIR), &settings()).expect("it opens")
}

/// A synced log of stream 0 that covers `(0, 4900]`, in units of 70 bytes. Its segments start at 0, 1015, 2030, 3045 and
/// 4060: every other one inside of a unit.
fn prepared(seed: u64) -> (SimFs, LogWriter) {
    let fs = SimFs::new(seed);
    let mut writer = reopen(&fs).writer;
    writer.begin(id(1), at(0)).expect("begun");
    let blocks: Vec<_> = (0..4900)
        .step_by(35)
        .map(|from| block(from, from + 35, from % 70 == 35))
        .collect();
    writer.append(at(0), &blocks).expect("appended");
    writer.sync().expect("synced");
    (fs, writer)
}

/// Interrupts `step` everywhere and calls `check` with what is there afterwards; whatever is there must be stream 0.
fn interrupt_everywhere(
    step: impl Fn(&SimFs, &mut LogWriter) -> Result<(), LogError>,
    check: impl Fn(&LogWriter, &str),
) {
    let (fs, mut writer) = prepared(0);
    let before = fs.operations();
    step(&fs, &mut writer).expect("nothing fails");
    check(&writer, "not interrupted");
    let operations = fs.operations() - before;
    assert!(operations > 0);

    for operation in 1..=operations {
        for seed in 0..CRASHES {
            let (fs, mut writer) = prepared(seed);
            let power_off_at = Some(fs.operations() + operation);
            fs.set_faults(Faults {
                power_off_at,
                ..Faults::default()
            });
            let _ = step(&fs, &mut writer);
            fs.crash();
            drop(writer);
            check_and_go_on(
                &fs,
                reopen(&fs),
                &check,
                &format!("power off at operation {operation}, seed {seed}"),
            );
        }
        for seed in 0..CRASHES {
            let (fs, mut writer) = prepared(seed);
            let fail_at = Some(fs.operations() + operation);
            fs.set_faults(Faults {
                fail_at,
                ..Faults::default()
            });
            let failed = step(&fs, &mut writer).is_err();
            fs.set_faults(Faults::default());
            let how = format!("operation {operation} failed, seed {seed}");
            if writer.stopped().is_some() {
                assert!(failed, "{how}");
                let report = writer.recover_in_place().expect("it recovers");
                assert_eq!(report.lost_synced_bytes, 0, "{how}: {report:?}");
            }
            check(&writer, &how);
            fs.crash();
            drop(writer);
            check_and_go_on(&fs, reopen(&fs), &check, &how);
        }
    }
}

/// The log is right, and what is appended to it now survives another crash.
fn check_and_go_on(fs: &SimFs, opened: Opened, check: &impl Fn(&LogWriter, &str), how: &str) {
    let Opened {
        mut writer,
        start,
        end,
        recovered,
        ..
    } = opened;
    assert_eq!(recovered.lost_synced_bytes, 0, "{how}: {recovered:?}");
    let (start, end) = (start.get(), end.get());
    assert_eq!(
        read_all(&mut writer.readers().reader(), start, end, 4096),
        stream_bytes(0, start, end),
        "{how}"
    );
    check(&writer, how);
    let further = end + 2100;
    writer
        .append(at(end), &[block(end, further, true)])
        .expect("appended");
    writer.sync().expect("synced");
    fs.crash();
    drop(writer);
    let opened = reopen(fs);
    assert_eq!((opened.start.get(), opened.end.get()), (start, further), "{how}");
    let bytes = read_all(&mut opened.writer.readers().reader(), start, further, 4096);
    assert_eq!(bytes, stream_bytes(0, start, further), "{how}");
}

fn range(writer: &LogWriter) -> (u64, u64) {
    (writer.extent().start.get(), writer.extent().end.get())
}

/// Lets one operation of `step` fail and then cuts the power during the recovery from it.
fn interrupt_the_recovery(
    step: impl Fn(&SimFs, &mut LogWriter) -> Result<(), LogError>,
    check: impl Fn(&LogWriter, &str),
) {
    let (fs, mut writer) = prepared(0);
    let before = fs.operations();
    step(&fs, &mut writer).expect("nothing fails");
    for failing in 1..=fs.operations() - before {
        for off_after in 1.. {
            let (fs, mut writer) = prepared(failing * 100 + off_after);
            let fail_at = Some(fs.operations() + failing);
            fs.set_faults(Faults {
                fail_at,
                ..Faults::default()
            });
            let _ = step(&fs, &mut writer);
            if writer.stopped().is_none() {
                break;
            }
            let power_off_at = Some(fs.operations() + off_after);
            fs.set_faults(Faults {
                power_off_at,
                ..Faults::default()
            });
            let recovered = writer.recover_in_place().is_ok();
            fs.crash();
            drop(writer);
            let how = format!("operation {failing} failed, power off {off_after} operations later");
            check_and_go_on(&fs, reopen(&fs), &check, &how);
            if recovered {
                break;
            }
        }
    }
}

#[test]
fn rolling_to_the_next_segments() {
    interrupt_everywhere(
        |_, writer| {
            writer.append(at(4900), &[block(4900, 7000, true)])?;
            writer.sync().map(|_| ())
        },
        |writer, how| {
            let (start, end) = range(writer);
            assert!(
                start == 0 && (end == 4900 || end == 7000),
                "{how}: {start}..{end}"
            );
        },
    );
}

#[test]
fn rolling_that_is_interrupted_twice_at_different_offsets() {
    let roll = |writer: &mut LogWriter, by: u64| {
        let from = writer.extent().end.get();
        writer.append(
            at(from),
            &[block(from, from + by, true), block(from + by, from + 2000, true)],
        )
    };
    let off_after = |fs: &SimFs, operations: u64| {
        let power_off_at = Some(fs.operations() + operations);
        fs.set_faults(Faults {
            power_off_at,
            ..Faults::default()
        });
    };
    for first in 1..14 {
        for second in 1..14 {
            for seed in 0..CRASHES {
                let (fs, mut writer) = prepared(seed);
                off_after(&fs, first);
                let _ = roll(&mut writer, 30);
                fs.crash();
                drop(writer);
                let mut writer = reopen(&fs).writer;
                off_after(&fs, second);
                let _ = roll(&mut writer, 50);
                fs.crash();
                drop(writer);
                let how = format!("power off at {first} and {second}, seed {seed}");
                check_and_go_on(
                    &fs,
                    reopen(&fs),
                    &|writer, how| assert!(range(writer).1 >= 4900, "{how}"),
                    &how,
                );
            }
        }
    }
}

#[test]
fn beginning_anew_leaves_the_old_log_or_the_new_one() {
    // At the start of an old segment: its files have the same names.
    for offset in [0, 1015, 7777] {
        interrupt_everywhere(
            |_, writer| writer.begin(id(2), at(offset)),
            |writer, how| check_begun(writer, offset, how),
        );
    }
    interrupt_the_recovery(
        |_, writer| writer.begin(id(2), at(1015)),
        |writer, how| check_begun(writer, 1015, how),
    );
}

fn check_begun(writer: &LogWriter, offset: u64, how: &str) {
    if *writer.history() == History::begin(id(1), at(0)) {
        assert_eq!(range(writer), (0, 4900), "{how}");
    } else {
        assert_eq!(*writer.history(), History::begin(id(2), at(offset)), "{how}");
        assert_eq!(range(writer), (offset, offset), "{how}");
    }
}

#[test]
fn skipping_leaves_the_old_log_or_the_new_one() {
    interrupt_everywhere(
        |_, writer| writer.skip_to(id(1), at(6000)),
        |writer, how| {
            let expected = if writer.history().start() == at(0) {
                (0, 4900)
            } else {
                (6000, 6000)
            };
            assert_eq!(range(writer), expected, "{how}");
        },
    );
}

#[test]
fn truncating_never_falls_behind_its_target() {
    // Inside of a block, at the end of one that ends no unit, at a segment's start inside and between units, and at the
    // log's.
    for to in [4893, 2501, 3043, 2485, 3045, 2030, 0] {
        interrupt_everywhere(
            |_, writer| writer.truncate(at(to)),
            |writer, how| check_truncated(writer, to, how),
        );
    }
    interrupt_the_recovery(
        |_, writer| writer.truncate(at(2501)),
        |writer, how| check_truncated(writer, 2501, how),
    );
}

fn check_truncated(writer: &LogWriter, to: u64, how: &str) {
    let (start, end) = range(writer);
    assert!(
        start == 0 && (to..=4900).contains(&end),
        "to {to}, {how}: {start}..{end}"
    );
    assert!(
        end == to || end.is_multiple_of(70),
        "to {to}, {how}: {start}..{end}"
    );
}

#[test]
fn the_history_goes_on_or_it_does_not() {
    interrupt_everywhere(
        |_, writer| {
            writer.append(at(4900), &[block(4900, 4970, true)])?;
            writer.extend_history(id(2), at(4970))
        },
        |writer, how| {
            let extended = writer.history().current() == Some(id(2));
            assert!(
                !extended || writer.extent().end == at(4970),
                "{how}: the history is ahead of the log"
            );
            assert!(
                writer.extent().start == at(0) && writer.extent().end >= at(4900),
                "{how}"
            );
        },
    );
}

#[test]
fn retention_takes_whole_segments_from_the_old_end_only() {
    interrupt_everywhere(
        |_, writer| {
            while writer.drop_oldest()?.is_some() {}
            Ok(())
        },
        |writer, how| assert_eq!(range(writer).1, 4900, "{how}"),
    );
    interrupt_the_recovery(
        |_, writer| writer.drop_oldest().map(|_| ()),
        |writer, how| assert_eq!(range(writer).1, 4900, "{how}"),
    );
    interrupt_everywhere(
        |_, writer| {
            writer.append(at(4900), &[block(4900, 8000, true)])?;
            writer.enforce_retention(0, None).map(|_| ())
        },
        |writer, how| assert!(range(writer).1 >= 4900, "{how}"),
    );
}

#[test]
fn a_snapshot_is_complete_or_not_there() {
    let bytes = stream_bytes(5, 0, 3000);
    interrupt_everywhere(
        |fs, _| {
            let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
            let mut spool = SnapshotSpool::create(fs, Path::new(DIR), id(1), at(4000))?;
            spool.append(&[bytes.slice(..1000), Bytes::new(), bytes.slice(1000..)])?;
            spool
                .finish(FinishSnapshot {
                    wall_ms: 1,
                    checksum_verified: true,
                    note: String::new(),
                    sync: true,
                })
                .map(|_| ())
        },
        |writer, how| {
            assert_eq!(range(writer).0, 0);
            let snapshots = writer.snapshots().expect("listed");
            assert!(snapshots.len() <= 1, "{how}");
            assert!(snapshots.iter().all(|snapshot| snapshot.len == 3000), "{how}");
            assert!(how != "not interrupted" || snapshots.len() == 1);
        },
    );
}

#[test]
fn recovery_itself_can_be_interrupted() {
    // A unit that spans segments and is not whole: recovery drops segments and cuts another.
    let prepare = |seed| {
        let (fs, mut writer) = prepared(seed);
        writer
            .append(at(4900), &[block(4900, 8000, false)])
            .expect("appended");
        fs.exit_process();
        fs
    };
    let fs = prepare(0);
    let before = fs.operations();
    assert_eq!(reopen(&fs).end, at(4900));
    for operation in 1..=fs.operations() - before {
        for seed in 0..CRASHES {
            let fs = prepare(seed);
            fs.set_faults(Faults {
                power_off_at: Some(fs.operations() + operation),
                ..Faults::default()
            });
            let shared: Arc<dyn LogFs> = Arc::new(fs.clone());
            drop(open(&shared, Path::new(DIR), &settings()));
            fs.crash();
            let how = format!("power off at operation {operation}, seed {seed}");
            check_and_go_on(
                &fs,
                reopen(&fs),
                &|writer, how| assert_eq!(range(writer), (0, 4900), "{how}"),
                &how,
            );
        }
    }
}
