//! One attached replica node, as the shard sees it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::event::{Attach, Reader, ToFollower};
use crate::marks::Marks;
use crate::status::{FollowerState, FollowerStatus};

/// What a follower is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It asked, and could not be answered yet.
    Waiting,
    /// The snapshot goes out; so many bytes of it were handed over. `eof` is whether a mark ends it.
    Snapshot { position: u64, eof: bool },
    /// The snapshot ended with a mark: nothing may be sent before its first acknowledgement.
    Loading { snapshot_offset: Offset },
    /// The stream goes out; everything up to here was handed over.
    Streaming { sent: Offset },
    /// It was told to go.
    Refused,
}

/// What a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A replica.
    Replica,
    /// A primary that hands over with `FAILOVER`.
    HandsOver,
}

/// How long a measured lag stands: nodes acknowledge once a second, and between two acknowledgements a node that keeps
/// up would seem to fall behind.
const LAG_STANDS: Duration = Duration::from_millis(2500);

/// How far a follower is behind, measured when it acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lag {
    bytes: u64,
    time: Duration,
    at: Instant,
}

/// The reader of a follower that is fed from disk.
#[derive(Debug)]
pub(super) enum ReaderSlot {
    /// It is fed from memory.
    Empty,
    /// Kept between two reads.
    Home(Reader),
    /// Out on a read.
    Out,
}

impl ReaderSlot {
    /// Sends the reader out, if there is one.
    pub(super) fn send_out(&mut self) -> Option<Reader> {
        match std::mem::replace(self, Self::Out) {
            Self::Home(reader) => Some(reader),
            Self::Empty | Self::Out => None,
        }
    }
}

/// One attached replica node.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) peer: SocketAddr,
    pub(super) listening_port: u16,
    pub(super) takes_eof: bool,
    pub(super) request: PsyncRequest,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    /// It can only go on with a snapshot.
    pub(super) needs_snapshot: bool,
    pub(super) acked: Option<Offset>,
    /// How far it was behind when it last acknowledged.
    pub(super) lag: Option<Lag>,
    pub(super) heard: Instant,
    pub(super) next_keepalive: Instant,
    /// Bytes handed to its connection and not yet taken by its socket.
    pub(super) in_flight: u64,
    pub(super) reader: ReaderSlot,
    /// Whether it was announced as following the stream.
    pub(super) online: bool,
    outbox: mpsc::UnboundedSender<ToFollower>,
}

impl Follower {
    pub(super) fn new(attach: Attach, now: Instant) -> Self {
        Self {
            peer: attach.peer,
            listening_port: attach.listening_port,
            takes_eof: attach.takes_eof,
            request: attach.request,
            kind: if attach.failover {
                Kind::HandsOver
            } else {
                Kind::Replica
            },
            stage: Stage::Waiting,
            needs_snapshot: false,
            acked: None,
            lag: None,
            heard: now,
            next_keepalive: now,
            in_flight: 0,
            reader: ReaderSlot::Empty,
            online: false,
            outbox: attach.outbox,
        }
    }

    /// Hands bytes to its connection.
    pub(super) fn send(&mut self, bytes: Vec<Bytes>) {
        self.in_flight += bytes.iter().map(|slice| slice.len() as u64).sum::<u64>();
        drop(self.outbox.send(ToFollower::Data(bytes)));
    }

    /// Ends its connection after what it was handed.
    pub(super) fn close(&self, reason: &str) {
        drop(self.outbox.send(ToFollower::Close(reason.to_owned())));
    }

    /// The last offset of the stream that was handed over, or that it loads.
    pub(super) fn sent(&self) -> Option<Offset> {
        match self.stage {
            Stage::Streaming { sent } => Some(sent),
            Stage::Loading { snapshot_offset } => Some(snapshot_offset),
            Stage::Waiting | Stage::Snapshot { .. } | Stage::Refused => None,
        }
    }

    pub(super) fn takes_snapshot(&self) -> bool {
        matches!(self.stage, Stage::Snapshot { .. })
    }

    pub(super) fn waits_for_snapshot(&self) -> bool {
        self.stage == Stage::Waiting && self.needs_snapshot
    }

    /// What it has applied for certain, once it follows the stream.
    pub(super) fn applied(&self) -> Option<Offset> {
        matches!(self.stage, Stage::Streaming { .. })
            .then_some(self.acked)
            .flatten()
    }

    /// Takes note of an acknowledgement that came while the log ended at `end`.
    pub(super) fn acknowledged(&mut self, offset: Offset, end: Offset, marks: &mut Marks, now: Instant) {
        let acked = self.acked.map_or(offset, |acked| acked.max(offset));
        self.heard = now;
        self.acked = Some(acked);
        self.lag = Some(Self::lag_of(acked, end, marks, now));
    }

    fn lag_of(acked: Offset, end: Offset, marks: &mut Marks, now: Instant) -> Lag {
        Lag {
            bytes: end.bytes_since(acked),
            time: marks.lag(acked, end, now),
            at: now,
        }
    }

    /// The lag as of the last acknowledgement; as of now if that is long ago.
    fn lag_now(&self, end: Offset, marks: &mut Marks, now: Instant) -> Option<Lag> {
        let acked = self.acked?;
        let measured = self.lag.filter(|lag| now.duration_since(lag.at) < LAG_STANDS);
        Some(measured.unwrap_or_else(|| Self::lag_of(acked, end, marks, now)))
    }

    pub(super) fn status(&self, end: Offset, marks: &mut Marks, now: Instant) -> FollowerStatus {
        let lag = self.lag_now(end, marks, now);
        let (state, snapshot_sent_bytes) = match self.stage {
            Stage::Waiting | Stage::Refused => (FollowerState::Waiting, 0),
            Stage::Snapshot { position, .. } => (FollowerState::FullSync, position),
            Stage::Loading { .. } => (FollowerState::FullSync, 0),
            Stage::Streaming { .. } if self.acked.is_none() => (FollowerState::FullSync, 0),
            Stage::Streaming { .. } => (FollowerState::Streaming, 0),
        };
        FollowerStatus {
            peer: self.peer,
            listening_port: self.listening_port,
            state,
            acked: self.acked,
            snapshot_sent_bytes,
            lag_bytes: lag.map_or(0, |lag| lag.bytes),
            lag_seconds: lag.map_or(0.0, |lag| lag.time.as_secs_f64()),
        }
    }
}
