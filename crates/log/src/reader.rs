//! Reading a log while it is written.
//!
//! A reader takes no lock and shares no state with the writer but two counters. It trusts only what it has just checked:
//! a block counts if its index record and its bytes match their checksums. Where something doesn't fit, it looks again
//! from the directory on, for the writer may have rolled, dropped or truncated in between; only what stays wrong is
//! reported as damage.

mod segment_view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::Offset;

use crate::context::Shared;
use crate::layout::{Layout, SegmentFile};
use crate::{LogFs, ReadError};
use segment_view::{Found, SegmentView, ViewProblem};

/// How often a read looks again when something doesn't fit.
const ATTEMPTS_MAX: u32 = 4;

/// How often it starts over because the writer dropped or cut something meanwhile.
const OVERTAKEN_MAX: u32 = 1000;

/// An independent handle that reads a log, also while its writer appends, rolls and drops segments in another thread.
#[derive(Debug)]
pub struct LogReader {
    fs: Arc<dyn LogFs>,
    layout: Layout,
    shared: Arc<Shared>,
    lineage: u64,
    generation: u64,
    /// Starts of the segments when the directory was last listed, sorted.
    starts: Vec<Offset>,
    /// The segment that was read last.
    segment: Option<SegmentView>,
    /// The bytes that were read and checked last.
    run: Option<Run>,
}

/// Makes readers of a log that notice when its writer truncates, drops or begins anew. It is independent of the writer,
/// which may be out in another thread.
#[derive(Debug, Clone)]
pub struct LogReaders {
    fs: Arc<dyn LogFs>,
    dir: PathBuf,
    shared: Arc<Shared>,
}

impl LogReaders {
    pub(crate) fn new(fs: Arc<dyn LogFs>, dir: &Path, shared: Arc<Shared>) -> Self {
        Self {
            fs,
            dir: dir.to_owned(),
            shared,
        }
    }

    /// A reader, for any thread. It touches nothing before the first read.
    pub fn reader(&self) -> LogReader {
        LogReader::following(Arc::clone(&self.fs), &self.dir, Arc::clone(&self.shared))
    }
}

/// Checked bytes that follow `start`.
#[derive(Debug)]
struct Run {
    start: Offset,
    bytes: Bytes,
}

/// What one attempt came to.
enum Attempt<T> {
    Done(T),
    /// It didn't fit; it may only be that the writer was faster.
    Retry(ReadError),
}

impl LogReader {
    /// A reader for tools that inspect the log in `dir`, which may be another process's. It does not notice when that log
    /// is truncated or begun anew, and may then give bytes that are no longer part of it: whoever feeds followers takes
    /// [`LogReaders::reader`]. It touches nothing before the first read.
    pub fn inspecting(fs: Arc<dyn LogFs>, dir: &Path) -> Self {
        Self::following(fs, dir, Arc::default())
    }

    fn following(fs: Arc<dyn LogFs>, dir: &Path, shared: Arc<Shared>) -> Self {
        let (lineage, generation) = (shared.lineage(), shared.generation());
        let layout = Layout::new(dir);
        Self {
            fs,
            layout,
            shared,
            lineage,
            generation,
            starts: Vec::new(),
            segment: None,
            run: None,
        }
    }

    /// Reads the bytes that follow `from`: at least one, at most `max_bytes` (0 counts as 1), never past `upto`, all
    /// checked. It may give fewer than there are.
    pub fn read(&mut self, from: Offset, max_bytes: usize, upto: Offset) -> Result<Bytes, ReadError> {
        if from >= upto {
            return Err(ReadError::NotYet);
        }
        let wanted = u64::try_from(max_bytes.max(1))
            .unwrap_or(u64::MAX)
            .min(upto.bytes_since(from));
        self.until_settled(|reader| reader.try_read(from, wanted))
    }

    /// When the byte that follows `offset` arrived, in milliseconds since the Unix epoch: somebody who holds `offset`
    /// lags by the time since then. `None` if nothing follows yet, or the log no longer holds it.
    pub fn time_of(&mut self, offset: Offset) -> Result<Option<u64>, ReadError> {
        let found = self.until_settled(|reader| {
            let found = reader.locate(offset)?;
            Ok(match found {
                Attempt::Done(found) => Attempt::Done(found.record.wall_ms),
                Attempt::Retry(error) => Attempt::Retry(error),
            })
        });
        match found {
            Ok(wall_ms) => Ok(Some(wall_ms)),
            Err(ReadError::NotYet | ReadError::Dropped { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Repeats an attempt that doesn't fit, or that failed while the writer changed something under it.
    fn until_settled<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<Attempt<T>, ReadError>,
    ) -> Result<T, ReadError> {
        let (mut attempts, mut overtaken) = (0, 0);
        loop {
            let generation = self.shared.generation();
            if self.generation != generation {
                self.forget();
                self.generation = generation;
            }
            let result = attempt(self);
            if self.shared.lineage() != self.lineage {
                return Err(ReadError::Replaced);
            }
            let error = match result {
                // What matched its checksum was so when it was read, whatever has happened since.
                Ok(Attempt::Done(done)) => return Ok(done),
                Ok(Attempt::Retry(error)) => {
                    attempts += 1;
                    if attempts < ATTEMPTS_MAX {
                        None
                    } else {
                        Some(error)
                    }
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                overtaken += 1;
                if self.shared.generation() == generation || overtaken == OVERTAKEN_MAX {
                    return Err(error);
                }
                attempts = 0;
            }
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.starts.clear();
        self.segment = None;
        self.run = None;
    }

    fn try_read(&mut self, from: Offset, wanted: u64) -> Result<Attempt<Bytes>, ReadError> {
        if let Some(bytes) = self.run.as_ref().and_then(|run| run.slice(from, wanted)) {
            return Ok(Attempt::Done(bytes));
        }
        self.run = None;
        let found = match self.locate(from)? {
            Attempt::Done(found) => found,
            Attempt::Retry(error) => return Ok(Attempt::Retry(error)),
        };
        let Some(segment) = &self.segment else {
            return Err(ReadError::NotYet);
        };
        match segment.read_run(found, from + wanted) {
            Ok(bytes) => {
                let run = Run {
                    start: found.record.start(),
                    bytes,
                };
                let bytes = run.slice(from, wanted);
                self.run = Some(run);
                bytes.map_or(Err(ReadError::NotYet), |bytes| Ok(Attempt::Done(bytes)))
            }
            Err(problem) => Ok(Attempt::Retry(self.report(problem))),
        }
    }

    /// Finds the block that holds the byte after `from`, and leaves its segment in `self.segment`.
    fn locate(&mut self, from: Offset) -> Result<Attempt<Found>, ReadError> {
        if let Some(segment) = &mut self.segment {
            match segment.locate(from) {
                Ok(Some(found)) => return Ok(Attempt::Done(found)),
                Ok(None) => {}
                Err(problem) => return Ok(Attempt::Retry(self.report(problem))),
            }
        }
        // Another segment, or one that was started since.
        for relist in [self.starts.is_empty(), true] {
            if relist {
                self.list()?;
            }
            let after = self.starts.partition_point(|start| *start <= from);
            let Some(&start) = after.checked_sub(1).and_then(|at| self.starts.get(at)) else {
                // Between clearing a log and starting it anew there is no segment for a moment.
                let start = self.starts.first().copied();
                return Err(start.map_or(ReadError::NotYet, |start| ReadError::Dropped { start }));
            };
            let known = self
                .segment
                .as_ref()
                .is_some_and(|segment| segment.start() == start);
            if known && !relist {
                continue;
            }
            let is_last = after == self.starts.len();
            if relist && known && !is_last {
                let what = "the segment ends before the next one starts";
                let path = self.layout.index(start);
                return Ok(Attempt::Retry(ReadError::Damaged {
                    path,
                    offset: from,
                    what: what.to_owned(),
                }));
            }
            self.segment = None;
            let located = match SegmentView::open(&*self.fs, &self.layout, start) {
                Ok(Some(segment)) => self.segment.insert(segment).locate(from),
                Ok(None) => Ok(None),
                Err(problem) => Err(problem),
            };
            match located {
                Ok(Some(found)) => return Ok(Attempt::Done(found)),
                Ok(None) if relist && is_last => return Err(ReadError::NotYet),
                Ok(None) => {}
                Err(problem) => return Ok(Attempt::Retry(self.report(problem))),
            }
        }
        let path = self.layout.segments();
        let what = "no segment holds what follows".to_owned();
        Ok(Attempt::Retry(ReadError::Damaged {
            path,
            offset: from,
            what,
        }))
    }

    fn list(&mut self) -> Result<(), ReadError> {
        let dir = self.layout.segments();
        let names = match self.fs.list(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(ReadError::Io { path: dir, source }),
        };
        let starts = names.iter().filter_map(|name| match SegmentFile::parse(name) {
            Some(SegmentFile::Index(start)) => Some(start),
            _ => None,
        });
        self.starts = starts.collect();
        self.starts.sort_unstable();
        Ok(())
    }

    fn report(&self, problem: ViewProblem) -> ReadError {
        let path = |start: Offset, data: bool| -> PathBuf {
            if data {
                self.layout.data(start)
            } else {
                self.layout.index(start)
            }
        };
        match problem {
            ViewProblem::Io { start, data, source } => ReadError::Io {
                path: path(start, data),
                source,
            },
            ViewProblem::Damaged {
                start,
                data,
                offset,
                what,
            } => ReadError::Damaged {
                path: path(start, data),
                offset,
                what,
            },
        }
    }
}

impl Run {
    fn slice(&self, from: Offset, wanted: u64) -> Option<Bytes> {
        let skip = usize::try_from(from.get().checked_sub(self.start.get())?).ok()?;
        let left = self.bytes.len().checked_sub(skip).filter(|left| *left > 0)?;
        let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(left);
        Some(self.bytes.slice(skip..skip + len))
    }
}
