//! The planner: every decision, as pure functions from what is known and what is wanted to what is next.
//!
//! All of them speak one grammar, [`Next`]: do this step, wait for that, or it is done; each with its reason. No I/O, no
//! clocks. The group's state asks [`operation::next`] while an operation is under way and [`upkeep::next`] while none
//! is, does the one thing that comes back, and asks again; what was done before a crash is seen in what is known after
//! it. The model in `model/` explores the same functions, through the same state, against crashes, pauses and lost
//! messages.
//!
//! | module | decides |
//! | --- | --- |
//! | [`operation`] | which planner an operation belongs to, what goes before it |
//! | [`upkeep`] | what is needed while nothing is under way: failover, rejoin, drift, the fence, old rescue files |
//! | [`health`] | is the primary lost, and may a replica service be promoted without a person? |
//! | [`local_promotion`] | whether the primary service's own Sentinels, or a person, made another of its nodes the primary |
//! | [`loss`] | what would be lost with the primary, and what was |
//! | [`failover`], [`switchover`] | the next step of a change of primary |
//! | [`returning`], [`rejoin`] | what a node that comes back needs, and its service |
//! | [`join`], [`remove`] | services that join, services that leave, the end of a group |
//! | [`fence`] | what the fence at a primary should be, and whether it may be put there |
//! | [`admission`] | whether what a person asks for may begin |
//! | [`record`] | what a step changes in the group's record |

pub(crate) mod admission;
pub(crate) mod failover;
pub(crate) mod fence;
pub(crate) mod health;
pub(crate) mod join;
pub(crate) mod local_promotion;
pub(crate) mod loss;
pub(crate) mod operation;
pub(crate) mod record;
pub(crate) mod rejoin;
pub(crate) mod remove;
pub(crate) mod returning;
mod step;
pub(crate) mod switchover;
pub(crate) mod upkeep;

use sterna_model::{OperationResult, OperationState, ServiceName};

use crate::known::Known;
pub(crate) use crate::known::NodeId;
use crate::observe::NodeKey;
pub(crate) use step::{AttachCause, RejoinCause, RescueScope, Step};
pub(crate) use sterna_model::OperationWait as Wait;
use switchover::Abort;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Do this.
    Do(Step),
    /// Nothing to do but wait for this.
    Wait(Wait),
    /// What was wanted is so, or can't be.
    Done(End),
}

/// The wait for a node to have a whole copy.
fn copy_of(known: &Known, node: NodeId) -> Wait {
    let NodeKey { service, address } = known.node(node).key.clone();
    Wait::Copy { service, address }
}

/// How what was wanted ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The group is as it should be.
    InOrder,
    /// The new primary takes writes.
    PrimaryChanged,
    /// The old primary answers again, with its data.
    PrimaryRecovered,
    /// The decided node is not there, or lost what it had.
    NotPromotable,
    /// Everything was taken back.
    TakenBack(Abort),
    /// A person wanted it to end.
    Cancelled,
    /// A person wanted a service not to join, and it left again.
    JoinTakenBack(ServiceName),
    /// A person wanted no group, and there is none any more.
    CreationTakenBack,
    /// The primary was lost, and a failover goes first.
    Preempted,
    /// A node that is needed does not answer.
    NodeAway(NodeId),
    /// The service follows again.
    Rejoined(ServiceName),
    /// The services hold a copy and follow.
    Joined(Vec<ServiceName>),
    /// The service left.
    Removed {
        service: ServiceName,
        /// As a primary of its own.
        promoted: bool,
    },
    /// The group is gone.
    Deleted,
    /// The record is of an operation that this version can't go on with.
    Unreadable,
}

impl End {
    /// How the operation is recorded.
    pub(crate) fn state(&self) -> OperationState {
        match self {
            Self::InOrder
            | Self::PrimaryChanged
            | Self::Rejoined(_)
            | Self::Joined(_)
            | Self::Removed { .. }
            | Self::Deleted => OperationState::Succeeded,
            Self::PrimaryRecovered
            | Self::Cancelled
            | Self::JoinTakenBack(_)
            | Self::CreationTakenBack
            | Self::TakenBack(Abort::Cancelled) => OperationState::Cancelled,
            Self::NotPromotable
            | Self::TakenBack(_)
            | Self::Preempted
            | Self::NodeAway(_)
            | Self::Unreadable => OperationState::Failed,
        }
    }

    /// As people and programs are told it.
    pub(crate) fn result(&self, known: &Known) -> OperationResult {
        let record = &known.record;
        match self {
            Self::InOrder => OperationResult::InOrder,
            Self::PrimaryChanged => OperationResult::PrimaryChanged {
                service: record.primary.clone(),
                address: known.shard().primary_node.clone(),
                epoch: record.epoch,
            },
            Self::PrimaryRecovered => OperationResult::PrimaryRecovered,
            Self::NotPromotable => OperationResult::NotPromotable {
                service: record.primary.clone(),
            },
            Self::TakenBack(why) => OperationResult::TakenBack(*why),
            Self::Cancelled => OperationResult::Cancelled,
            Self::JoinTakenBack(service) => OperationResult::JoinTakenBack {
                service: service.clone(),
            },
            Self::CreationTakenBack => OperationResult::CreationTakenBack,
            Self::Preempted => OperationResult::Preempted,
            Self::NodeAway(node) => {
                let NodeKey { service, address } = known.node(*node).key.clone();
                OperationResult::NodeAway { service, address }
            }
            Self::Rejoined(service) => OperationResult::Rejoined {
                service: service.clone(),
            },
            Self::Joined(services) => OperationResult::Joined {
                services: services.clone(),
                primary: record.primary.clone(),
            },
            Self::Removed { service, promoted } => {
                let service = service.clone();
                if *promoted {
                    OperationResult::Detached { service }
                } else {
                    OperationResult::Removed { service }
                }
            }
            Self::Deleted => OperationResult::Deleted,
            Self::Unreadable => OperationResult::Unreadable,
        }
    }
}
