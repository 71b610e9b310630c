//! Work at nodes and at the shard: what a step asks for, resolved to addresses and settings, and what comes back.

use sterna_model::{Group, OperationId, Rescue, ServiceName, ShardId, StepOutcome};
use sterna_node::adopt::{AdoptError, ConfigPersistence};
use sterna_node::{ClientError, NodeAddress};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::{HistoryEnd, NodePosition};
use sterna_store::StoreError;

use crate::observe::{Lease, NodeKey, Observation};
use crate::rescue::{RescueJob, SaveError};

/// One piece of work. Every one may be done again after a crash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// Let the shard follow nobody, and refuse a primary that hands over.
    StopFollowing,
    /// Let the shard follow this node, which was decided on with everything up to there. Where the log was lost, what the replica
    /// nodes hold stands for it.
    Follow {
        node: NodeKey,
        decided: Option<HistoryEnd>,
        held_by_nodes: Vec<NodePosition>,
    },
    /// Keep the node from taking writes, and let its clients go.
    BlockWrites(NodeKey),
    /// Tell the node how to log in to the relay, and let the shard stand ready to take over.
    PrepareHandover { node: NodeKey, relay: NodeAddress },
    /// Let blocked clients go, and `FAILOVER TO` the relay.
    PauseWrites {
        node: NodeKey,
        relay: NodeAddress,
        timeout_ms: u64,
    },
    /// Let a primary that stepped down follow, and its clients go.
    AcceptFormerPrimary(Option<NodeKey>),
    /// Refuse a primary that hands over, and tell it to take writes again.
    AbortHandover(Option<NodeKey>),
    /// `REPLICAOF NO ONE`, where it has what was decided. Who reads from it as a replica is let go when clients are told of
    /// the change.
    Promote {
        node: NodeKey,
        decided: Decided,
        /// Its configuration file is to say so: no fence is placed afterwards, with which it would.
        in_file: bool,
    },
    /// Set the fence in the running and in the written configuration.
    PlaceFence { node: NodeKey, lease: Lease },
    /// Put the fence back to what was there before.
    LiftFence {
        node: NodeKey,
        /// `run_id` of the process that it is for: one that was started since may have begun closed for a reason.
        run: String,
        lift: Lift,
    },
    /// `REPLICAOF` the relay, and let the node's clients go; what it was before is kept first.
    Attach(Attach),
    /// `REPLICAOF` its service's own primary, as before the group, if it was a replica then.
    FollowOwnPrimary {
        node: NodeKey,
        primary: NodeAddress,
        /// It took the writes since, and may have been blocked.
        former: Option<Former>,
    },
    /// Save writes that only this node has.
    Rescue(RescueJob),
    /// Save writes that the log holds of the old primary, and the new one lacks.
    RescueFromLog(RescueJob),
    /// Check whether services can join; changes nothing.
    Check {
        services: Vec<ServiceName>,
        overwrite: bool,
        group: Box<Group>,
        shard: ShardId,
    },
    /// Let nodes go, and lift the fence at this one.
    Release {
        nodes: Vec<NodeKey>,
        promote: bool,
        lift_at: Option<NodeKey>,
    },
    /// Let the shard and the relay of the group end.
    Close,
    /// Delete a rescue file and its record.
    ExpireRescue(Box<Rescue>),
}

impl Job {
    /// The node at which it is done, where it is one.
    pub(crate) fn node(&self) -> Option<&NodeKey> {
        match self {
            Self::Follow { node, .. }
            | Self::BlockWrites(node)
            | Self::PrepareHandover { node, .. }
            | Self::PauseWrites { node, .. }
            | Self::Promote { node, .. }
            | Self::PlaceFence { node, .. }
            | Self::LiftFence { node, .. }
            | Self::Attach(Attach { node, .. })
            | Self::FollowOwnPrimary { node, .. }
            | Self::Rescue(RescueJob { node, .. })
            | Self::RescueFromLog(RescueJob { node, .. }) => Some(node),
            Self::AcceptFormerPrimary(node) | Self::AbortHandover(node) => node.as_ref(),
            Self::StopFollowing
            | Self::Check { .. }
            | Self::Release { .. }
            | Self::Close
            | Self::ExpireRescue(_) => None,
        }
    }
}

/// What a node must have to be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) history: Option<ReplicationId>,
    pub(crate) offset: Offset,
}

/// A node that took the writes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Former {
    /// The fence that it gets in place of the block, if one is wanted.
    pub(crate) lease: Option<Lease>,
    /// The history of the primary that it is to follow.
    pub(crate) history: Option<ReplicationId>,
}

/// For how long a fence is lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lift {
    /// In the node's configuration file too.
    ForGood,
    /// Its configuration file keeps the fence. Should it die meanwhile and another take over, it comes back closed.
    UntilRestart,
}

/// A node that is to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attach {
    pub(crate) node: NodeKey,
    pub(crate) relay: NodeAddress,
    /// The fence that it gets.
    pub(crate) lease: Option<Lease>,
    /// The history under which it holds a prefix of ours, and up to where, where the log never lived through that one.
    pub(crate) alias: Option<(ReplicationId, Offset)>,
    /// The failover whose report is exact now: the node came back with nothing that the new primary lacks.
    pub(crate) confirms: Option<OperationId>,
}

/// What a piece of work found and did.
#[derive(Debug, Default)]
pub(crate) struct JobReport {
    /// What came of it, where there is something to say.
    pub(crate) outcome: Option<StepOutcome>,
    /// What was seen of nodes on the way.
    pub(crate) observations: Vec<Observation>,
    /// A node whose writes were blocked, and the `run_id` of its process.
    pub(crate) blocked: Option<(NodeKey, String)>,
    /// Whether a node's settings survive its restart.
    pub(crate) kept: Option<(NodeKey, ConfigPersistence)>,
    /// A node was no replica within its service before the group.
    pub(crate) has_no_own: Option<NodeKey>,
    /// Writes were saved.
    pub(crate) rescued: Option<Rescue>,
    /// The primary node to which services can join, or what stands against it.
    pub(crate) checked: Option<Result<NodeAddress, String>>,
}

impl JobReport {
    pub(crate) fn of(outcome: StepOutcome) -> Self {
        Self {
            outcome: Some(outcome),
            ..Self::default()
        }
    }
}

/// Work could not be done. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Node(#[from] ClientError),
    #[error(transparent)]
    Info(#[from] sterna_node::info::InfoError),
    #[error("{node} can't be made a replica: {source}")]
    Attach {
        node: NodeKey,
        #[source]
        source: Box<JobError>,
    },
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what it needs is not known any more")]
    Gone,
    #[error("it was stopped for what is more urgent")]
    Stopped,
    #[error("{0} was restarted since: its fence stays as its configuration file says")]
    Restarted(NodeKey),
    #[error("the step could not be recorded, so it was not done: {0}")]
    NotRecorded(#[source] StoreError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("the settings of {node} as they were before can't be kept: {source}")]
    OriginalSettings {
        node: NodeAddress,
        #[source]
        source: serde_json::Error,
    },
    #[error("the shard does not obey: it has heard of a later epoch")]
    LaterEpoch,
    #[error(transparent)]
    UnknownService(#[from] UnknownService),
    #[error(
        "{node} counts {counted} replicas and would refuse writes with the fence, which asks for {wanted}"
    )]
    NotCounted {
        node: NodeAddress,
        counted: u32,
        wanted: u32,
    },
    #[error(transparent)]
    NotAsDecided(Box<NotAsDecided>),
}

impl JobError {
    /// Whether a node answered a command with an error: nothing of it is still on its way.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Node(error) if error.leaves_usable())
    }
}

/// A node is not promoted: it lacks what was decided.
#[derive(Debug, thiserror::Error)]
#[error(
    "{node} was decided on with everything up to offset {} of history {}, and holds offset {offset} of {history} now: it \
     is not promoted",
    decided.offset,
    decided.history.map_or_else(String::new, |history| history.to_string())
)]
pub(crate) struct NotAsDecided {
    pub(crate) node: NodeKey,
    pub(crate) decided: Decided,
    pub(crate) offset: Offset,
    pub(crate) history: ReplicationId,
}

/// A service can't be reached as it is registered.
#[derive(Debug, thiserror::Error)]
#[error("service {0} can't be reached as it is registered")]
pub(crate) struct UnknownService(pub(crate) ServiceName);
