//! Readers in other threads while the writer appends, rolls, drops and truncates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sterna_log::{LogFs, LogReader, LogSettings, ReadError, RealFs};

use crate::common::{at, block, id, open, small, stream_bytes};

const END: u64 = 400_000;

fn settings(spare_segments: u32) -> LogSettings {
    LogSettings {
        segment_bytes: 5000,
        max_bytes: 40_000,
        spare_segments,
        ..small()
    }
}

/// Follows the log from its start to `END`; returns the bytes it read and how often retention had passed it.
fn follow(mut reader: LogReader, written: &AtomicU64, piece: usize, dawdle: bool) -> (u64, u64) {
    let (mut from, mut total, mut dropped) = (0, 0, 0);
    while from < END {
        let upto = written.load(Ordering::SeqCst);
        match reader.read(at(from), piece, at(upto)) {
            Ok(bytes) => {
                let to = from + bytes.len() as u64;
                assert!(to <= upto);
                assert_eq!(bytes, stream_bytes(0, from, to), "after {from}");
                (from, total) = (to, total + bytes.len() as u64);
                if dawdle && to.is_multiple_of(3) {
                    std::thread::yield_now();
                }
            }
            Err(ReadError::NotYet) => {
                assert!(from >= upto, "{from} of {upto} was written");
                std::thread::yield_now();
            }
            Err(ReadError::Dropped { start }) => {
                assert!(start.get() > from);
                (from, dropped) = (start.get(), dropped + 1);
            }
            Err(error) => panic!("after {from}: {error}"),
        }
    }
    (total, dropped)
}

/// Tells the other threads to stop, also when this one fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn writer_and_readers(spare_segments: u32) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    let mut writer = open(&fs, dir.path(), &settings(spare_segments))
        .expect("opened")
        .writer;
    writer.begin(id(1), at(0)).expect("begun");
    let written = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = StopAtEnd(&done);
        let followers: Vec<_> = [(90, false), (7000, true), (1 << 20, false)]
            .map(|(piece, dawdle)| (writer.readers().reader(), piece, dawdle))
            .into_iter()
            .map(|(reader, piece, dawdle)| {
                let written = &written;
                scope.spawn(move || follow(reader, written, piece, dawdle))
            })
            .collect();
        let times = scope.spawn({
            let mut reader = LogReader::inspecting(Arc::clone(&fs), dir.path());
            let done = &done;
            move || {
                let mut latest = 0;
                while !done.load(Ordering::SeqCst) {
                    if let Some(time) = reader.time_of(at(latest)).expect("read") {
                        assert!(time > latest, "blocks are stamped with their end");
                        latest = time;
                    }
                }
            }
        });
        let mut from = 0;
        while from < END {
            let to = (from + 40 + from % 131).min(END);
            writer
                .append(at(from), &[block(from, to, true)])
                .expect("appended");
            written.store(to, Ordering::SeqCst);
            from = to;
            if from.is_multiple_of(10) {
                writer.enforce_retention(from, None).expect("enforced");
            }
        }
        for follower in followers {
            let (total, dropped) = follower.join().expect("the follower");
            assert!(total > 0 && dropped < END);
        }
        drop(stop);
        times.join().expect("the reader of times");
    });
    assert!(writer.disk_bytes() < 60_000);
}

#[test]
fn readers_see_exact_bytes_while_segments_roll_and_go() {
    writer_and_readers(0);
}

#[test]
fn readers_see_exact_bytes_while_segment_files_are_written_over() {
    writer_and_readers(3);
}

#[test]
fn readers_that_stay_before_a_truncation_never_see_what_was_cut_off() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    let mut writer = open(&fs, dir.path(), &small()).expect("opened").writer;
    writer.begin(id(1), at(0)).expect("begun");
    // The part before 2900 stays; what follows is cut off again and again and written anew.
    for from in (0..2900).step_by(50) {
        writer
            .append(at(from), &[block(from, from + 50, true)])
            .expect("appended");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = StopAtEnd(&done);
        let follower = scope.spawn({
            let (mut reader, done) = (writer.readers().reader(), &done);
            move || {
                while !done.load(Ordering::SeqCst) {
                    for from in [0, 950, 2010, 2840] {
                        let bytes = reader
                            .read(at(from), 1 << 20, at(2900))
                            .expect("it is there all the time");
                        assert_eq!(bytes, stream_bytes(0, from, from + bytes.len() as u64));
                    }
                }
            }
        });
        for round in 1..60 {
            let end = 2900 + round * 31;
            let other = sterna_log::Block {
                bytes: vec![stream_bytes(round, 2900, end)],
                wall_ms: round,
                ends_on_unit: true,
            };
            writer.append(at(2900), &[other]).expect("appended");
            let bytes = writer
                .readers()
                .reader()
                .read(at(2900), 40, at(end))
                .expect("read");
            assert_eq!(bytes, stream_bytes(round, 2900, 2900 + bytes.len() as u64));
            writer.truncate(at(2900)).expect("truncated");
        }
        drop(stop);
        follower.join().expect("the follower");
    });
}
