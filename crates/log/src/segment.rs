//! Segments on disk: a data file and its index.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use sterna_protocol::Offset;

use crate::fs::write_all_at;
use crate::index::{
    BadHeader, ENTRY_BYTES, INDEX_VERSION, IndexHeader, IndexRecord, record_position, records_in,
};
use crate::layout::{Layout, SegmentFile};
use crate::{LogError, LogFile, LogFs};

/// Records that are read at once.
const RECORDS_PER_READ: u64 = 4096;

/// What the writer remembers of a segment that is no longer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    /// It covers `(start, end]`.
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// When its last block arrived.
    pub(crate) last_ms: u64,
    /// Bytes of both files.
    pub(crate) disk_bytes: u64,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) header: IndexHeader,
    pub(crate) data: Arc<dyn LogFile>,
    pub(crate) index: Arc<dyn LogFile>,
    /// What its valid records cover ends here; bytes of the data file beyond it mean nothing.
    pub(crate) end: Offset,
    /// Valid records.
    pub(crate) records: u64,
    /// When its last block arrived; 0 if it has none.
    pub(crate) last_ms: u64,
    /// Length of the data file, which is at least what is valid.
    pub(crate) data_len: u64,
    /// Whether everything before the next record is synced.
    pub(crate) all_synced: bool,
}

impl ActiveSegment {
    /// Makes an empty segment that follows `header.start`.
    ///
    /// The index becomes durable before the data file exists, so a data file without an index is always damage. `spare`
    /// is a dropped segment whose data file is taken over.
    pub(crate) fn create(
        fs: &dyn LogFs,
        layout: &Layout,
        header: IndexHeader,
        spare: Option<Offset>,
    ) -> Result<Self, LogError> {
        let path = layout.index(header.start);
        let write = || -> io::Result<Arc<dyn LogFile>> {
            let index = fs.create_new(&path)?;
            write_all_at(&*index, &mut [IoSlice::new(&header.encode())], 0)?;
            index.sync_data()?;
            fs.sync_dir(&layout.segments())?;
            Ok(index)
        };
        let index = write().map_err(|error| LogError::io("create", &path, error))?;

        let path = layout.data(header.start);
        let make = || -> io::Result<(Arc<dyn LogFile>, u64)> {
            let data = match spare {
                Some(spare) => {
                    fs.rename(&layout.segment_file(SegmentFile::Spare(spare)), &path)?;
                    fs.open_write(&path)?
                }
                None => fs.create_new(&path)?,
            };
            fs.sync_dir(&layout.segments())?;
            let len = data.len()?;
            Ok((data, len))
        };
        let (data, data_len) = make().map_err(|error| LogError::io("create", &path, error))?;
        Ok(Self {
            header,
            data,
            index,
            end: header.start,
            records: 0,
            last_ms: 0,
            data_len,
            all_synced: true,
        })
    }

    pub(crate) fn start(&self) -> Offset {
        self.header.start
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.data_len + record_position(self.records)
    }

    /// Makes both files durable: the data first, so that a record never vouches for less durable bytes.
    pub(crate) fn sync(&mut self, layout: &Layout) -> Result<(), LogError> {
        if self.all_synced {
            return Ok(());
        }
        let start = self.start();
        self.data
            .sync_data()
            .map_err(|error| LogError::io("sync", &layout.data(start), error))?;
        self.index
            .sync_data()
            .map_err(|error| LogError::io("sync", &layout.index(start), error))?;
        self.all_synced = true;
        Ok(())
    }

    /// Cuts off what the file system seam wrote beyond the valid bytes to fill the last sector.
    pub(crate) fn trim_padding(&self, layout: &Layout) -> Result<(), LogError> {
        let valid_len = self.end.bytes_since(self.start());
        let trim = || match self.data.len()? {
            len if len > self.data_len => self.data.set_len(valid_len.max(self.data_len)),
            _ => Ok(()),
        };
        trim().map_err(|error| LogError::io("truncate", &layout.data(self.start()), error))
    }

    pub(crate) fn seal(&self) -> SealedSegment {
        SealedSegment {
            start: self.start(),
            end: self.end,
            last_ms: self.last_ms,
            disk_bytes: self.disk_bytes(),
        }
    }
}

/// Why an index can't be used.
#[derive(Debug)]
pub(crate) enum IndexProblem {
    Io(io::Error),
    Header(BadHeader),
    /// The header names another start than the file's name does.
    Start(Offset),
}

impl IndexProblem {
    /// The same as an error about the segment that starts at `start`.
    pub(crate) fn into_log_error(self, path: &Path, start: Offset) -> LogError {
        match self {
            Self::Io(error) => LogError::io("read", path, error),
            Self::Header(BadHeader::Version(found)) => LogError::UnknownFormat {
                path: path.to_owned(),
                found: u64::from(found),
                supported: u64::from(INDEX_VERSION),
            },
            Self::Header(BadHeader::Invalid) => {
                LogError::damaged(path, start, "the index's header is not valid".to_owned())
            }
            Self::Start(other) => {
                LogError::damaged(path, start, format!("it is the index of the segment at {other}"))
            }
        }
    }
}

/// Reads and checks an index's header.
pub(crate) fn read_header(index: &dyn LogFile, start: Offset) -> Result<IndexHeader, IndexProblem> {
    let bytes = index.read_at(ENTRY_BYTES, 0).map_err(IndexProblem::Io)?;
    let header = IndexHeader::decode(&bytes).map_err(IndexProblem::Header)?;
    if header.start == start {
        Ok(header)
    } else {
        Err(IndexProblem::Start(header.start))
    }
}

/// Reads `count` records from number `first` on, each decoded or `None`; fewer only where the file ends.
pub(crate) fn read_records(
    index: &dyn LogFile,
    segment_start: Offset,
    first: u64,
    count: u64,
) -> io::Result<Vec<Option<IndexRecord>>> {
    let len = usize::try_from(count)
        .map_err(io::Error::other)?
        .saturating_mul(ENTRY_BYTES);
    let bytes = index.read_at(len, record_position(first))?;
    Ok(bytes
        .chunks_exact(ENTRY_BYTES)
        .map(|bytes| IndexRecord::decode(bytes, segment_start))
        .collect())
}

/// Reads all records, each decoded or `None`.
pub(crate) fn read_all_records(
    index: &dyn LogFile,
    segment_start: Offset,
) -> io::Result<Vec<Option<IndexRecord>>> {
    let total = records_in(index.len()?);
    let mut records = Vec::with_capacity(usize::try_from(total).map_err(io::Error::other)?);
    while (records.len() as u64) < total {
        let first = records.len() as u64;
        let some = read_records(index, segment_start, first, (total - first).min(RECORDS_PER_READ))?;
        if some.is_empty() {
            break;
        }
        records.extend(some);
    }
    Ok(records)
}
