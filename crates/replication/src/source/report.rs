//! What a connection to a primary reports to the shard's owner, and the way there.

use bytes::Bytes;
use sterna_node::Version;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::SourceError;
use crate::lineage::Lineage;

/// How a primary that was found is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) position: PsyncRequest,
    /// The lowest version among the nodes that must load what it sends; none: its own.
    pub(crate) version: Option<Version>,
}

/// What one connection to a primary reports, in order.
#[derive(Debug)]
pub(crate) enum SourceEvent {
    /// A primary was found; how should it be followed?
    Found {
        peer: String,
        lineage: Lineage,
        /// What it says of its data set.
        needs: CopyNeeds,
        reply: oneshot::Sender<Result<Asking, String>>,
    },
    /// The number under which the primary lists this connection, which is about to ask to follow.
    Identified { client: u64 },
    /// It continues our history, perhaps under a new id.
    Continued { id: Option<ReplicationId> },
    /// It wants to send everything; may it?
    FullResync {
        id: ReplicationId,
        offset: Offset,
        reply: oneshot::Sender<FullResyncAnswer>,
    },
    /// The snapshot begins.
    SnapshotStarted(RdbForm),
    /// Bytes of the snapshot.
    Snapshot(Bytes),
    /// The whole snapshot was received.
    SnapshotDone,
    /// Bytes of the stream.
    Stream(Bytes),
    /// The primary's own offset, when it was asked for it, on a second connection, and what it says of its data set.
    Observed {
        offset: Offset,
        asked: Instant,
        needs: CopyNeeds,
    },
    /// The primary is about to end, and waits until all that follow it have acknowledged everything.
    ShutsDown,
    /// The attempt is over.
    Ended(SourceError),
}

/// A report with the number of the attempt that it comes from.
pub(crate) type Numbered = (u64, SourceEvent);

/// Whether a full resync may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FullResyncAnswer {
    Accept,
    Refuse(String),
}

/// The way to the owner. Bounded: an owner that is busy slows the connection down, and so the primary.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    pub(crate) attempt: u64,
    pub(crate) sender: mpsc::Sender<Numbered>,
    /// For what is no part of the stream and must not wait behind it while a slow disk holds it up.
    pub(crate) beside: mpsc::Sender<Numbered>,
}

impl Reports {
    pub(super) async fn send(&self, event: SourceEvent) -> Result<(), SourceError> {
        Self::put(&self.sender, self.attempt, event).await
    }

    pub(super) async fn send_beside(&self, event: SourceEvent) -> Result<(), SourceError> {
        Self::put(&self.beside, self.attempt, event).await
    }

    /// Tells what may be missed, at once.
    pub(super) fn tell(&self, event: SourceEvent) {
        // The queue is full of what is newer.
        drop(self.beside.try_send((self.attempt, event)));
    }

    async fn put(way: &mpsc::Sender<Numbered>, attempt: u64, event: SourceEvent) -> Result<(), SourceError> {
        way.send((attempt, event))
            .await
            .map_err(|_| SourceError::OwnerGone)
    }
}
