//! What can go wrong, in words for the person who has to act on it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sterna_protocol::{Offset, ReplicationId};

use crate::history::HistoryError;

/// What the system says where a file is at fault: it can't be read back, is missing, of somebody else, or something else is in
/// its place.
const OF_THE_FILES: [Errno; 7] = [
    Errno::IO,
    Errno::NOENT,
    Errno::ACCESS,
    Errno::PERM,
    Errno::LOOP,
    Errno::NOTDIR,
    Errno::ISDIR,
];

/// A log could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: `create`, `write`, `sync`…
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The disk (or a quota) is full. What was synced before is safe.
    #[error(
        "no space left while trying to {action} {}: what was synced before is safe; free space on that disk or lower \
         the log's size limit",
        path.display()
    )]
    NoSpace {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file that needed space.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process, or another part of this one, has the log open for writing.
    #[error(
        "the log in {} is in use by {}: stop that process, or give this one another directory",
        dir.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Process id of the holder, if it left one.
        holder: Option<u32>,
    },
    /// What is on disk contradicts itself. Nothing was changed.
    #[error(
        "the log is damaged at offset {offset}: {}: {what}. Nothing was changed. Replicas that are connected keep their \
         data; keep a copy of the log's directory, then move it away, and the shard starts a new log with a full \
         synchronisation",
        path.display()
    )]
    Damaged {
        /// The file in question.
        path: PathBuf,
        /// The first offset that is in doubt.
        offset: Offset,
        /// What is wrong with it.
        what: String,
    },
    /// A file was written by another version of Sterna.
    #[error(
        "{} has format {found}, and this version reads format {supported}: nothing was changed; run the version of \
         Sterna that wrote it, or move the log's directory away to start with a full synchronisation",
        path.display()
    )]
    UnknownFormat {
        /// The file in question.
        path: PathBuf,
        /// The format it claims.
        found: u64,
        /// The format this version writes.
        supported: u64,
    },
    /// An earlier error stopped the writer; nothing was written since, so there is no hole.
    #[error(
        "the log stopped at offset {durable_end} after an error ({reason}): what was synced up to there is safe, nothing \
         is written until it has recovered"
    )]
    Stopped {
        /// The last durable offset.
        durable_end: Offset,
        /// The error that stopped it.
        reason: String,
    },
    /// There is no history yet: the log was never begun.
    #[error("the log in {} is empty: it starts with the first synchronisation", dir.display())]
    NotBegun {
        /// The log's directory.
        dir: PathBuf,
    },
    /// An offset that the operation can't take: outside of the log, or not at its end.
    #[error("cannot {action} at offset {at}: the log holds offsets {start} to {end}")]
    OutOfRange {
        /// What was asked for, as a verb.
        action: &'static str,
        /// The offset given.
        at: Offset,
        start: Offset,
        end: Offset,
    },
    /// The log is of another history than the caller takes it for.
    #[error(
        "the log's history is {current}, not {given}: begin the log anew, or continue it under the new id first"
    )]
    OtherHistory {
        given: ReplicationId,
        /// The log's own.
        current: ReplicationId,
    },
    /// The chain of replication ids can't be changed in that way.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl LogError {
    /// Whether it is the files that are wrong: another log in their place would open.
    pub fn is_of_the_files(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::UnknownFormat { .. } => true,
            Self::Io { source, .. } => match source.raw_os_error() {
                Some(number) => OF_THE_FILES.iter().any(|errno| errno.raw_os_error() == number),
                // Our own word: what is there is no file of a log.
                None => source.kind() == io::ErrorKind::InvalidInput,
            },
            _ => false,
        }
    }

    /// Whether more disk space would help: drop the oldest segment, recover and write again.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn damaged(path: &Path, offset: Offset, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }
}

/// Bytes could not be read from a log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Retention has passed the offset: a follower there needs a snapshot.
    #[error("the log no longer holds what follows the offset asked for: it starts at offset {start}")]
    Dropped {
        /// Where the log starts now.
        start: Offset,
    },
    /// Nothing follows the offset yet, or the caller's bound is reached.
    #[error("nothing follows the offset asked for yet")]
    NotYet,
    /// The log was begun anew ([`crate::LogWriter::begin`]) since the reader was made: its bytes belong to another
    /// history. Make a new reader.
    #[error("the log was begun anew with another history while it was read")]
    Replaced,
    /// What is on disk doesn't match its checksum, or is missing in the middle. No byte of it was handed out.
    #[error(
        "the log is damaged at offset {offset}: {}: {what}. No damaged byte was handed out; followers that need this \
         part get a snapshot instead",
        path.display()
    )]
    Damaged {
        /// The file in question.
        path: PathBuf,
        /// The first offset that is in doubt.
        offset: Offset,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}
