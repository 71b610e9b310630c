//! Everything that can happen to a shard, and everything it can ask to be done.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sterna_log::{
    Block, LogError, LogFs, LogReader, LogWriter, ReadError, SnapshotMeta, SnapshotReader, SnapshotSpool,
};
use sterna_node::{Dialer, Upstream, Version};
use sterna_protocol::psync::{Ack, PsyncRequest};
use sterna_protocol::rdb::RdbInspector;
use sterna_protocol::{Offset, ReplicationId, RunId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::lineage::{HistoryEnd, NodePosition};
use crate::source::{Purpose, SourceEvent};
use crate::status::{Asked, Counters, Notice};

/// Both clocks, read once per event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For intervals.
    pub(crate) mono: Instant,
    /// For the log's index, in milliseconds since the epoch.
    pub(crate) wall_ms: u64,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The connection attempt of this number reports.
    Source { attempt: u64, event: SourceEvent },
    /// A replica node finished its handshake.
    Attach(Attach),
    /// A follower's connection reports.
    Follower { id: FollowerId, event: FollowerEvent },
    /// The log is back from the disk.
    Log(Box<LogDone>),
    /// The snapshot spool is back from the disk.
    Spool(Box<SpoolDone>),
    /// Files of snapshots were made and removed.
    Files(Box<FilesDone>),
    /// Bytes read back from disk for a follower.
    Read(Box<ReadDone>),
    /// The nodes that a follower may be were asked what they can load.
    Asked { id: FollowerId, asked: Asked },
    /// Time passed.
    Tick {
        /// How much later than it was meant to.
        late: Duration,
    },
    /// Somebody wants something.
    Command(Command),
}

/// Names one connection of a replica node in the life of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerId(pub u64);

/// How many connections may follow with one login of the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginLimit {
    /// Whose secret it is.
    pub(crate) name: String,
    /// So many; a newer one takes the place of one that is silent.
    pub(crate) connections_max: usize,
}

#[cfg(test)]
impl LoginLimit {
    /// None.
    pub(crate) fn none() -> Self {
        Self {
            name: String::new(),
            connections_max: usize::MAX,
        }
    }
}

/// A replica node that asks to follow.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) id: FollowerId,
    pub(crate) peer: SocketAddr,
    pub(crate) login: LoginLimit,
    /// The port on which it serves clients, as it announced.
    pub(crate) listening_port: u16,
    /// The address at which it wants to be known (`replica-announce-ip`).
    pub(crate) announced: Option<String>,
    /// Whether it takes a snapshot of unknown length.
    pub(crate) takes_eof: bool,
    /// The version that it announced, as Valkey 8 and later do.
    pub(crate) version: Option<Version>,
    pub(crate) request: PsyncRequest,
    /// It is a primary that hands over to us with `FAILOVER`.
    pub(crate) failover: bool,
    /// Holds [`OUTBOX_MESSAGES_MAX`] messages.
    pub(crate) outbox: mpsc::Sender<ToFollower>,
    /// Dropped when the shard has let it go: a connection that takes nothing does not come to read that it is closed.
    pub(crate) attached: oneshot::Sender<Infallible>,
}

/// What a follower's connection reports.
#[derive(Debug)]
pub(crate) enum FollowerEvent {
    /// `REPLCONF ACK`.
    Acked(Ack),
    /// A newline: it is loading, and alive.
    Alive,
    /// So many bytes went out to its socket.
    Written(u64),
    /// The connection is over.
    Gone(String),
}

/// Messages on their way to one follower's connection. How many bytes they may have is bounded on its own
/// ([`crate::settings::IN_FLIGHT_BYTES_MAX`]); this bounds the small ones.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 1024;

/// What a follower's connection is told.
#[derive(Debug)]
pub(crate) enum ToFollower {
    /// Send these bytes.
    Data(Vec<Bytes>),
    /// Send what was handed over so far, then close, for this reason.
    Close(String),
}

/// Work for the disk: the writer goes out and comes back.
#[derive(Debug)]
pub(crate) struct LogJob {
    pub(crate) writer: LogWriter,
    pub(crate) start: LogStart,
    /// Changes of id that could not be written down while the disk refused it, oldest first.
    pub(crate) extend: Vec<(ReplicationId, Offset)>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) sync: bool,
    /// The primary's process that the stream comes from, where that is to be noted.
    pub(crate) process: Option<RunId>,
    /// Retention must not drop anything after this.
    pub(crate) keep_from: Option<Offset>,
    pub(crate) wall_ms: u64,
}

/// What a log job begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogStart {
    /// Append after this offset: the log's end, or a unit boundary before it, when the rest of a unit never came.
    Append(Offset),
    /// After a failed write: find out what is there.
    Recover,
    /// The stream, of this history, went past the log while the disk refused it: begin anew at this unit boundary.
    SkipTo(ReplicationId, Offset),
    /// What recovery found is of another history, which was begun and failed half way: begin anew at this unit boundary.
    Begin(ReplicationId, Offset),
    /// Change the history, of a log that ends at this unit boundary.
    Change(Change, Offset),
}

/// A change of history. While one is under way the log takes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A wholly new history begins here: nothing that was held continues it.
    Begin(ReplicationId, Offset),
    /// What follows this boundary is dropped.
    CutBack(Offset),
    /// The stream goes on under this id, and the one before ends here.
    Extend(ReplicationId, Offset),
}

#[derive(Debug)]
pub(crate) struct LogDone {
    pub(crate) writer: LogWriter,
    /// What it began with.
    pub(crate) start: LogStart,
    pub(crate) result: Result<(), LogError>,
    pub(crate) synced: bool,
    pub(crate) sync_time: Duration,
    /// The snapshots that are still there, where the log was recovered: one that is ahead of what was recovered is gone.
    pub(crate) snapshots: Option<Vec<SnapshotMeta>>,
}

/// Work for the disk: bytes of a snapshot.
#[derive(Debug)]
pub(crate) struct SpoolJob {
    pub(crate) spool: SnapshotSpool,
    pub(crate) bytes: Vec<Bytes>,
    /// The last bytes: make the snapshot durable and valid.
    pub(crate) finish: bool,
    /// What is kept beside it.
    pub(crate) note: String,
    pub(crate) wall_ms: u64,
}

#[derive(Debug)]
pub(crate) struct SpoolDone {
    pub(crate) path: PathBuf,
    /// `None` once it is finished or has failed.
    pub(crate) spool: Option<SnapshotSpool>,
    /// Bytes written.
    pub(crate) result: Result<u64, LogError>,
    pub(crate) finished: Option<SnapshotMeta>,
}

/// Work for the disk: files of snapshots, of which one may have the name of another. One such job at a time.
#[derive(Debug)]
pub(crate) struct FilesJob {
    pub(crate) fs: Arc<dyn LogFs>,
    pub(crate) log_dir: PathBuf,
    /// Removed first.
    pub(crate) discards: Vec<Discard>,
    /// Room for a snapshot at this place.
    pub(crate) create: Option<(ReplicationId, Offset)>,
}

/// What is left of a snapshot that was given up.
#[derive(Debug)]
pub(crate) enum Discard {
    Whole(SnapshotMeta),
    /// It removes its file when it is dropped.
    Unfinished(SnapshotSpool),
}

#[derive(Debug)]
pub(crate) struct FilesDone {
    /// What was made, and for which place.
    pub(crate) created: Option<(ReplicationId, Offset, Result<SnapshotSpool, LogError>)>,
}

/// A reader that a follower keeps for as long as it is fed from disk.
#[derive(Debug)]
pub(crate) enum Reader {
    Log(LogReader),
    Snapshot(SnapshotFeed),
}

/// A snapshot on its way from disk to one follower, verified as it goes: what the disk changed since it was written
/// must not be loaded, for a node that loads a corrupt RDB exits.
#[derive(Debug)]
pub(crate) struct SnapshotFeed {
    pub(crate) fs: Arc<dyn LogFs>,
    pub(crate) path: PathBuf,
    /// Opened with the first read.
    pub(crate) reader: Option<SnapshotReader>,
    pub(crate) inspector: Box<RdbInspector>,
    /// What the inspector has seen, from the beginning on.
    pub(crate) inspected: u64,
}

#[derive(Debug)]
pub(crate) struct ReadJob {
    pub(crate) follower: FollowerId,
    pub(crate) reader: Reader,
    pub(crate) from: u64,
    pub(crate) upto: u64,
    /// How often the history was changed under the followers when the job was made.
    pub(crate) generation: u64,
    /// The length of the snapshot, once it is whole.
    pub(crate) whole: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct ReadDone {
    pub(crate) follower: FollowerId,
    pub(crate) reader: Reader,
    pub(crate) from: u64,
    pub(crate) generation: u64,
    pub(crate) result: Result<Bytes, ReadFailure>,
}

/// What could not be read back.
#[derive(Debug)]
pub(crate) struct ReadFailure {
    pub(crate) reason: String,
    /// It is no better the next time: the disk gives it back wrong, or not at all.
    pub(crate) lasting: bool,
}

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        Self {
            lasting: matches!(error, ReadError::Damaged { .. } | ReadError::Io { .. }),
            reason: error.to_string(),
        }
    }
}

/// What the shard's driver shall start.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Connect to the primary after `delay`.
    Connect {
        attempt: u64,
        purpose: Purpose,
        upstream: Box<Upstream>,
        delay: Duration,
        acks: watch::Receiver<Ack>,
    },
    /// End the attempt of this number.
    Disconnect {
        attempt: u64,
    },
    Log(Box<LogJob>),
    Spool(Box<SpoolJob>),
    Files(Box<FilesJob>),
    Read(Box<ReadJob>),
    /// These are the nodes to ask from now on.
    KnowNodes(Vec<Dialer>),
    /// Ask the nodes, of which one is this follower, what they can load.
    Ask {
        id: FollowerId,
        peer: SocketAddr,
        listening_port: u16,
    },
    /// Let go of a reader where blocking is allowed: it may have the last handle on a file that was removed meanwhile, and
    /// to free a large one takes its time.
    Close(Box<Reader>),
    /// Tell whoever listens.
    Notify(Notice),
    /// Everything is written and closed, and nothing more will come: end, and answer.
    Stopped(oneshot::Sender<()>),
}

/// What an event means for the followers that are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Impact {
    /// The snapshot that some are being sent will not become whole, or is gone.
    CopyDropped,
    /// What followed this offset is no longer part of the history.
    CutBack { to: Offset },
    /// The history goes on under a new id.
    Renamed,
    /// A wholly new history begins.
    Begun,
}

/// What came of events: what the driver shall start, what it means for the followers, what is counted.
#[derive(Debug, Default)]
pub(super) struct Effects {
    due: Vec<Effect>,
    impacts: Vec<Impact>,
    pub(super) counters: Counters,
}

impl Effects {
    pub(super) fn start(&mut self, effect: Effect) {
        self.due.push(effect);
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        self.due.push(Effect::Notify(notice));
    }

    pub(super) fn affect_followers(&mut self, impact: Impact) {
        self.impacts.push(impact);
    }

    /// What the followers must still be told, once.
    pub(super) fn take_impacts(&mut self) -> Vec<Impact> {
        std::mem::take(&mut self.impacts)
    }

    /// What is to be started, once.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.due)
    }
}

/// What to do about a primary that hands over with `FAILOVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handover {
    /// Nobody asked for one: a primary that hands over is refused, and takes writes again.
    Refuse,
    /// One is expected: acknowledge what is on disk at once, so that the primary sees the last byte arrive, do not
    /// follow it again when it steps down, and let it wait when it asks to follow.
    Hold,
    /// It was replaced: let it follow as soon as the stream has the new primary's id.
    Accept,
}

/// What may be asked of a shard from outside. What carries an epoch is refused if the shard has seen a later one.
#[derive(Debug)]
pub enum Command {
    /// Follow this primary from now on, or none; what is held stays. Answers whether it was taken.
    Follow {
        /// The group's term.
        epoch: u64,
        /// Whom.
        upstream: Option<Box<Upstream>>,
        /// Where the history before ended, if the group decided on this primary.
        decided: Option<HistoryEnd>,
        /// What the replica nodes hold, where the log was lost: a primary that does not continue that does not overwrite it.
        held_by_nodes: Vec<NodePosition>,
        /// The answer.
        done: oneshot::Sender<bool>,
    },
    /// What to do about a primary that hands over. Answers whether it was taken.
    Handover {
        /// The group's term.
        epoch: u64,
        /// What to do.
        handover: Handover,
        /// The answer.
        done: oneshot::Sender<bool>,
    },
    /// Whoever holds up to this offset of this history, which the log never lived through, holds a prefix of its own: a
    /// primary that was restarted, or that took a handover back, gives itself a new id.
    AddHistoryAlias {
        /// The history.
        id: ReplicationId,
        /// The last offset.
        offset: Offset,
        /// The answer.
        done: oneshot::Sender<()>,
    },
    /// These are the nodes that may attach: one that needs a full copy is asked first whether it can load it.
    KnowNodes(Vec<Dialer>),
    /// Ends the connection of a node that loads a full copy, before it is told to follow another or nobody: a Valkey 9 that
    /// waits for the rest of a copy would answer nobody for seconds. Answered when that is done.
    EndCopy {
        /// Its addresses.
        node: Vec<SocketAddr>,
        done: oneshot::Sender<()>,
    },
    /// Keep so many connections to the primary, the link among them, that each count there as a replica.
    KeepLinks(usize),
    /// Let the next history overwrite what is here, once (I4).
    AcceptNewHistory,
    /// Close every connection, write and sync the log, end; answered when that is done.
    Stop(oneshot::Sender<()>),
}
