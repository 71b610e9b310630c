//! What a shard tells the world: a status that is replaced as it changes, and notices of single events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sterna_model::{CopyObstacle, CopyProgress, HoldReason, LinkState};
use sterna_node::copying::CopyTarget;
use sterna_node::{ClientError, NodeAddress, ProbeAnswer};
use sterna_protocol::{Offset, ReplicationId};
use tokio::time::Instant;

/// What a replica node is doing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowerState {
    /// For the log to reach it, or for a snapshot.
    Waiting,
    /// A full copy goes out to it.
    FullSync,
    /// It follows the stream.
    Streaming,
}

/// One attached replica node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FollowerStatus {
    /// Where its connection comes from.
    pub peer: SocketAddr,
    /// The port on which it serves clients.
    pub listening_port: u16,
    /// What it is doing.
    pub state: FollowerState,
    /// What it said that it has applied.
    pub acked: Option<Offset>,
    /// Bytes of snapshot sent to it, while a full copy goes out.
    pub snapshot_sent_bytes: u64,
    /// How far it was behind the log when it last acknowledged, in bytes; as of now, if that is over 2.5 s ago.
    pub lag_bytes: u64,
    /// For how long it had been missing the next byte then, in seconds.
    pub lag_seconds: f64,
    /// Why it is not given the full copy that it needs: it could not load it.
    pub held: Option<CopyObstacle>,
}

/// What the nodes that a follower may be can load, or why that can't be found out.
pub(crate) type Asked = Result<Vec<CopyTarget>, String>;

/// Totals since the shard started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Bytes of stream received from the primary.
    pub stream_bytes: u64,
    /// Commands among them.
    pub commands: u64,
    /// Bytes of snapshots received.
    pub snapshot_bytes: u64,
    /// Full copies taken from a primary.
    pub full_syncs_up: u64,
    /// Connections to a primary that continued with a partial resync.
    pub partial_syncs_up: u64,
    /// Full copies given to replica nodes.
    pub full_syncs_down: u64,
    /// Replica nodes that continued with a partial resync.
    pub partial_syncs_down: u64,
    /// Full copies given to a replica node that already held a part of this log's history (I5).
    pub full_syncs_needless: u64,
    /// Attempts to connect to a primary after the first.
    pub reconnects: u64,
    /// Times that the log was synced to disk.
    pub syncs: u64,
    /// Time spent on that, in microseconds.
    pub sync_micros: u64,
    /// Bytes read back from disk for followers that were behind the tail.
    pub disk_read_bytes: u64,
}

/// Everything about a shard at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// The link to the primary.
    pub link: LinkState,
    /// The primary's address, once one was found.
    pub primary: Option<String>,
    /// The history that the log is in, if it is in any.
    pub history: Option<ReplicationId>,
    /// The oldest offset from which a follower can continue.
    pub log_start: Offset,
    /// The full copy that arrives beside the stream, if there is one.
    pub copy: Option<CopyProgress>,
    /// Why the last full copy came to nothing, until one comes whole.
    pub copy_error: Option<String>,
    /// A whole snapshot is here from which a node can continue with the log.
    pub has_snapshot: bool,
    /// Connections beside the link that the primary counts as replicas.
    pub lease_links: usize,
    /// Under which numbers the primary lists connections from here.
    pub clients: Vec<u64>,
    /// The last whole unit received.
    pub log_end: Offset,
    /// What is synced to disk.
    pub log_durable: Offset,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Why the log is kept in memory only, if the disk refuses it.
    pub disk_error: Option<String>,
    /// The primary's own offset when last asked.
    pub primary_offset: Option<Offset>,
    /// When it was asked for it.
    pub primary_asked_at: Option<Instant>,
    /// The stream was closed or reset from the primary's side, and none was asked for since: with the process that held it, or
    /// by something in between.
    pub closed_by_primary: bool,
    /// When the last byte came from the primary.
    pub heard_at: Option<Instant>,
    /// When the primary last showed a sign of life.
    pub alive_at: Option<Instant>,
    /// When the primary last heard from here, or may have: its lease runs from then.
    pub renewed_at: Option<Instant>,
    /// The database that is selected at the end of the stream, where that is known.
    pub selected_db: Option<u32>,
    /// The offsets at which primaries that hand over with `FAILOVER` wait to follow: by their own word, which whoever has a
    /// secret of the group can give.
    pub handovers_wait_at: Vec<Offset>,
    /// Attached replica nodes.
    pub followers: Vec<FollowerStatus>,
    /// Totals.
    pub counters: Counters,
    /// Bytes of stream and snapshot held in memory.
    pub memory_bytes: u64,
}

impl Status {
    /// How far the slowest attached replica node is behind the primary, in bytes.
    pub fn lag_bytes(&self) -> u64 {
        let unreceived = self
            .primary_offset
            .map_or(0, |primary| primary.bytes_since(self.log_end));
        let slowest = self.followers.iter().map(|follower| follower.lag_bytes).max();
        unreceived + slowest.unwrap_or(0)
    }

    /// Whether only the time of the last sign of life, and of what came with it, is another.
    pub(crate) fn is_same_later(&self, later: &Self) -> bool {
        let same = Self {
            primary_asked_at: later.primary_asked_at,
            heard_at: later.heard_at,
            alive_at: later.alive_at,
            renewed_at: later.renewed_at,
            ..self.clone()
        };
        same == *later
    }

    /// For how long nothing has come from the primary.
    pub fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.heard_at.map(|at| now.saturating_duration_since(at))
    }

    /// How far the slowest attached replica node is behind, in seconds; while the primary is silent and known to be
    /// ahead, at least as long as the silence.
    pub fn lag_seconds(&self, now: Instant) -> f64 {
        let behind = self
            .followers
            .iter()
            .map(|follower| follower.lag_seconds)
            .fold(0.0, f64::max);
        let unreceived = self.primary_offset.is_some_and(|primary| primary > self.log_end);
        match self.silent_for(now) {
            Some(silent) if unreceived || self.link != LinkState::Streaming => {
                behind.max(silent.as_secs_f64())
            }
            _ => behind,
        }
    }
}

/// What the primary that is followed said when it was last asked how it is.
#[derive(Debug, Clone)]
pub struct PrimaryLook {
    pub address: NodeAddress,
    /// When it was asked.
    pub asked: Instant,
    /// Its answer, or why there was none.
    pub answer: Result<Arc<ProbeAnswer>, Arc<ClientError>>,
}

/// Something that happened once, for people and logs.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A primary was found and follows on.
    Connected {
        /// Its address.
        primary: String,
    },
    /// The log begins anew with the stream of this history: replica nodes that are not in it, or hold less, need a full
    /// copy.
    Begun {
        id: ReplicationId,
        /// Where the primary was.
        offset: Offset,
        /// Why it does not go on.
        reason: String,
    },
    /// A full copy begins.
    FullSyncStarted {
        /// The history it is in.
        id: ReplicationId,
        /// The offset it stands for.
        offset: Offset,
        /// Why it is needed.
        reason: String,
    },
    /// A full copy came to nothing; it is asked for again.
    CopyFailed {
        /// Why.
        reason: String,
    },
    /// A full copy was received and its checksum is right.
    FullSyncReceived {
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// The stream goes on where it stopped.
    Resumed {
        offset: Offset,
        /// The new id, where the primary changed it.
        new_id: Option<ReplicationId>,
    },
    /// The log was cut back to what a promoted primary had applied.
    CutBack {
        /// The new end.
        to: Offset,
        /// Bytes dropped.
        bytes: u64,
    },
    /// Replication holds (I4).
    Holding(HoldReason),
    /// The connection to the primary ended.
    Lost {
        /// Why.
        reason: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// The primary sends what can't be right, again and again: going on would be a guess (I7).
    Corrupt {
        /// What was wrong, with peer, offset and bytes.
        reason: String,
    },
    /// A replica node is not given the full copy that it needs: it could not load it.
    CopyHeld {
        /// The node.
        peer: SocketAddr,
        /// What stands between.
        obstacle: CopyObstacle,
    },
    /// A replica node was given a full copy.
    FollowerFullSync {
        /// The node.
        peer: SocketAddr,
    },
    /// A replica node continued with a partial resync.
    FollowerResumed {
        /// The node.
        peer: SocketAddr,
        offset: Offset,
    },
    /// A replica node applied its full copy and follows the stream.
    FollowerOnline {
        /// The node.
        peer: SocketAddr,
    },
    /// A replica node's connection ended.
    FollowerGone {
        /// The node.
        peer: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The disk refuses the log, which goes on in memory only.
    DiskFailed {
        /// The error.
        reason: String,
    },
    /// The log is on disk again.
    DiskRecovered,
}
