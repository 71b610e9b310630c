//! The names of a log's files.

use std::path::{Path, PathBuf};

use sterna_protocol::{Offset, ReplicationId};

/// Digits of an offset in a file name: enough for any `u64`, so that names sort as offsets do.
const OFFSET_DIGITS: usize = 20;

/// Where things are in one log's directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

/// What a file in `segments/` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentFile {
    /// Stream bytes.
    Data(Offset),
    /// The index beside them; without it a segment doesn't exist.
    Index(Offset),
    /// An index of a segment that was dropped: what is left of that segment can be removed.
    Gone(Offset),
    /// An index that was being written.
    Unfinished(Offset),
    /// A dropped segment's data, kept to be written over.
    Spare(Offset),
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.dir.join("history.json")
    }

    pub(crate) fn history_unfinished(&self) -> PathBuf {
        self.dir.join("history.json.tmp")
    }

    /// A file that only keeps some space for the moment when the disk is full.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.dir.join("segments")
    }

    pub(crate) fn segment_file(&self, file: SegmentFile) -> PathBuf {
        self.segments().join(file.name())
    }

    pub(crate) fn data(&self, start: Offset) -> PathBuf {
        self.segment_file(SegmentFile::Data(start))
    }

    pub(crate) fn index(&self, start: Offset) -> PathBuf {
        self.segment_file(SegmentFile::Index(start))
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    pub(crate) fn snapshot(&self, id: ReplicationId, offset: Offset) -> PathBuf {
        self.snapshots()
            .join(format!("{offset:0OFFSET_DIGITS$}-{id}.rdb"))
    }
}

impl SegmentFile {
    pub(crate) fn name(self) -> String {
        let (start, extension) = match self {
            Self::Data(start) => (start, "seg"),
            Self::Index(start) => (start, "idx"),
            Self::Gone(start) => (start, "gone"),
            Self::Unfinished(start) => (start, "tmp"),
            Self::Spare(start) => (start, "spare"),
        };
        format!("{start:0OFFSET_DIGITS$}.{extension}")
    }

    /// What a name says; `None` for a file that is none of ours and is left alone.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (digits, extension) = name.split_once('.')?;
        let start = parse_offset(digits)?;
        Some(match extension {
            "seg" => Self::Data(start),
            "idx" => Self::Index(start),
            "gone" => Self::Gone(start),
            "tmp" => Self::Unfinished(start),
            "spare" => Self::Spare(start),
            _ => return None,
        })
    }
}

/// The offset and id in the name of a snapshot's file, which ends in `extension`.
pub(crate) fn parse_snapshot(name: &str, extension: &str) -> Option<(Offset, ReplicationId)> {
    let (offset, id) = name.strip_suffix(extension)?.split_once('-')?;
    Some((parse_offset(offset)?, id.parse().ok()?))
}

fn parse_offset(digits: &str) -> Option<Offset> {
    let ours = digits.len() == OFFSET_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    if ours {
        digits.parse().ok().map(Offset::new)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_offsets_do_and_are_read_back() {
        let files = [
            SegmentFile::Data(Offset::new(9)),
            SegmentFile::Data(Offset::new(10)),
        ];
        assert_eq!(files[0].name(), "00000000000000000009.seg");
        assert!(files[0].name() < files[1].name());
        for start in [0, 1, u64::MAX] {
            let start = Offset::new(start);
            for file in [
                SegmentFile::Index(start),
                SegmentFile::Gone(start),
                SegmentFile::Spare(start),
            ] {
                assert_eq!(SegmentFile::parse(&file.name()), Some(file));
            }
        }
    }

    #[test]
    fn foreign_names_are_left_alone() {
        let names = [
            "lost+found",
            "1.seg",
            "+0000000000000000001.seg",
            "99999999999999999999.seg",
        ];
        for name in names
            .into_iter()
            .chain(["00000000000000000009.seg.bak", "00000000000000000009"])
        {
            assert_eq!(SegmentFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn snapshot_names_carry_offset_and_id() {
        let id: ReplicationId = "0123456789abcdef0123456789abcdef01234567".parse().expect("an id");
        let path = Layout::new(Path::new("/log")).snapshot(id, Offset::new(77));
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(parse_snapshot(name, ".rdb"), Some((Offset::new(77), id)));
        assert_eq!(parse_snapshot(name, ".json"), None);
        assert_eq!(parse_snapshot("00000000000000000077-abc.rdb", ".rdb"), None);
    }
}
