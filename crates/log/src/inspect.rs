//! Looking at a log without touching it.

use std::path::Path;

use serde::Serialize;
use sterna_protocol::Offset;

use crate::LogError;

/// What a log's directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The segments, oldest first.
    pub segments: Vec<SegmentInspection>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInspection {
    /// It covers `(start, end]`.
    pub start: Offset,
    /// Where its valid blocks end.
    pub end: Offset,
    /// How it is.
    pub state: SegmentState,
}

/// How a segment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentState {
    /// Every checksum holds.
    Ok,
}

/// Reads everything in `dir` and checks every checksum. It changes nothing and takes no lock.
pub fn inspect(dir: &Path) -> Result<Inspection, LogError> {
    Err(LogError::NotBegun { dir: dir.to_owned() })
}
