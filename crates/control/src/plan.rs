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
pub(crate) mod operation;
pub(crate) mod record;
pub(crate) mod rejoin;
pub(crate) mod remove;
pub(crate) mod returning;
mod step;
pub(crate) mod switchover;
pub(crate) mod upkeep;
mod wait;

use sterna_model::{OperationState, ServiceName};

use crate::known::Known;
pub(crate) use crate::known::NodeId;
pub(crate) use step::{AttachCause, RejoinCause, RescueScope, Step};
use switchover::Abort;
pub(crate) use wait::Wait;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    /// Do this.
    Do(Step),
    /// Nothing to do but wait for this.
    Wait(Wait),
    /// What was wanted is so, or can't be.
    Done(End),
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
            Self::PrimaryRecovered | Self::Cancelled | Self::TakenBack(Abort::Cancelled) => {
                OperationState::Cancelled
            }
            Self::NotPromotable
            | Self::TakenBack(_)
            | Self::Preempted
            | Self::NodeAway(_)
            | Self::Unreadable => OperationState::Failed,
        }
    }

    /// What came of it, in one sentence.
    pub(crate) fn result(&self, known: &Known) -> String {
        let record = &known.record;
        match self {
            Self::InOrder => "everything is as it should be".to_owned(),
            Self::PrimaryChanged => primary_changed(known),
            Self::PrimaryRecovered => {
                "called off: the primary answers again and takes writes; it is followed again".to_owned()
            }
            Self::NotPromotable => format!(
                "{} was decided on and can't be promoted: it is not there, or lost what it had. Another failover follows",
                record.primary
            ),
            Self::TakenBack(why) => {
                format!("taken back: {why}. The old primary goes on, nothing was changed")
            }
            Self::Cancelled => {
                "it was cancelled. What was done so far stays; what is still needed begins by itself again"
                    .to_owned()
            }
            Self::Preempted => {
                "the primary was lost meanwhile: a failover goes first. What is not done yet is taken up \
                                again"
                    .to_owned()
            }
            Self::NodeAway(node) => {
                format!(
                    "{} does not answer; it is tried again when it is back",
                    known.node(*node).key
                )
            }
            Self::Rejoined(service) => format!("{service} follows"),
            Self::Joined(services) => {
                let names: Vec<_> = services.iter().map(ToString::to_string).collect();
                format!(
                    "{}: holds a whole copy of {} and follows it",
                    names.join(", "),
                    record.primary
                )
            }
            Self::Removed {
                service,
                promoted: true,
            } => format!("{service} is a primary of its own and takes writes"),
            Self::Removed {
                service,
                promoted: false,
            } => format!("{service} does not replicate any more; it is read-only and keeps its data"),
            Self::Deleted => "the group is deleted; its services stay as they are".to_owned(),
            Self::Unreadable => "this version does not know how to go on with it".to_owned(),
        }
    }
}

fn primary_changed(known: &Known) -> String {
    let (record, node) = (&known.record, known.shard().primary_node.as_ref());
    format!(
        "{} ({}) is the primary since epoch {}",
        record.primary,
        node.map(ToString::to_string).unwrap_or_default(),
        record.epoch
    )
}
