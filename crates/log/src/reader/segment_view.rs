//! One segment as a reader sees it: nothing is remembered but the open files and where the last search ended.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sterna_protocol::Offset;

use crate::index::{IndexRecord, records_in};
use crate::layout::Layout;
use crate::segment::{IndexProblem, read_header, read_records};
use crate::{LogFile, LogFs};

/// Index records that are read at once.
const RECORDS_PER_READ: u64 = 128;

#[derive(Debug)]
pub(super) struct SegmentView {
    start: Offset,
    data: Arc<dyn LogFile>,
    index: Arc<dyn LogFile>,
    /// The record that the next search looks at first.
    hint: u64,
}

/// A block that was looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    number: u64,
    pub(super) record: IndexRecord,
}

/// Something in a segment doesn't fit; `data` tells in which of its files.
#[derive(Debug)]
pub(super) enum ViewProblem {
    Io {
        start: Offset,
        data: bool,
        source: io::Error,
    },
    Damaged {
        start: Offset,
        data: bool,
        offset: Offset,
        what: String,
    },
}

impl SegmentView {
    /// Opens a segment; `None` if it is only being started and holds nothing yet.
    pub(super) fn open(fs: &dyn LogFs, layout: &Layout, start: Offset) -> Result<Option<Self>, ViewProblem> {
        let index = fs.open_read(&layout.index(start)).map_err(index_error(start))?;
        let records = records_in(index.len().map_err(index_error(start))?);
        let data = match fs.open_read(&layout.data(start)) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound && records == 0 => return Ok(None),
            Err(source) => {
                return Err(ViewProblem::Io {
                    start,
                    data: true,
                    source,
                });
            }
        };
        match read_header(&*index, start) {
            Ok(_) => Ok(Some(Self {
                start,
                data,
                index,
                hint: 0,
            })),
            Err(IndexProblem::Io(source)) => Err(ViewProblem::Io {
                start,
                data: false,
                source,
            }),
            Err(_) if records == 0 => Ok(None),
            Err(_) => {
                let what = "the index's header is not valid".to_owned();
                Err(ViewProblem::Damaged {
                    start,
                    data: false,
                    offset: start,
                    what,
                })
            }
        }
    }

    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// Finds the block that holds the byte after `from`; `None` if this segment doesn't.
    pub(super) fn locate(&mut self, from: Offset) -> Result<Option<Found>, ViewProblem> {
        if from < self.start {
            return Ok(None);
        }
        let total = records_in(self.index.len().map_err(index_error(self.start))?);
        // The first block that ends after `from`: most often the one at the hint, or the one behind it.
        let (mut low, mut high) = (0, total);
        for probe in [self.hint, self.hint + 1] {
            if low <= probe && probe < high {
                match self.record(probe, total)? {
                    Some(record) if record.end > from => high = probe,
                    Some(_) => low = probe + 1,
                    None => high = probe,
                }
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle, total)? {
                Some(record) if record.end > from => high = middle,
                Some(_) => low = middle + 1,
                None => high = middle,
            }
        }
        if low == total {
            return Ok(None);
        }
        let Some(record) = self.record(low, total)? else {
            return Ok(None);
        };
        if record.start() > from {
            let what = "an index record is missing".to_owned();
            return Err(ViewProblem::Damaged {
                start: self.start,
                data: false,
                offset: from,
                what,
            });
        }
        self.hint = low;
        Ok(Some(Found { number: low, record }))
    }

    /// One record. The last one in the file may be half written: it doesn't count then.
    fn record(&self, number: u64, total: u64) -> Result<Option<IndexRecord>, ViewProblem> {
        let records = read_records(&*self.index, self.start, number, 1).map_err(index_error(self.start))?;
        match records.first() {
            Some(Some(record)) => Ok(Some(*record)),
            _ if number + 1 == total => Ok(None),
            _ => Err(self.bad_record(number)),
        }
    }

    /// Reads and checks whole blocks from `found` on, until they reach `upto` or there are no more.
    pub(super) fn read_run(&self, found: Found, upto: Offset) -> Result<Bytes, ViewProblem> {
        let run_start = found.record.start();
        let mut run = vec![found.record];
        if found.record.end < upto {
            let more = read_records(&*self.index, self.start, found.number + 1, RECORDS_PER_READ)
                .map_err(index_error(self.start))?;
            let mut end = found.record.end;
            // What doesn't fit is left to the read that starts there.
            run.extend(more.into_iter().map_while(|record| record).take_while(|record| {
                let fits = record.start() == end && end < upto;
                end = record.end;
                fits
            }));
        }
        let len = run.last().map_or(0, |last| last.end.bytes_since(run_start));
        let bytes = usize::try_from(len)
            .map_err(io::Error::other)
            .and_then(|len| self.data.read_at(len, run_start.bytes_since(self.start)))
            .map_err(|source| ViewProblem::Io {
                start: self.start,
                data: true,
                source,
            })?;
        let mut valid = 0;
        for record in &run {
            match bytes.get(valid..valid + record.len as usize) {
                Some(block) if crc32c::crc32c(block) == record.crc => valid += block.len(),
                // The blocks before it are good.
                _ if valid > 0 => break,
                block => {
                    let what = match block {
                        Some(_) => "the block does not match its checksum",
                        None => "the file is shorter than its index says",
                    };
                    let (start, offset, what) = (self.start, record.start(), what.to_owned());
                    return Err(ViewProblem::Damaged {
                        start,
                        data: true,
                        offset,
                        what,
                    });
                }
            }
        }
        let mut bytes = Bytes::from(bytes);
        bytes.truncate(valid);
        Ok(bytes)
    }

    fn bad_record(&self, number: u64) -> ViewProblem {
        let what = format!("index record {number} is not valid");
        // Where the record before it ends is not worth another read that could fail.
        ViewProblem::Damaged {
            start: self.start,
            data: false,
            offset: self.start,
            what,
        }
    }
}

fn index_error(start: Offset) -> impl Fn(io::Error) -> ViewProblem {
    move |source| ViewProblem::Io {
        start,
        data: false,
        source,
    }
}
