//! Inspecting one segment.

use std::io;

use sterna_protocol::Offset;

use super::{SegmentInspection, SegmentState};
use crate::index::{BadHeader, INDEX_VERSION, record_position, records_in};
use crate::layout::Layout;
use crate::recovery::tail::{contiguous, count_valid};
use crate::segment::{IndexProblem, read_all_records, read_header};
use crate::{LogError, LogFs};

pub(super) fn inspect(
    fs: &dyn LogFs,
    layout: &Layout,
    start: Offset,
    is_newest: bool,
) -> Result<SegmentInspection, LogError> {
    let (index_path, data_path) = (layout.index(start), layout.data(start));
    let mut segment = SegmentInspection {
        start,
        end: start,
        bytes: 0,
        blocks: 0,
        first_ms: None,
        last_ms: None,
        unit_end: None,
        unindexed_bytes: 0,
        state: SegmentState::Ok,
    };
    let index = match fs.open_read(&index_path) {
        Ok(index) => index,
        Err(error) => {
            return missing(segment, error).map_err(|error| LogError::io("open", &index_path, error));
        }
    };
    let data = match fs.open_read(&data_path) {
        Ok(data) => data,
        Err(error) => {
            return missing(segment, error).map_err(|error| LogError::io("open", &data_path, error));
        }
    };
    if let Err(problem) = read_header(&*index, start) {
        let what = match problem {
            IndexProblem::Io(error) => return Err(LogError::io("read", &index_path, error)),
            IndexProblem::Header(BadHeader::Invalid) => "the index's header is not valid".to_owned(),
            IndexProblem::Header(BadHeader::Version(found)) => {
                format!("the index has format {found}, this version reads {INDEX_VERSION}")
            }
            IndexProblem::Start(other) => format!("it has the index of the segment at {other}"),
        };
        segment.state = SegmentState::Damaged { offset: start, what };
        return Ok(segment);
    }
    let found = read_all_records(&*index, start).map_err(|error| LogError::io("read", &index_path, error))?;
    let index_len = index
        .len()
        .map_err(|error| LogError::io("read", &index_path, error))?;
    let data_len = data
        .len()
        .map_err(|error| LogError::io("read", &data_path, error))?;
    let mut records = contiguous(&found, start, data_len);
    let fitting = records.len();
    let valid =
        count_valid(&*data, start, &records).map_err(|error| LogError::io("read", &data_path, error))?;
    records.truncate(valid);

    segment.end = records.last().map_or(start, |record| record.end);
    segment.bytes = segment.end.bytes_since(start);
    segment.blocks = valid as u64;
    segment.first_ms = records.first().map(|record| record.wall_ms);
    segment.last_ms = records.last().map(|record| record.wall_ms);
    segment.unit_end = records
        .iter()
        .rev()
        .find(|record| record.ends_on_unit)
        .map(|record| record.end);
    segment.unindexed_bytes = data_len.saturating_sub(segment.bytes);
    let what = if valid < fitting {
        Some("a block does not match its checksum")
    } else if fitting < found.len() {
        Some(match found[fitting] {
            Some(record) if record.start() == segment.end => "the file is shorter than its index says",
            Some(_) => "an index record does not follow the one before it",
            None => "an index record is not valid",
        })
    } else if index_len != record_position(records_in(index_len)) {
        Some("the index ends in half a record")
    } else if valid == 0 && !is_newest {
        Some("the segment is empty")
    } else {
        None
    };
    if let Some(what) = what.map(str::to_owned) {
        let offset = segment.end;
        segment.state = if is_newest {
            SegmentState::TornTail { offset, what }
        } else {
            SegmentState::Damaged { offset, what }
        };
    }
    Ok(segment)
}

fn missing(mut segment: SegmentInspection, error: io::Error) -> io::Result<SegmentInspection> {
    if error.kind() != io::ErrorKind::NotFound {
        return Err(error);
    }
    let what = "one of its two files is missing".to_owned();
    segment.state = SegmentState::Damaged {
        offset: segment.start,
        what,
    };
    Ok(segment)
}
