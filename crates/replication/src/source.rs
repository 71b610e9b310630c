//! The replica side: one connection to a primary, from the search for it to its end.
//!
//! A connection decides nothing. It reports to the shard's owner, asks it where a decision is due, and ends; the owner
//! starts the next one.

mod chunks;
mod handshake;
mod receive;
mod report;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sterna_node::{FindError, FoundPrimary, Upstream};
use sterna_protocol::Offset;
use sterna_protocol::psync::HandshakeError;
use tokio::sync::watch as watch_channel;
use tokio::sync::{Notify, oneshot};

use self::watch::Watch;
use crate::lineage::Lineage;
use crate::settings::Announce;

pub(crate) use report::{FullResyncAnswer, Numbered, Reports, SourceEvent};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To follow the primary.
    Follow,
    /// To take a snapshot beside the link, and nothing more.
    Snapshot,
}

/// Why a connection to a primary ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// No primary was found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It can't be connected to for replication.
    #[error(transparent)]
    Connect(#[from] sterna_node::ConnectError),
    /// It refused the handshake.
    #[error("{peer} can't be followed: {source}")]
    Handshake { peer: String, source: HandshakeError },
    /// It is not ready.
    #[error("{peer} is not ready to be followed: {reason}")]
    NotReady { peer: String, reason: String },
    /// The owner does not want this primary.
    #[error("{0}")]
    Unwanted(String),
    /// The connection broke.
    #[error("the connection to {peer} broke: {what}")]
    Broken { peer: String, what: String },
    /// Nothing came for too long.
    #[error("{peer} sent nothing for {seconds} s")]
    Silent { peer: String, seconds: u64 },
    /// The node is a replica now.
    #[error("{peer} is no longer the primary of its service")]
    Demoted { peer: String },
    /// What came can't be right.
    #[error("{0}")]
    BadData(String),
    /// The snapshot was taken, which was all that was wanted.
    #[error("done")]
    Done,
    /// The owner is gone.
    #[error("the shard has ended")]
    OwnerGone,
}

/// Everything a connection needs.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) attempt: u64,
    pub(crate) purpose: Purpose,
    pub(crate) upstream: Upstream,
    pub(crate) announce: Option<Announce>,
    pub(crate) lease: bool,
    pub(crate) announced_version: Option<String>,
    pub(crate) reports: Reports,
    /// The offset to acknowledge: every change is, also to the same one; of several at once only the last.
    pub(crate) acks: watch_channel::Receiver<Offset>,
}

impl Connection {
    /// Runs to the end, after `delay`, and reports why it ended.
    pub(crate) async fn run(mut self, delay: Duration) {
        tokio::time::sleep(delay).await;
        let reports = self.reports.clone();
        let error = match self.follow().await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tracing::debug!(attempt = self.attempt, %error, "connection to the primary ended");
        drop(reports.send(SourceEvent::Ended(error)).await);
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, SourceError> {
        let found = self.upstream.find_primary().await?;
        let peer = found.address.to_string();
        let (reply, answer) = oneshot::channel();
        let lineage = lineage(&found);
        self.reports
            .send(SourceEvent::Found {
                peer: peer.clone(),
                lineage,
                reply,
            })
            .await?;
        let position = match answer.await {
            Ok(Ok(position)) => position,
            Ok(Err(reason)) => return Err(SourceError::Unwanted(reason)),
            Err(_) => return Err(SourceError::OwnerGone),
        };
        let (transfer, stream, input) = self.handshake(&found, &peer, position).await?;
        let look_now = Arc::new(Notify::new());
        let _watch = (self.purpose == Purpose::Follow).then(|| {
            let watch = Watch {
                peer: peer.clone(),
                upstream: self.upstream.clone(),
                lease: self.lease,
                look_now: Arc::clone(&look_now),
                reports: self.reports.clone(),
            };
            watch.spawn(found)
        });
        self.receive(&peer, transfer, stream, input, &look_now).await
    }
}

fn lineage(found: &FoundPrimary) -> Lineage {
    let replication = &found.replication;
    Lineage {
        id: replication.replid,
        offset: replication.offset,
        previous: replication.replid2.zip(replication.second_offset),
        uptime: Duration::from_secs(found.info.server().uptime_s.unwrap_or(0)),
    }
}
