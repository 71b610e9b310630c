//! Looking at a log without touching it: also at one that is locked by its writer, or too damaged to open.

mod display;
mod segment;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sterna_protocol::{Offset, ReplicationId};

use crate::history_file;
use crate::layout::{Layout, SegmentFile, parse_snapshot};
use crate::snapshot::{self, StoredSnapshot};
use crate::{History, LogError, LogFs, RealFs};

/// Bytes of a snapshot that are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// What a log's directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The log's directory.
    pub dir: PathBuf,
    /// The chain of replication ids; `None` if the log was never begun, or the file can't be read.
    pub history: Option<History>,
    /// The segments, oldest first.
    pub segments: Vec<SegmentInspection>,
    /// The snapshots, oldest first, with those that are not complete.
    pub snapshots: Vec<SnapshotInspection>,
    /// What is wrong, in words, apart from what the segments say of themselves: gaps between them, files that belong to
    /// no segment, a history that can't be read.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInspection {
    /// It covers `(start, end]`.
    pub start: Offset,
    /// Where its valid blocks end.
    pub end: Offset,
    /// Stream bytes in valid blocks.
    pub bytes: u64,
    /// Valid blocks.
    pub blocks: u64,
    /// When its first block arrived, in milliseconds since the Unix epoch.
    pub first_ms: Option<u64>,
    /// When its last block arrived, in milliseconds since the Unix epoch.
    pub last_ms: Option<u64>,
    /// The last unit boundary in it.
    pub unit_end: Option<Offset>,
    /// Bytes that the data file has beyond its blocks. They mean nothing and do no harm.
    pub unindexed_bytes: u64,
    pub state: SegmentState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum SegmentState {
    /// Every checksum holds.
    Ok,
    /// The newest segment ends in a block or index record that isn't valid: it is being written, or a crash tore it. It
    /// is dropped when the log is opened.
    TornTail {
        /// The first offset of it.
        offset: Offset,
        /// What doesn't hold.
        what: String,
    },
    /// Something that should be there isn't, or doesn't match its checksum.
    Damaged {
        /// The first offset that is in doubt.
        offset: Offset,
        /// What doesn't hold.
        what: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInspection {
    /// The history it belongs to.
    pub id: ReplicationId,
    /// The offset that its data is at.
    pub offset: Offset,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was finished, in milliseconds since the Unix epoch; `None` if it is not complete.
    pub finished_ms: Option<u64>,
    /// Whether its bytes match the checksum that was recorded; `None` if it is not complete.
    pub intact: Option<bool>,
    /// Whether it survives a restart.
    pub durable: bool,
}

impl Inspection {
    /// Where the log starts, if it has a segment.
    pub fn start(&self) -> Option<Offset> {
        self.segments.first().map(|segment| segment.start)
    }

    /// Where the valid blocks end, if it has a segment.
    pub fn end(&self) -> Option<Offset> {
        self.segments.last().map(|segment| segment.end)
    }

    /// Whether nothing is wrong. A torn tail is not: it is what a crash leaves, or what a running writer shows.
    pub fn is_sound(&self) -> bool {
        let damaged = |segment: &SegmentInspection| matches!(segment.state, SegmentState::Damaged { .. });
        self.problems.is_empty()
            && !self.segments.iter().any(damaged)
            && !self
                .snapshots
                .iter()
                .any(|snapshot| snapshot.intact == Some(false))
    }
}

/// Reads everything in `dir` and checks every checksum. It changes nothing and takes no lock; while a writer is at work
/// it may see steps of it half done.
pub fn inspect(dir: &Path) -> Result<Inspection, LogError> {
    inspect_on(&RealFs, dir)
}

/// The same on any file system.
pub fn inspect_on(fs: &dyn LogFs, dir: &Path) -> Result<Inspection, LogError> {
    let layout = Layout::new(dir);
    fs.list(dir).map_err(|error| LogError::io("list", dir, error))?;
    let mut problems = Vec::new();
    let history = match history_file::load(fs, &layout) {
        Ok(stored) => stored,
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    if history.as_ref().is_some_and(|stored| stored.clearing) {
        problems.push("a new start of the log was interrupted: opening it drops every segment".to_owned());
    }
    let history = history.map(|stored| stored.history);
    let segments = inspect_segments(fs, &layout, &mut problems)?;
    if history.is_none() && !segments.is_empty() {
        problems.push("there are segments, but no history that says whose they are".to_owned());
    }
    if history.is_some() && segments.is_empty() {
        problems.push("there is a history, but every segment is missing".to_owned());
    }
    let snapshots = inspect_snapshots(fs, &layout)?;
    Ok(Inspection {
        dir: dir.to_owned(),
        history,
        segments,
        snapshots,
        problems,
    })
}

fn inspect_segments(
    fs: &dyn LogFs,
    layout: &Layout,
    problems: &mut Vec<String>,
) -> Result<Vec<SegmentInspection>, LogError> {
    let dir = layout.segments();
    let names = match fs.list(&dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(LogError::io("list", &dir, error)),
    };
    let files: Vec<SegmentFile> = names.iter().filter_map(|name| SegmentFile::parse(name)).collect();
    let index_start = |file: &SegmentFile| match file {
        SegmentFile::Index(start) => Some(*start),
        _ => None,
    };
    let mut starts: Vec<Offset> = files.iter().filter_map(index_start).collect();
    starts.sort_unstable();

    let mut segments: Vec<SegmentInspection> = Vec::with_capacity(starts.len());
    for (number, start) in starts.iter().enumerate() {
        if let Some(before) = segments.last().filter(|before| before.end != *start) {
            problems.push(format!(
                "the segment at {} ends at {}, the next one starts at {start}",
                before.start, before.end
            ));
        }
        segments.push(segment::inspect(fs, layout, *start, number + 1 == starts.len())?);
    }
    for file in &files {
        if let SegmentFile::Data(start) = file
            && starts.binary_search(start).is_err()
            && !files.contains(&SegmentFile::Gone(*start))
        {
            problems.push(format!("{} has no index", file.name()));
        }
    }
    Ok(segments)
}

fn inspect_snapshots(fs: &dyn LogFs, layout: &Layout) -> Result<Vec<SnapshotInspection>, LogError> {
    let mut snapshots = Vec::new();
    for name in snapshot::list(fs, layout)? {
        let Some((offset, id)) = parse_snapshot(&name, ".rdb") else {
            continue;
        };
        let (bytes, crc32c) = match checksum(fs, &layout.snapshots().join(&name)) {
            Ok(found) => found,
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(LogError::io("read", &layout.snapshots().join(&name), error)),
        };
        let stored: Option<StoredSnapshot> = snapshot::load(fs, layout, id, offset);
        snapshots.push(SnapshotInspection {
            id,
            offset,
            bytes,
            finished_ms: stored.as_ref().map(|stored| stored.meta.wall_ms),
            intact: stored.as_ref().map(|stored| stored.crc32c == crc32c),
            durable: stored.is_some_and(|stored| stored.synced),
        });
    }
    snapshots.sort_by_key(|snapshot| (snapshot.offset, snapshot.id));
    Ok(snapshots)
}

fn checksum(fs: &dyn LogFs, path: &Path) -> io::Result<(u64, u32)> {
    let file = fs.open_read(path)?;
    let (mut position, mut crc) = (0, 0);
    loop {
        let bytes = file.read_at(READ_BYTES, position)?;
        if bytes.is_empty() {
            return Ok((position, crc));
        }
        crc = crc32c::crc32c_append(crc, &bytes);
        position += bytes.len() as u64;
    }
}
