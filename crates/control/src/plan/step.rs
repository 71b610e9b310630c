//! Every step that a planner can name, each with the word and the purpose under which it is recorded.

use sterna_model::{AttachReason, OperationReason, RescueId, ServiceName, StepName, StepPurpose};
use sterna_protocol::Offset;

use super::NodeId;
use super::health::Cause;
use super::returning::Holds;
use super::switchover::Abort;
use crate::known::Known;
use crate::observe::NodeKey;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Begin an unplanned change of primary.
    BeginFailover(Cause),
    /// Begin to bring a service back as a replica.
    BeginRejoin { service: ServiceName, why: RejoinCause },
    /// Follow this node.
    Follow(NodeId),
    /// Follow nobody, so that the old primary's lease runs out.
    StopFollowing,
    /// Keep a node from taking writes.
    BlockWrites(NodeId),
    /// Keep the decision: this node, with everything up to here.
    Decide {
        node: NodeId,
        /// The last offset that it has of the old history.
        divergence_offset: Offset,
    },
    /// Make the decided node a primary.
    Promote(NodeId),
    /// Put the fence in place at the primary.
    PlaceFence(NodeId),
    /// Put the fence at the primary back to what was there before.
    LiftFence(NodeId),
    /// Let a node of the primary service follow that service's own primary, and not the relay.
    FollowOwnPrimary(NodeId),
    /// Let the log stand ready, and tell the old primary how to log in to the relay.
    PrepareHandover(NodeId),
    /// `FAILOVER TO` the relay.
    PauseWrites(NodeId),
    /// Let the old primary follow.
    AcceptFormerPrimary,
    /// Take a switchover back.
    Abort { old: Option<NodeId>, why: Abort },
    /// Save the writes that only this node has.
    Rescue { node: NodeId, scope: RescueScope },
    /// Save what the log holds of the old primary that the new one lacks, before it is dropped there.
    RescueFromLog {
        /// The last offset that the new primary has.
        after: Offset,
        /// The end of the log.
        to: Offset,
    },
    /// Let a node follow the relay.
    Attach { node: NodeId, why: AttachCause },
    /// Keep that a former primary service is a replica service like any other.
    Close(ServiceName),
    /// Keep that a node of the primary service that took the writes before is a replica like any other.
    CloseNode(NodeId),
    /// Check whether services can join.
    Check(Vec<ServiceName>),
    /// Keep that a service is no longer in the group.
    Remove(ServiceName),
    /// Let the nodes of a service go.
    Release {
        service: ServiceName,
        /// As a primary of its own.
        promote: bool,
    },
    /// Let every node of the group go.
    ReleaseAll,
    /// Forget the group.
    Delete,
    /// Begin to follow this node of the primary service, which somebody else promoted.
    AdoptLocalPromotion(NodeId),
    /// Delete a rescue file that was kept for long enough.
    ExpireRescue(RescueId),
}

/// Why a service is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RejoinCause {
    /// The former primary node answers again.
    FormerPrimaryIsBack(NodeId),
    /// A node stopped following and may hold writes of its own.
    MayHoldWrites(NodeId),
}

/// How much of a node's data is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RescueScope {
    /// Its stream after `after` up to `to`, from its own backlog; where that no longer reaches back, all of its data.
    Commands { after: Offset, to: Offset },
    /// All of its data: nobody can tell which of its writes are extra.
    Snapshot,
}

/// Why a node is let follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AttachCause {
    /// Its service joins.
    Joins,
    /// It comes back, and this is what it holds.
    Returns(Holds),
    /// It had stopped following.
    Drifted,
    /// It follows, and takes writes of its own.
    Writable,
}

impl Step {
    /// Its word in the record; none where it is not part of an operation.
    pub(crate) fn name(&self) -> Option<StepName> {
        Some(match self {
            Self::Follow(_) => StepName::Follow,
            Self::StopFollowing => StepName::StopFollowing,
            Self::BlockWrites(_) => StepName::BlockWrites,
            Self::Decide { .. } => StepName::Decide,
            Self::Promote(_) => StepName::Promote,
            Self::PlaceFence(_) => StepName::PlaceFence,
            Self::PrepareHandover(_) => StepName::Prepare,
            Self::PauseWrites(_) => StepName::PauseWrites,
            Self::AcceptFormerPrimary => StepName::AcceptFormerPrimary,
            Self::Abort { .. } => StepName::Abort,
            Self::Rescue { .. } | Self::RescueFromLog { .. } => StepName::Rescue,
            Self::Attach { .. } | Self::FollowOwnPrimary(_) => StepName::Attach,
            Self::Close(_) | Self::CloseNode(_) => StepName::Close,
            Self::Check(_) => StepName::Check,
            Self::Remove(_) => StepName::Remove,
            Self::Release { .. } | Self::ReleaseAll => StepName::Release,
            Self::Delete => StepName::Delete,
            Self::BeginFailover(_)
            | Self::BeginRejoin { .. }
            | Self::LiftFence(_)
            | Self::AdoptLocalPromotion(_)
            | Self::ExpireRescue(_) => return None,
        })
    }

    /// Whether the operation's record must say that it begins before it does. What follows a decision need not: the
    /// decision is stored.
    pub(crate) fn is_recorded_first(&self) -> bool {
        !matches!(
            self,
            Self::Decide { .. }
                | Self::Promote(_)
                | Self::Follow(_)
                | Self::AcceptFormerPrimary
                | Self::Close(_)
                | Self::CloseNode(_)
        )
    }

    /// The node whose settings or role it changes in a way that may open it to writes: that we blocked it is no longer
    /// known once this begins.
    pub(crate) fn may_unblock(&self) -> Option<NodeId> {
        match self {
            Self::Attach { node, .. }
            | Self::PlaceFence(node)
            | Self::LiftFence(node)
            | Self::FollowOwnPrimary(node) => Some(*node),
            _ => None,
        }
    }

    /// Why it is done, for the record of an operation; none where it is not part of one.
    pub(crate) fn purpose(&self, known: &Known) -> Option<StepPurpose> {
        let key = |node: &NodeId| known.node(*node).key.clone();
        Some(match self {
            Self::Follow(node) => StepPurpose::Follow(key(node)),
            Self::StopFollowing => StepPurpose::StopFollowing,
            Self::BlockWrites(node) => StepPurpose::BlockWrites(key(node)),
            Self::Decide {
                divergence_offset, ..
            } => StepPurpose::Decide {
                divergence_offset: *divergence_offset,
            },
            Self::Promote(node) => StepPurpose::Promote(key(node)),
            Self::PlaceFence(_) => StepPurpose::PlaceFence,
            Self::PrepareHandover(_) => StepPurpose::PrepareHandover,
            Self::PauseWrites(_) => StepPurpose::PauseWrites,
            Self::AcceptFormerPrimary => StepPurpose::AcceptFormerPrimary,
            Self::Abort { why, .. } => StepPurpose::Abort(*why),
            Self::Rescue { node, scope } => scope.purpose(key(node)),
            Self::RescueFromLog { after, to } => StepPurpose::SaveHeldWrites {
                bytes: to.bytes_since(*after),
            },
            Self::Attach { node, why } => {
                let NodeKey { service, address } = key(node);
                StepPurpose::Attach {
                    service,
                    address,
                    why: (*why).into(),
                }
            }
            Self::Close(service) => StepPurpose::Close {
                service: service.clone(),
            },
            Self::CloseNode(node) => StepPurpose::Close {
                service: key(node).service,
            },
            Self::Check(_) => StepPurpose::Check,
            Self::Remove(service) => StepPurpose::Remove {
                service: service.clone(),
            },
            Self::Release { service, promote } => {
                let service = service.clone();
                if *promote {
                    StepPurpose::Detach { service }
                } else {
                    StepPurpose::Release { service }
                }
            }
            Self::ReleaseAll => StepPurpose::ReleaseAll,
            Self::Delete => StepPurpose::Delete,
            Self::FollowOwnPrimary(node) => StepPurpose::FollowOwnPrimary(key(node)),
            Self::BeginFailover(_)
            | Self::BeginRejoin { .. }
            | Self::LiftFence(_)
            | Self::AdoptLocalPromotion(_)
            | Self::ExpireRescue(_) => return None,
        })
    }
}

impl RejoinCause {
    /// Why the operation is begun.
    pub(crate) fn reason(self, known: &Known) -> OperationReason {
        let key = |node: NodeId| known.node(node).key.clone();
        match self {
            Self::FormerPrimaryIsBack(node) => OperationReason::FormerPrimaryIsBack(key(node)),
            Self::MayHoldWrites(node) => OperationReason::MayHoldWrites(key(node)),
        }
    }
}

impl RescueScope {
    fn purpose(self, node: NodeKey) -> StepPurpose {
        match self {
            Self::Commands { after, to } => StepPurpose::SaveWrites {
                service: node.service,
                address: node.address,
                bytes: to.bytes_since(after),
            },
            Self::Snapshot => StepPurpose::SaveSnapshot(node),
        }
    }
}

impl From<AttachCause> for AttachReason {
    fn from(cause: AttachCause) -> Self {
        match cause {
            AttachCause::Joins => Self::Joins,
            AttachCause::Returns(Holds::APrefix) => Self::HoldsPrefix,
            AttachCause::Returns(Holds::SavedWrites) => Self::WritesSaved,
            AttachCause::Returns(Holds::Nothing) => Self::CameBackEmpty,
            AttachCause::Drifted => Self::Drifted,
            AttachCause::Writable => Self::Writable,
        }
    }
}
