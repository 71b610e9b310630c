//! Drives a log with random steps and keeps the worlds that are possible after each of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_log::sim::{Faults, SimFs, SimRng};
use sterna_log::{
    Block, FinishSnapshot, History, LogError, LogFs, LogReader, LogSettings, LogWriter, Opened, ReadError,
    SnapshotReader, SnapshotSpool, inspect_on,
};
use sterna_protocol::ReplicationId;

use super::world::{Observed, World, without_ids_before};
use crate::common::{at, id, open, read_all, stream_byte};

const ROUNDS: u64 = 5;
const STEPS_PER_ROUND: u64 = 30;

/// A snapshot that was made.
#[derive(Debug, Clone)]
struct Snapshot {
    id: ReplicationId,
    offset: u64,
    bytes: Vec<u8>,
    /// It must be there as long as the log can continue from it.
    certain: bool,
}

pub(super) struct Driver {
    fs: SimFs,
    dir: PathBuf,
    rng: SimRng,
    settings: LogSettings,
    /// The first is what the log was before the step that is open, if one is.
    worlds: Vec<World>,
    snapshots: Vec<Snapshot>,
    ids: u64,
    streams: u64,
    reader: Option<LogReader>,
}

impl Driver {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = SimRng::new(seed);
        let settings = LogSettings {
            segment_bytes: rng.between(50, 3000),
            segment_blocks_max: u32::try_from(rng.between(1, 40)).expect("small"),
            block_bytes_max: u32::try_from(rng.between(8, 700)).expect("small"),
            max_bytes: rng.between(500, 20_000),
            max_age: None,
            spare_segments: u32::try_from(rng.below(3)).expect("small"),
        };
        Self {
            fs: SimFs::new(rng.next_u64()),
            dir: PathBuf::from("/data/shard"),
            rng,
            settings,
            worlds: vec![World::empty(0, History::default())],
            snapshots: Vec::new(),
            ids: 0,
            streams: 0,
            reader: None,
        }
    }

    pub(super) fn run(mut self) {
        for _ in 0..ROUNDS {
            let mut writer = self.open();
            for _ in 0..STEPS_PER_ROUND {
                self.change_faults();
                if writer.stopped().is_some() {
                    self.step_while_stopped(&mut writer);
                } else {
                    self.step(&mut writer);
                }
                if self.fs.is_off() {
                    break;
                }
            }
            if self.fs.is_off() || self.rng.chance(700) {
                self.fs.crash();
            } else {
                self.fs.exit_process();
            }
            drop(writer);
        }
        drop(self.open());
    }

    /// Opens the log as a new process would, sometimes with another power failure on the way.
    fn open(&mut self) -> LogWriter {
        let fs: Arc<dyn LogFs> = Arc::new(self.fs.clone());
        self.reader = None;
        while self.rng.chance(250) {
            let power_off_at = Some(self.fs.operations() + self.rng.between(1, 30));
            let fail_per_1000 = if self.rng.chance(200) { 50 } else { 0 };
            self.fs.set_faults(Faults {
                power_off_at,
                fail_per_1000,
                ..Faults::default()
            });
            drop(open(&fs, &self.dir, &self.settings));
            if self.fs.is_off() || self.rng.coin() {
                self.fs.crash();
            } else {
                self.fs.exit_process();
            }
        }
        self.fs.set_faults(Faults::default());
        let Opened {
            writer,
            history,
            start,
            end,
            recovered,
            snapshots,
        } = open(&fs, &self.dir, &self.settings).expect("it opens after any crash");
        assert_eq!(recovered.lost_synced_bytes, 0, "{recovered:?}");
        let inspection = inspect_on(&self.fs, &self.dir).expect("inspected");
        assert!(inspection.is_sound(), "{inspection}");
        assert_eq!(inspection.end().unwrap_or_default(), end, "{inspection}");
        assert_eq!(writer.history(), &history);
        assert_eq!((writer.extent().start, writer.extent().end), (start, end));
        self.check(&writer, snapshots.len());
        writer
    }

    /// Compares the log with the worlds that are possible and keeps the right one.
    fn check(&mut self, writer: &LogWriter, snapshots_len: usize) {
        let extent = writer.extent();
        let (start, end) = (extent.start.get(), extent.end.get());
        assert_eq!((extent.durable_end, extent.unit_end), (at(end), at(end)));
        let bytes = read_all(&mut writer.readers().reader(), start, end, 5000);
        let found = Observed {
            history: writer.history().clone(),
            start,
            end,
            bytes,
        };
        let differences: Vec<Option<String>> =
            self.worlds.iter().map(|world| world.differs(&found)).collect();
        let Some(right) = differences.iter().position(Option::is_none) else {
            panic!("the log is in none of the possible states: {differences:#?}");
        };
        let mut world = self.worlds.swap_remove(right);
        world.settle(&found);
        self.worlds = vec![world];
        self.check_snapshots(writer, snapshots_len);
    }

    fn check_snapshots(&mut self, writer: &LogWriter, snapshots_len: usize) {
        let (start, end) = (writer.extent().start.get(), writer.extent().end.get());
        let history = writer.history();
        let listed = writer.snapshots().expect("listed");
        assert_eq!(listed.len(), snapshots_len);
        for meta in &listed {
            let known = self
                .snapshots
                .iter()
                .find(|known| known.id == meta.id && at(known.offset) == meta.offset);
            let known = known.expect("a snapshot that nobody made");
            let reader = SnapshotReader::open(&self.fs, &meta.path).expect("it can be opened");
            assert_eq!(reader.read(0, 1 << 20).expect("it can be read"), known.bytes);
            assert_eq!(meta.len, known.bytes.len() as u64);
        }
        self.snapshots.retain(|known| {
            let usable = (start..=end).contains(&known.offset) && history.covers(known.id, at(known.offset));
            let is_listed = listed
                .iter()
                .any(|meta| meta.id == known.id && meta.offset == at(known.offset));
            assert!(is_listed || !known.certain || !usable, "lost {known:?}");
            is_listed
        });
    }

    fn world(&mut self) -> &mut World {
        self.worlds.first_mut().expect("there is always a possible world")
    }

    fn change_faults(&mut self) {
        if !self.rng.chance(150) {
            return;
        }
        let mut faults = Faults::default();
        match self.rng.below(5) {
            0 => faults.power_off_at = Some(self.fs.operations() + self.rng.between(1, 40)),
            1 => faults.fail_per_1000 = self.rng.between(1, 100),
            2 => faults.capacity_bytes = Some(self.fs.used_bytes() + self.rng.below(2000)),
            3 => faults.short_per_1000 = 500,
            _ => {}
        }
        self.fs.set_faults(faults);
    }

    fn step(&mut self, writer: &mut LogWriter) {
        if writer.history().current().is_none() || self.rng.chance(15) {
            return self.begin(writer);
        }
        match self.rng.below(100) {
            0..45 => self.append(writer),
            45..65 => self.sync(writer),
            65..70 => self.truncate(writer),
            70..75 => self.extend_history(writer),
            75..82 => self.drop_segments(writer),
            82..84 => self.skip(writer),
            84..90 => self.snapshot(writer),
            _ => self.read(writer),
        }
    }

    fn step_while_stopped(&mut self, writer: &mut LogWriter) {
        let before = (writer.extent().end, writer.extent().durable_end);
        assert!(matches!(
            writer.append(before.0, &[]),
            Err(LogError::Stopped { .. })
        ));
        assert!(matches!(writer.sync(), Err(LogError::Stopped { .. })));
        match self.rng.below(10) {
            0 => self.drop_segments(writer),
            1 => self.skip(writer),
            2 => self.begin(writer),
            3 => self.read(writer),
            number => {
                if number > 6 {
                    self.fs.set_faults(Faults::default());
                }
                self.recover_in_place(writer);
            }
        }
    }

    fn recover_in_place(&mut self, writer: &mut LogWriter) {
        if let Ok(report) = writer.recover_in_place() {
            assert_eq!(report.lost_synced_bytes, 0, "{report:?}");
            assert_eq!(report.end, writer.extent().end);
            self.fs.set_faults(Faults::default());
            let listed = writer.snapshots().expect("listed").len();
            self.check(writer, listed);
        }
    }

    fn begin(&mut self, writer: &mut LogWriter) {
        self.ids += 1;
        let (new, offset) = (id(self.ids), self.rng.below(5000));
        // Often at an offset where the old log has a segment.
        let offset = if self.rng.coin() {
            self.world().start
        } else {
            offset
        };
        let result = writer.begin(new, at(offset));
        let empty = World::empty(offset, History::begin(new, at(offset)));
        self.restarted(writer, &result, empty);
    }

    fn skip(&mut self, writer: &mut LogWriter) {
        let Some(current) = writer.history().current() else {
            return;
        };
        let from = self
            .worlds
            .iter()
            .map(World::end)
            .max()
            .unwrap_or(0)
            .max(writer.extent().end.get());
        let offset = from + self.rng.below(500);
        let history = without_ids_before(writer.history(), at(offset), offset);
        let result = writer.skip_to(current, at(offset));
        self.restarted(writer, &result, World::empty(offset, history));
    }

    fn restarted(&mut self, writer: &LogWriter, result: &Result<(), LogError>, new: World) {
        match result {
            Ok(()) => {
                assert_eq!(
                    (writer.extent().start, writer.extent().end),
                    (at(new.start), at(new.start))
                );
                assert_eq!(writer.history(), &new.histories[0]);
                assert!(writer.stopped().is_none());
                self.worlds = vec![new];
            }
            Err(_) if writer.stopped().is_some() => self.worlds.push(new),
            Err(_) => {}
        }
    }

    fn append(&mut self, writer: &mut LogWriter) {
        self.streams += u64::from(self.rng.chance(100));
        let from = writer.extent().end;
        let mut blocks = Vec::new();
        for _ in 0..self.rng.between(1, 5) {
            let block = self.block();
            blocks.push(block);
        }
        let end = self.world().end();
        match writer.append(from, &blocks) {
            Ok(report) => assert_eq!((report.end, writer.extent().end), (at(end), at(end))),
            Err(error) => assert!(writer.stopped().is_some(), "{error}"),
        }
    }

    /// The next bytes of the stream; the world knows them from now on.
    fn block(&mut self) -> Block {
        let (from, stream) = (self.world().end(), self.streams);
        let len = self
            .rng
            .below(if self.rng.clone().chance(100) { 2000 } else { 300 });
        let bytes: Bytes = (from..from + len)
            .map(|offset| stream_byte(stream, offset))
            .collect();
        let cut = usize::try_from(self.rng.below(len + 1)).expect("small");
        let inner = from + self.rng.below(len + 1);
        let ends_on_unit = len > 0 && self.rng.chance(600);
        let world = self.world();
        world.content.extend_from_slice(&bytes);
        world.inner_units.insert(inner);
        if ends_on_unit {
            world.units.insert(from + len);
        }
        Block {
            bytes: vec![bytes.slice(..cut), bytes.slice(cut..)],
            wall_ms: from + len,
            ends_on_unit,
        }
    }

    fn sync(&mut self, writer: &mut LogWriter) {
        if let Ok(durable) = writer.sync() {
            assert_eq!(durable.get(), self.world().end());
            self.world().durable = durable.get();
        }
    }

    fn truncate(&mut self, writer: &mut LogWriter) {
        let (start, end) = (writer.extent().start.get(), writer.extent().end.get());
        let world = self.world();
        let boundaries: Vec<u64> = world.units.union(&world.inner_units).copied().collect();
        let boundaries: Vec<u64> = boundaries
            .into_iter()
            .filter(|to| (start..=end).contains(to))
            .collect();
        let Some(&to) = boundaries.get(usize::try_from(self.rng.below(boundaries.len() as u64)).unwrap_or(0))
        else {
            return;
        };
        for snapshot in &mut self.snapshots {
            snapshot.certain &= snapshot.offset <= to;
        }
        let world = self.world();
        // Before the log knows of the boundary at `to` it may still fall back to the last one that it knows.
        world.durable = world.durable.min(to);
        world.durable = world.end_min();
        world.units.insert(to);
        let mut history = writer.history().clone();
        history.truncate(at(to));
        world.histories.push(history.clone());
        if writer.truncate(at(to)).is_ok() {
            assert_eq!(
                (
                    writer.extent().end,
                    writer.extent().durable_end,
                    writer.extent().unit_end
                ),
                (at(to), at(to), at(to))
            );
            let world = self.world();
            world.cut(to);
            world.durable = to;
            world.histories = vec![history];
            self.snapshots.retain(|snapshot| snapshot.offset <= to);
            self.streams += 1;
        }
    }

    fn extend_history(&mut self, writer: &mut LogWriter) {
        self.ids += 1;
        let (new, end) = (id(self.ids), writer.extent().end);
        let mut history = writer.history().clone();
        history.extend(new, end).expect("a new id");
        let history = without_ids_before(&history, history.start(), writer.extent().start.get());
        if writer.extent().unit_end != end {
            assert!(matches!(
                writer.extend_history(new, end),
                Err(LogError::OutOfRange { .. })
            ));
            return;
        }
        self.world().histories.push(history.clone());
        if writer.extend_history(new, end).is_ok() {
            assert_eq!(writer.history(), &history);
            let world = self.world();
            world.histories = vec![history];
            world.durable = end.get();
        }
    }

    fn drop_segments(&mut self, writer: &mut LogWriter) {
        for world in &mut self.worlds {
            world.start_max = world.start_max.max(world.end());
        }
        let keep_from = if self.rng.coin() {
            Some(at(self.rng.below(10_000)))
        } else {
            None
        };
        let result = if writer.stopped().is_some() || self.rng.coin() {
            writer.drop_oldest().map(|_| ())
        } else {
            writer
                .enforce_retention(self.rng.below(100_000), keep_from)
                .map(|_| ())
        };
        if result.is_ok() && writer.stopped().is_none() {
            let world = self.world();
            (world.start, world.start_max) = (writer.extent().start.get(), writer.extent().start.get());
        }
    }

    fn snapshot(&mut self, writer: &mut LogWriter) {
        let Some(current) = writer.history().current() else {
            return;
        };
        let offset = self
            .rng
            .between(writer.extent().start.get(), writer.extent().end.get());
        let fs: Arc<dyn LogFs> = Arc::new(self.fs.clone());
        let dir: &Path = &self.dir;
        let Ok(mut spool) = SnapshotSpool::create(fs, dir, current, at(offset)) else {
            return;
        };
        self.snapshots
            .retain(|known| known.id != current || known.offset != offset);
        let reader = spool.reader();
        let mut bytes = Vec::new();
        for number in 0..self.rng.below(4) {
            let piece: Bytes = (0..self.rng.below(900))
                .map(|at| stream_byte(number, at))
                .collect();
            if spool.append(std::slice::from_ref(&piece)).is_err() {
                return;
            }
            bytes.extend_from_slice(&piece);
            assert_eq!(
                reader.read(0, 1 << 20).expect("it can be read while it grows"),
                bytes
            );
        }
        if self.rng.chance(300) {
            return;
        }
        let sync = self.rng.chance(700);
        let how = FinishSnapshot {
            wall_ms: 1,
            checksum_verified: true,
            note: String::new(),
            sync,
        };
        let finished = spool.finish(how).is_ok();
        self.snapshots.push(Snapshot {
            id: current,
            offset,
            bytes,
            certain: finished && sync,
        });
    }

    fn read(&mut self, writer: &LogWriter) {
        let (start, end) = (writer.extent().start.get(), writer.extent().end.get());
        let mut reader = self.reader.take().unwrap_or_else(|| writer.readers().reader());
        let from = self.rng.between(start.saturating_sub(100), end + 10);
        let max = usize::try_from(self.rng.below(3000)).expect("small");
        match reader.read(at(from), max, at(end)) {
            Ok(bytes) => {
                let to = from + bytes.len() as u64;
                assert!(!bytes.is_empty() && bytes.len() <= max.max(1) && to <= end);
                assert_eq!(bytes, self.world().bytes(from, to));
            }
            Err(ReadError::NotYet) => {
                // An interrupted truncation may have got anywhere.
                assert!(
                    from >= end || writer.stopped().is_some(),
                    "{from} of {start}..{end} is there"
                );
            }
            Err(ReadError::Dropped { start: now }) => assert!(from < now.get() && now.get() >= start),
            Err(ReadError::Replaced) => return,
            // While the log is stopped its files may be in any state.
            Err(_) if self.fs.is_off() || writer.stopped().is_some() => return,
            Err(error) => panic!("reading {from} of {start}..{end}: {error}"),
        }
        self.reader = Some(reader);
    }
}
