//! How a group is doing, as seen at one moment: data, whose sentences for people come from [`message`](crate::message).

mod figures;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::alert::Alert;
use crate::copy::CopyObstacle;
use crate::link::{CopyProgress, HoldReason, LinkState};
use crate::names::{Epoch, GroupName, OperationId, ServiceName, ShardId, SiteName};
use crate::operation::OperationKind;
use crate::primary::{FailoverReadiness, PrimaryVerdict};
use crate::step::StepName;
use crate::told::{Told, told};
pub use figures::{NodeFigures, ShardFigures};

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

impl GroupState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Copying => "copying",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::PrimaryDown => "primary-down",
            Self::Changing => "changing",
            Self::Holding => "holding",
        }
    }
}

/// Why a group is in its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum GroupReason {
    /// The gateway has just begun to look at it.
    NotLookedAt,
    /// The gateway can't take it up: nothing is replicated or watched.
    NotTakenUp {
        /// Why.
        error: String,
    },
    /// Everything is as it should be.
    InOrder,
    /// An operation is under way.
    Operation {
        /// What is done.
        operation: OperationKind,
        /// The step that it is at.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<StepName>,
    },
    /// The primary does not do its part.
    Primary {
        /// What is made of it.
        verdict: PrimaryVerdict,
        /// What the last look at it met, as the network or the server said it.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A full copy of the primary is arriving.
    FullCopyArrives,
    /// Replication holds.
    Holds(HoldReason),
    /// The primary refuses writes, since it counts too few good replicas.
    RefusesWrites {
        /// So many are good.
        good: u32,
        /// `min-replicas-to-write`.
        min_replicas: u32,
    },
    /// The primary works, but its stream is not here.
    NoStream {
        /// The link to it.
        link: LinkState,
    },
    /// A service does not do its part.
    Service {
        /// Which.
        service: ServiceName,
        /// What it does instead.
        condition: ServiceCondition,
    },
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

/// What a service is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum ServiceCondition {
    /// It is the primary service, and does its part.
    TakesWrites {
        /// Replicas of its own that its primary node has.
        local_replicas: u32,
    },
    /// It is the primary service, and does not do its part.
    PrimaryNotWell {
        /// What is made of its primary.
        verdict: PrimaryVerdict,
    },
    /// All of its nodes follow.
    Follows,
    /// A node of it does not follow.
    NodeDoesNotFollow {
        /// Which.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// What it does instead.
        condition: NodeCondition,
    },
    /// It has no nodes that are known.
    NoNodes,
    /// It was left behind by a failover and has not come back yet.
    LeftBehind {
        /// The last offset of its history that the group has.
        #[schema(value_type = u64)]
        divergence_offset: Offset,
    },
}

impl ServiceCondition {
    /// Whether it does its part.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::TakesWrites { .. } | Self::Follows)
    }
}

/// What a node is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRole {
    /// A primary.
    Primary,
    /// A replica of the relay.
    Replica,
    /// A replica of somebody else: of a node of its own service, as a rule.
    LocalReplica,
    /// It is not known now.
    Unknown,
}

impl NodeRole {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::LocalReplica => "local-replica",
            Self::Unknown => "unknown",
        }
    }
}

/// What a node is doing, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum NodeCondition {
    /// It was not looked at yet.
    NotLookedAt,
    /// No process listens at its host.
    Refused {
        /// What the network said.
        error: String,
    },
    /// It does not answer.
    Silent {
        /// What the network said; none where no look has ended for some seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// It answers, but not to this gateway.
    Denied {
        /// What it said.
        error: String,
    },
    /// It loads its data.
    Loading,
    /// It is the group's primary and takes writes.
    TakesWrites,
    /// It is a primary, and its writes are blocked.
    WritesBlocked,
    /// It is a primary of its own, and should not be.
    UnexpectedPrimary,
    /// It follows the relay.
    Follows,
    /// It receives a full copy from the relay.
    ReceivesFullCopy,
    /// It needs a full copy and is not given one, because it could not load it. It keeps the data that it has.
    CopyHeld(CopyObstacle),
    /// It is a replica of the relay, and its link is down.
    LinkDown,
    /// It is a replica of somebody else.
    ReplicaOf {
        /// Of whom; none where it does not say.
        #[schema(value_type = Option<String>)]
        address: Option<NodeAddress>,
    },
}

impl NodeCondition {
    /// The part that goes with it.
    pub fn role(&self) -> NodeRole {
        match self {
            Self::NotLookedAt
            | Self::Refused { .. }
            | Self::Silent { .. }
            | Self::Denied { .. }
            | Self::Loading => NodeRole::Unknown,
            Self::TakesWrites | Self::WritesBlocked | Self::UnexpectedPrimary => NodeRole::Primary,
            Self::Follows | Self::ReceivesFullCopy | Self::CopyHeld(_) | Self::LinkDown => NodeRole::Replica,
            Self::ReplicaOf { .. } => NodeRole::LocalReplica,
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Its address.
    #[schema(value_type = String)]
    pub address: NodeAddress,
    /// The shard that it holds data of.
    pub shard: ShardId,
    /// What it is.
    pub role: NodeRole,
    /// What it is doing.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<NodeCondition>)]
    pub condition: NodeCondition,
    /// Engine and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What moves with every write.
    pub figures: NodeFigures,
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
    /// What it is doing.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<ServiceCondition>)]
    pub condition: ServiceCondition,
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
}

/// The fence at a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum FenceState {
    /// The group has none.
    Off,
    /// It is in place.
    InPlace {
        /// `min-replicas-max-lag`: the primary closes itself between this and 2 s after it last heard from the gateway.
        lease_seconds: u32,
        /// `min-replicas-to-write` as it should be at the primary.
        min_replicas: u32,
        /// Connections of the gateway's own that the primary is to count.
        links: u32,
        /// Who else may follow the primary.
        others: u32,
        /// Others are counted in, or were not counted on yet: one that is there, or comes back, while the gateway is cut off may
        /// keep the primary open.
        counts_others: bool,
    },
    /// It is not in place yet: it follows the first copy.
    NotYet,
    /// It was lifted: nobody is fit to take over, so it would only take writes away.
    Lifted,
}

impl FenceState {
    /// Whether it is in place.
    pub fn is_in_place(self) -> bool {
        matches!(self, Self::InPlace { .. })
    }
}

/// One shard of a group: its primary node, and its replication log at this gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardStatus {
    /// Which.
    pub shard: ShardId,
    /// The node that takes the writes, as last decided.
    #[schema(value_type = Option<String>)]
    pub primary_node: Option<NodeAddress>,
    /// The link to it.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<LinkState>)]
    pub link: LinkState,
    /// The full copy that arrives from it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyProgress>,
    /// Why the last full copy came to nothing, until one comes whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_error: Option<String>,
    /// The fence at it.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<FenceState>)]
    pub fence: FenceState,
    /// The history that the log is in.
    #[schema(value_type = Option<String>)]
    pub history: Option<ReplicationId>,
    /// Why the log is kept in memory only, if the disk refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_error: Option<String>,
    /// Full copies given to replica nodes that held a part of this history already (invariant I5: 0).
    pub needless_full_syncs: u64,
    /// What moves with every write.
    pub figures: ShardFigures,
}

/// How a group is doing, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusSummary {
    /// In one word.
    pub state: GroupState,
    /// Why: what the last look decided.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<GroupReason>)]
    pub reason: GroupReason,
    /// The term.
    pub epoch: Epoch,
    /// Nothing is changed by itself.
    pub paused: bool,
    /// Whether a failover would happen by itself, and if not, why not.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<FailoverReadiness>)]
    pub failover: FailoverReadiness,
    /// The operation under way; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
}

/// How a group is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupStatus {
    /// Its name.
    pub group: GroupName,
    /// One more with each change, in the life of a gateway process.
    pub revision: u64,
    /// In short.
    #[serde(flatten)]
    pub summary: StatusSummary,
    /// Its services, the primary first.
    pub services: Vec<ServiceStatus>,
    /// Its shards; one where the services are standalone.
    pub shards: Vec<ShardStatus>,
    /// What needs a person.
    pub alerts: Vec<Alert>,
    /// When the last change was seen.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl GroupStatus {
    /// The history that a primary offers on which replication holds, where it is another one than what is held here.
    pub fn offered_history(&self) -> Option<ReplicationId> {
        self.shards.iter().find_map(|shard| match &shard.link {
            LinkState::Holding(HoldReason::UnrelatedHistory { offered, .. }) => Some(*offered),
            _ => None,
        })
    }

    /// Writes that would be lost if the primary were lost now, in bytes.
    pub fn unreplicated_bytes(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.figures.unreplicated_bytes)
            .sum()
    }

    /// The same in seconds: that of the shard that is furthest behind.
    pub fn unreplicated_seconds(&self) -> f64 {
        let seconds = self.shards.iter().map(|shard| shard.figures.unreplicated_seconds);
        seconds.fold(0.0, f64::max)
    }

    /// Full copies given to replica nodes that held a part of this history already (invariant I5: 0).
    pub fn needless_full_syncs(&self) -> u64 {
        self.shards.iter().map(|shard| shard.needless_full_syncs).sum()
    }

    /// Whether the fence is in place at every shard's primary.
    pub fn is_fenced(&self) -> bool {
        !self.shards.is_empty() && self.shards.iter().all(|shard| shard.fence.is_in_place())
    }
}
