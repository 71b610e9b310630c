//! The replica side: one connection to a primary, from the search for it to its end.
//!
//! A connection decides nothing. It reports to the shard's owner, asks it where a decision is due, and ends; the owner
//! starts the next one.

mod receive;
mod report;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sterna_model::CopyBreak;
use sterna_node::copying::{CopyNeeds, why_broken_off};
use sterna_node::{EngineKind, FindError, FoundPrimary, Upstream, Version};
use sterna_protocol::Offset;
use sterna_protocol::psync::{Ack, ReplicaConfig};
use tokio::sync::watch as watch_channel;
use tokio::sync::{Notify, oneshot};

use self::watch::Watch;
use crate::lineage::Lineage;
use crate::psync_client::{PsyncClient, PsyncError};
use crate::settings::Announce;
use crate::status::PrimaryLook;

pub(crate) use report::{Asking, FullResyncAnswer, Numbered, Reports, SourceEvent};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To follow the primary.
    Follow,
    /// To take a snapshot beside the link, and nothing more.
    Snapshot,
    /// To be counted as one replica more.
    Lease,
}

/// Why a connection to a primary ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// No primary was found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The connection came to nothing, or to its end.
    #[error(transparent)]
    Psync(#[from] PsyncError),
    /// The primary closed the connection on which a snapshot was to come.
    #[error("{error}: {why}")]
    CopyBroken {
        #[source]
        error: PsyncError,
        /// As far as it can be told.
        why: CopyBreak,
    },
    /// The owner does not want this primary.
    #[error("{0}")]
    Unwanted(String),
    /// The node is a replica now.
    #[error("{peer} is no longer the primary of its service")]
    Demoted { peer: String },
    /// What came in the stream can't be right.
    #[error("{0}")]
    BadData(String),
    /// The snapshot was taken, which was all that was wanted.
    #[error("done")]
    Done,
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
    /// A primary that says nothing for so long is given up.
    pub(crate) silence_max: Duration,
    pub(crate) reports: Reports,
    /// What to acknowledge: every change is, also to the same; of several at once only the last.
    pub(crate) acks: watch_channel::Receiver<Ack>,
    /// Where looks at the primary are shown.
    pub(crate) looks: watch_channel::Sender<Option<PrimaryLook>>,
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
                needs: CopyNeeds::of(found.engine, &found.info),
                reply,
            })
            .await?;
        let asking = match answer.await {
            Ok(Ok(asking)) => asking,
            Ok(Err(reason)) => return Err(SourceError::Unwanted(reason)),
            Err(_) => return Err(SourceError::OwnerGone),
        };
        let announced = announced(&found, asking);
        let config = self.config(&found, asking, announced);
        let identified = |client| self.reports.tell(SourceEvent::Identified { client });
        let (client, answer) =
            PsyncClient::connect_as(&found.dialer, config, self.silence_max, identified).await?;
        let snapshot = self.report(answer).await?;
        if self.purpose == Purpose::Lease {
            return self.hold_lease(client).await;
        }
        let look_now = Arc::new(Notify::new());
        if self.purpose == Purpose::Snapshot {
            return match self.receive(client, snapshot, &look_now).await {
                Err(SourceError::Psync(error @ PsyncError::Broken { .. })) => {
                    let why = why_broken(found, announced).await;
                    Err(SourceError::CopyBroken { error, why })
                }
                ended => ended,
            };
        }
        let watch = Watch {
            peer,
            upstream: self.upstream.clone(),
            lease: self.lease,
            look_now: Arc::clone(&look_now),
            reports: self.reports.clone(),
            looks: self.looks.clone(),
        };
        let _watch = watch.spawn(found);
        self.receive(client, snapshot, &look_now).await
    }

    fn config(&self, found: &FoundPrimary, asking: Asking, announced: Option<Version>) -> ReplicaConfig {
        // `FAILOVER` must find the link alone.
        let announce = self.announce.as_ref().filter(|_| self.purpose != Purpose::Lease);
        ReplicaConfig {
            credentials: found.dialer.credentials.clone(),
            listening_port: announce.map_or(0, |relay| relay.port),
            announce_address: announce.and_then(|relay| relay.host.clone()),
            version: announced.map(|version| version.to_string()),
            asks_client_id: true,
            rdb_only: self.purpose == Purpose::Snapshot && supports_rdb_only(found),
            position: asking.position,
        }
    }
}

/// What a Valkey is told of who must load what it sends: it picks the format by it. Redis knows no such announcement.
fn announced(found: &FoundPrimary, asking: Asking) -> Option<Version> {
    let own = found.engine;
    (own.kind == EngineKind::Valkey).then(|| asking.version.unwrap_or(own.version))
}

/// Asks a primary that closed the connection of a snapshot how it is.
async fn why_broken(mut found: FoundPrimary, announced: Option<Version>) -> CopyBreak {
    let now = found.client.info().await.ok();
    why_broken_off(found.engine, announced, &found.info, now.as_ref())
}

/// `REPLCONF rdb-only` came with Redis 7.0; before it, a snapshot is taken as an ordinary replica that leaves early.
fn supports_rdb_only(found: &FoundPrimary) -> bool {
    let version = found.info.server().redis_version.unwrap_or_default();
    version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 7)
}

fn lineage(found: &FoundPrimary) -> Lineage {
    let replication = &found.replication;
    Lineage {
        id: replication.replid,
        offset: replication.offset,
        previous: replication.replid2.zip(replication.second_offset),
        process: found.info.server().run_id.and_then(|id| id.parse().ok()),
        uptime: Duration::from_secs(found.info.server().uptime_s.unwrap_or(0)),
        backlog_from: replication
            .backlog_first
            .filter(|_| replication.backlog_active)
            .map(|first| Offset::new(first.saturating_sub(1))),
    }
}
