//! Groups, and the steps of their operations.

use std::fmt;

use crate::link::LinkState;
use crate::operation::StepName;
use crate::status::GroupReason;

impl fmt::Display for GroupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedAt => f.write_str("the gateway has just begun to look at it"),
            Self::InOrder => f.write_str("the primary takes writes and every replica service follows"),
            Self::Operation {
                operation,
                step: Some(step),
            } => write!(f, "{operation}: {}", step.message()),
            Self::Operation {
                operation,
                step: None,
            } => write!(f, "{operation} begins"),
            Self::Primary {
                verdict,
                error: Some(error),
            } => write!(f, "{verdict} ({error})"),
            Self::Primary { verdict, error: None } => verdict.fmt(f),
            Self::FullCopyArrives => f.write_str("a full copy of the primary is arriving"),
            Self::Holds(reason) => reason.fmt(f),
            Self::NoStream {
                link: LinkState::Retrying { error },
            } => write!(f, "the primary's stream is missing: {error}"),
            Self::NoStream { link } => write!(f, "the primary's stream is not here yet: {link}"),
            Self::Service { service, condition } => write!(f, "{service}: {condition}"),
        }
    }
}

impl StepName {
    /// What an operation does in this step.
    pub fn message(self) -> &'static str {
        match self {
            Self::Detect => "the primary is taken for lost",
            Self::Check => "looks at the services: is anything against it?",
            Self::Follow => "follows the primary",
            Self::Attach => "makes a node a replica of the relay",
            Self::PlaceFence => "puts the fence in place",
            Self::StopFollowing => "lets go of the old primary, so that its lease runs out",
            Self::BlockWrites => "blocks the writes of a node",
            Self::Decide => "keeps the decision",
            Self::Promote => "promotes the new primary",
            Self::Prepare => "makes the log ready to take over",
            Self::PauseWrites => "the old primary keeps writes waiting",
            Self::AcceptFormerPrimary => "lets the former primary follow",
            Self::Abort => "takes the switchover back",
            Self::Rescue => "saves writes that only a former primary has",
            Self::Close => "keeps that a former primary is a replica service again",
            Self::Remove => "takes a service out of the group",
            Self::Release => "gives the nodes of a service back their settings",
            Self::Delete => "deletes the group",
            Self::AwaitStream => "waits for the primary's stream",
            Self::AwaitCopy => "waits until a node has a full copy",
            Self::AwaitReplicaCount => "waits until the primary counts the gateway as a replica",
            Self::AwaitLease => "waits until the lease of the old primary has surely run out",
            Self::AwaitLastBytes => "waits for what the old primary had sent",
            Self::AwaitCandidate => "waits for a replica node that can take over",
            Self::AwaitApply => "waits until the new primary has applied all that the log has",
            Self::AwaitNewPrimary => "waits for the node that was decided on",
            Self::AwaitCatchUp => "waits until the target is close to its primary",
            Self::AwaitStepDown => "waits until the old primary has stepped down",
            Self::AwaitFormerPrimary => "waits until the former primary follows",
            Self::AwaitNode => "waits for a node that does not answer",
        }
    }
}
