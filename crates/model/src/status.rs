//! How a group is doing, as seen at one moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::alert::Alert;
use crate::names::{Epoch, GroupName, OperationId, ServiceName, SiteName};

/// A group in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// The gateway has just begun to look at it.
    Starting,
    /// A first copy, or one after a rejoin, is under way.
    Copying,
    /// The primary takes writes, and every replica service follows.
    Healthy,
    /// The primary takes writes, but something needs attention; the reason says what.
    Degraded,
    /// The primary is not there; the reason says what is waited for.
    PrimaryDown,
    /// The primary is being changed.
    Changing,
    /// Replication holds: what the primary offers does not continue what the replica services hold.
    Holding,
}

/// A service's part in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceRole {
    /// It takes the writes.
    Primary,
    /// It copies.
    Replica,
    /// It was the primary, and has not come back yet.
    FormerPrimary,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Its address.
    #[schema(value_type = String)]
    pub address: NodeAddress,
    /// `primary`, `replica` (of the relay), `local-replica` (of somebody else: a node of its own service, as a rule),
    /// `loading`, `unreachable`, or `unknown` until it was looked at.
    pub role: String,
    /// Engine and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Its replication offset.
    #[schema(value_type = Option<u64>)]
    pub offset: Option<Offset>,
    /// How far it is behind the primary, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// How far it is behind the primary, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// What it is doing, or what is wrong with it, in one sentence.
    pub detail: String,
}

/// One service in a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Where it runs.
    pub site: Option<SiteName>,
    /// Its part.
    pub role: ServiceRole,
    /// Whether it does its part.
    pub ok: bool,
    /// In one sentence.
    pub detail: String,
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
}

/// The fence at the primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FenceStatus {
    /// Whether it is in place.
    pub in_place: bool,
    /// `min-replicas-to-write` as it should be at the primary.
    pub min_replicas: u32,
    /// What is missing, if anything.
    pub detail: String,
}

/// The replication log of a group at this gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogStatus {
    /// The state of the link to the primary: `connecting`, `retrying`, `full-sync`, `streaming`, `holding`, or
    /// `serving` while no primary is followed.
    pub link: String,
    /// The history that it is in.
    #[schema(value_type = Option<String>)]
    pub history: Option<ReplicationId>,
    /// The oldest offset from which a replica node can continue.
    #[schema(value_type = u64)]
    pub start: Offset,
    /// The last whole unit received.
    #[schema(value_type = u64)]
    pub end: Offset,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it is kept in memory only, if the disk refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_error: Option<String>,
    /// Bytes received since the gateway started.
    pub stream_bytes: u64,
    /// Full copies given to replica nodes that held a part of this history already (invariant I5: 0).
    pub needless_full_syncs: u64,
}

/// How a group is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupStatus {
    /// Its name.
    pub group: GroupName,
    /// In one word.
    pub state: GroupState,
    /// Why, in one sentence: what the last look decided.
    pub reason: String,
    /// The term.
    pub epoch: Epoch,
    /// Nothing is changed by itself.
    pub paused: bool,
    /// Whether a failover would happen by itself, and if not, why not.
    pub failover: String,
    /// Writes that would be lost if the primary were lost now, in bytes.
    pub unreplicated_bytes: u64,
    /// The same in seconds.
    pub unreplicated_seconds: f64,
    /// Its services, the primary first.
    pub services: Vec<ServiceStatus>,
    /// The fence at the primary.
    pub fence: FenceStatus,
    /// The replication log.
    pub log: LogStatus,
    /// What needs a person.
    pub alerts: Vec<Alert>,
    /// The operation under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// When this was seen.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}
