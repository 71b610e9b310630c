//! Every step that a planner can name, each with the word and the reason under which it is recorded.

use sterna_model::{RescueId, ServiceName, StepName};
use sterna_protocol::Offset;

use super::NodeId;
use super::health::Cause;
use super::returning::Holds;
use super::switchover::Abort;
use crate::known::Known;

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
    /// Let a node follow the relay.
    Attach { node: NodeId, why: AttachCause },
    /// Keep that a former primary service is a replica service like any other.
    Close(ServiceName),
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
    /// Keep that the primary service promoted another of its own nodes.
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
            Self::Rescue { .. } => StepName::Rescue,
            Self::Attach { .. } => StepName::Attach,
            Self::Close(_) => StepName::Close,
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
        )
    }

    /// The node whose settings or role it changes in a way that may open it to writes: that we blocked it is no longer
    /// known once this begins.
    pub(crate) fn may_unblock(&self) -> Option<NodeId> {
        match self {
            Self::Attach { node, .. } | Self::PlaceFence(node) => Some(*node),
            _ => None,
        }
    }

    /// Why it is done.
    pub(crate) fn reason(&self, known: &Known) -> String {
        let key = |node: &NodeId| &known.node(*node).key;
        match self {
            Self::BeginFailover(cause) => cause.to_string(),
            Self::BeginRejoin { why, .. } => match why {
                RejoinCause::FormerPrimaryIsBack(node) => format!("the old primary {} is back", key(node)),
                RejoinCause::MayHoldWrites(node) => {
                    format!(
                        "{} does not follow any more and may hold writes of its own",
                        key(node)
                    )
                }
            },
            Self::Follow(node) => format!(
                "follow {}, so that the other nodes continue without a recopy",
                key(node)
            ),
            Self::StopFollowing => "stop following the old primary, so that its lease runs out".to_owned(),
            Self::BlockWrites(node) => {
                format!(
                    "{} answers as a primary: block its writes before anything else",
                    key(node)
                )
            }
            Self::Decide {
                divergence_offset, ..
            } => format!(
                "the old primary can take no writes, and the chosen node has everything up to offset \
                 {divergence_offset}: keep the decision"
            ),
            Self::Promote(node) => format!("make {} the primary", key(node)),
            Self::PlaceFence(_) => "put the fence in place at the primary".to_owned(),
            Self::LiftFence(_) => "the settings want no fence: lift it".to_owned(),
            Self::PrepareHandover(_) => "make the log ready to take over from the old primary".to_owned(),
            Self::PauseWrites(_) => "let the old primary keep writes waiting and hand over".to_owned(),
            Self::AcceptFormerPrimary => "let the old primary follow the new one".to_owned(),
            Self::Abort { why, .. } => format!("take everything back: {why}"),
            Self::Rescue { node, scope } => match scope {
                RescueScope::Commands { after, to } => format!(
                    "{}: it has {} bytes of stream that the new primary never had: save them before they are overwritten",
                    key(node),
                    to.bytes_since(*after)
                ),
                RescueScope::Snapshot => format!(
                    "{}: it restarted, and nobody can tell which of its writes were copied: save all of its data before \
                     they are overwritten",
                    key(node)
                ),
            },
            Self::Attach { node, why } => match why {
                AttachCause::Joins => format!("let {} follow", key(node)),
                AttachCause::Returns(holds) => format!("{}: {holds}", key(node)),
                AttachCause::Drifted => format!("{} does not follow as it should: let it follow", key(node)),
            },
            Self::Close(service) => format!("{service} follows: it is a replica service again"),
            Self::Check(_) => "are the services fit for it?".to_owned(),
            Self::Remove(service) => format!("keep that {service} is no longer in the group"),
            Self::Release {
                service,
                promote: true,
            } => format!("make {service} a primary of its own"),
            Self::Release {
                service,
                promote: false,
            } => {
                format!("let {service} go as it is, read-only with the data that it has")
            }
            Self::ReleaseAll => "let every node go as it is, and lift the fence".to_owned(),
            Self::Delete => "forget the group".to_owned(),
            Self::AdoptLocalPromotion(node) => format!(
                "{} was promoted within its service, by its Sentinel or a person",
                key(node)
            ),
            Self::ExpireRescue(id) => format!("rescue {id} was kept for as long as the settings say"),
        }
    }
}
