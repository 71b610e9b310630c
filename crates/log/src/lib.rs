//! The replication log: the durable copy of one shard's replication stream.
//!
//! One directory per shard. It holds the stream's bytes in *segments*, a checksummed *index* beside each of them, the
//! *history* (which replication ids the bytes belong to) and *snapshots* (RDB files at an exact offset).
//!
//! ```text
//! DIR/lock                                     held by the process that writes
//! DIR/history.json                             the chain of replication ids
//! DIR/segments/<start>.seg                     raw stream bytes and nothing else
//! DIR/segments/<start>.idx                     one 32-byte record for each block of the segment
//! DIR/snapshots/<offset>-<id>.rdb (+ .json)    a snapshot; complete when its .json exists
//! DIR/reserve                                  64 KiB kept back for the moment when the disk is full
//! DIR.damaged-<number>                         a log whose files could not be used, as they were, and `why.txt`
//! ```
//!
//! In `segments/` there may also be `<start>.gone` (a dropped segment's index, until the rest of it is removed),
//! `<start>.spare` (a dropped segment's data, to be written over) and `<start>.tmp` (an index that is being replaced).
//!
//! Everything here blocks. There are no threads, no clocks and no randomness: [`LogWriter`] is one value that its owner
//! moves to where blocking is allowed, [`LogReader`]s (of its [`LogWriter::readers`]) are independent handles for other
//! threads, and the wall clock comes in as a parameter.
//!
//! # What is promised
//!
//! * What [`LogWriter::sync`] reported is there after any crash, byte for byte, up to the last unit boundary in it.
//! * A log has no holes: it covers `(start, end]` of one history.
//! * After [`Log::open`] the log ends on a unit boundary.
//! * Bytes are handed out only if their checksum holds.

mod aside;
mod context;
mod error;
mod fs;
mod history;
mod history_file;
mod index;
mod inspect;
mod layout;
mod open;
mod reader;
mod recovery;
mod segment;
mod segments;
mod settings;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod snapshot;
mod writer;

pub use aside::KeptAside;
pub use error::{LogError, ReadError};
pub use fs::{LockAttempt, LockHeld, LogFile, LogFs, RealFs};
pub use history::{HISTORY_ENTRIES_MAX, History, HistoryEntry, HistoryError};
pub use history_file::read_history;
pub use inspect::{Inspection, SegmentInspection, SegmentState, SnapshotInspection, inspect, inspect_on};
pub use open::{Log, Opened, RecoveryReport};
pub use reader::{LogReader, LogReaders};
pub use settings::LogSettings;
pub use snapshot::{
    FinishSnapshot, SnapshotMeta, SnapshotReader, SnapshotSpool, list_snapshots, remove_snapshot,
};
pub use writer::{AppendReport, Block, DroppedSegment, Extent, LogWriter};
