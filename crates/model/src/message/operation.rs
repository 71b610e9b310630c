//! Why an operation was begun, what it does and waits for, and what came of it.

use std::fmt;

use super::seconds;
use crate::activity::{Activity, OperationWait};
use crate::names::ServiceName;
use crate::operation::OperationKind;
use crate::reason::OperationReason;
use crate::result::{OperationResult, SwitchoverObstacle};

impl fmt::Display for OperationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { operation, by } => write!(f, "{}, asked for by {by}", wanted(*operation)),
            Self::PrimaryLost(cause) => cause.fmt(f),
            Self::FormerPrimaryIsBack(node) => write!(f, "the old primary {node} is back"),
            Self::MayHoldWrites(node) => {
                write!(
                    f,
                    "{node} does not follow any more and may hold writes of its own"
                )
            }
            Self::PromotedWithinService(node) => write!(
                f,
                "{node} was promoted within its service, by its Sentinel or a person"
            ),
        }
    }
}

/// What somebody asked for.
fn wanted(operation: OperationKind) -> &'static str {
    match operation {
        OperationKind::Create => "a new group",
        OperationKind::Failover => "failover",
        OperationKind::Switchover => "planned change of primary",
        OperationKind::Rejoin => "an old primary comes back",
        OperationKind::AddReplica => "a service joins",
        OperationKind::RemoveReplica | OperationKind::Detach => "a service leaves",
        OperationKind::Delete => "the group is to be deleted",
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step } => f.write_str(step.message()),
            Self::Retry { error, .. } => f.write_str(error),
            Self::Wait(wait) => wait.fmt(f),
        }
    }
}

impl fmt::Display for OperationWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("waiting until the primary node was looked at"),
            Self::Stream { link } => write!(f, "waiting for the primary's stream: {}", link.word()),
            Self::Copy { service, address } => {
                write!(f, "waiting until {service} ({address}) has a whole copy")
            }
            Self::ReplicaCount => f.write_str("waiting until the primary counts the gateway as a replica"),
            Self::Lease { left } => write!(
                f,
                "waiting until the old primary has surely closed itself to writes: {} left of its lease",
                seconds(*left)
            ),
            Self::Force => f.write_str(
                "the old primary does not answer, and the fence was never in place there, or replicas of others may keep it open: \
                 it may still take writes. `sterna failover --force` accepts that",
            ),
            Self::LastBytes { bytes } => write!(
                f,
                "the old primary takes no more writes; waiting for its last {bytes} bytes"
            ),
            Self::Candidate => {
                f.write_str("waiting for a replica node that answers and holds a whole copy")
            }
            Self::Apply {
                bytes,
                writes_paused: false,
            } => write!(
                f,
                "waiting until the chosen node has applied {bytes} more bytes of the log"
            ),
            Self::Apply {
                bytes,
                writes_paused: true,
            } => write!(f, "writes wait; the target lacks {bytes} bytes"),
            Self::NewPrimary => f.write_str(
                "waiting for the node that was decided on, which does not answer or lost what it had",
            ),
            Self::CatchUp { bytes } => write!(
                f,
                "waiting until the target is close behind: it lacks {bytes} bytes"
            ),
            Self::StepDown => f.write_str("writes wait; waiting until the old primary steps down"),
            Self::FormerPrimary => {
                f.write_str("the new primary takes writes; waiting until the old one follows")
            }
            Self::Node { service, address } => {
                write!(f, "waiting for {service} ({address}), which does not answer")
            }
            Self::Service { service } => write!(
                f,
                "waiting for the registration of {service}, which can't be read; the gateway's log says why"
            ),
        }
    }
}

impl fmt::Display for OperationResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InOrder => f.write_str("everything is as it should be"),
            Self::PrimaryChanged {
                service,
                address,
                epoch,
            } => {
                let address = address.as_ref().map(ToString::to_string).unwrap_or_default();
                write!(f, "{service} ({address}) is the primary since epoch {epoch}")
            }
            Self::PrimaryRecovered => {
                f.write_str("called off: the primary answers again and takes writes; it is followed again")
            }
            Self::NotPromotable { service } => write!(
                f,
                "{service} was decided on and can't be promoted: it is not there, or lost what it had. Another failover \
                 follows"
            ),
            Self::TakenBack(why) => {
                write!(f, "taken back: {why}. The old primary goes on, nothing was changed")
            }
            Self::Cancelled => f.write_str(
                "it was cancelled. What was done so far stays; what is still needed begins by itself again",
            ),
            Self::JoinTakenBack { service } => write!(
                f,
                "it was cancelled: {service} is not in the group. Its nodes that answered were let go, read-only and with the data \
                 that they have; what could not be put back is in the steps"
            ),
            Self::CreationTakenBack => f.write_str(
                "it was cancelled: there is no such group. The primary is as it was before, and nodes of replica services that \
                 answered were let go, read-only and with the data that they have; what could not be put back is in the steps",
            ),
            Self::Preempted => f.write_str(
                "the primary was lost meanwhile: a failover goes first. What is not done yet is taken up again",
            ),
            Self::NodeAway { service, address } => write!(
                f,
                "{service} ({address}) does not answer; it is tried again when it is back"
            ),
            Self::Rejoined { service } => write!(f, "{service} follows"),
            Self::Joined { services, primary } => {
                let names: Vec<_> = services.iter().map(ServiceName::as_str).collect();
                write!(
                    f,
                    "{}: holds a whole copy of {primary} and follows it",
                    names.join(", ")
                )
            }
            Self::Removed { service } => write!(
                f,
                "{service} does not replicate any more; it is read-only and keeps its data"
            ),
            Self::Detached { service } => write!(f, "{service} is a primary of its own and takes writes"),
            Self::Deleted => f.write_str("the group is deleted; its services stay as they are"),
            Self::NotFit { checks } => write!(f, "nothing was changed at any node: {checks}"),
            Self::Unreadable => f.write_str("this version does not know how to go on with it"),
        }
    }
}

impl fmt::Display for SwitchoverObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "it was cancelled",
            Self::TimedOut => "writes would have had to wait for longer than switchover_timeout_ms allows",
            Self::TargetLost => "the target does not follow any more",
            Self::OldLost => "the old primary does not answer any more",
            Self::StreamLost => "the old primary's stream broke before it was told to hand over",
        })
    }
}
