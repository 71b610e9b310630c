//! Steps of an operation: what each does, why, and what came of it.

use std::fmt;

use crate::step::{
    AttachReason, ClientsLetGo, ReleasedAs, ReleasedNode, StepDetail, StepName, StepOutcome, StepPurpose,
};

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

impl fmt::Display for StepDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason { reason } => reason.fmt(f),
            Self::Purpose(purpose) => purpose.fmt(f),
            Self::Wait(wait) => wait.fmt(f),
            Self::Outcome(outcome) => outcome.fmt(f),
            Self::Failed { error } => f.write_str(error),
        }
    }
}

impl fmt::Display for StepPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follow(node) => write!(
                f,
                "follow {node}, so that the other nodes continue without a recopy"
            ),
            Self::StopFollowing => f.write_str("stop following the old primary, so that its lease runs out"),
            Self::BlockWrites(node) => write!(
                f,
                "{node} answers as a primary: block its writes before anything else"
            ),
            Self::Decide { divergence_offset } => write!(
                f,
                "the old primary can take no writes, and the chosen node has everything up to offset \
                 {divergence_offset}: keep the decision"
            ),
            Self::Promote(node) => write!(f, "make {node} the primary"),
            Self::PlaceFence => f.write_str("put the fence in place at the primary"),
            Self::PrepareHandover => f.write_str("make the log ready to take over from the old primary"),
            Self::PauseWrites => f.write_str("let the old primary keep writes waiting and hand over"),
            Self::AcceptFormerPrimary => f.write_str("let the old primary follow the new one"),
            Self::Abort(obstacle) => write!(f, "take everything back: {obstacle}"),
            Self::SaveWrites {
                service,
                address,
                bytes,
            } => write!(
                f,
                "{service} ({address}): it has {bytes} bytes of stream that the new primary never had: save them before \
                 they are overwritten"
            ),
            Self::SaveHeldWrites { bytes } => write!(
                f,
                "{bytes} bytes of the old primary's stream arrived here that the new primary never had: save them before \
                 the log is cut back"
            ),
            Self::SaveSnapshot(node) => write!(
                f,
                "{node}: it restarted, and nobody can tell which of its writes were copied: save all of its data before \
                 they are overwritten"
            ),
            Self::FollowOwnPrimary(node) => write!(f, "let {node} follow the primary of its own service"),
            Self::Attach {
                service,
                address,
                why,
            } => {
                let node = format_args!("{service} ({address})");
                match why {
                    AttachReason::Joins => write!(f, "let {node} follow"),
                    AttachReason::HoldsPrefix => {
                        write!(f, "{node}: it has no writes of its own: let it follow")
                    }
                    AttachReason::WritesSaved => {
                        write!(f, "{node}: its writes are saved: let it follow, with a full copy")
                    }
                    AttachReason::CameBackEmpty => {
                        write!(f, "{node}: it came back empty: let it follow, with a full copy")
                    }
                    AttachReason::Drifted => write!(f, "{node} does not follow as it should: let it follow"),
                    AttachReason::Writable => {
                        write!(f, "{node} takes writes as a replica: let it refuse them again")
                    }
                }
            }
            Self::Close { service } => write!(f, "{service} follows: it is a replica service again"),
            Self::Check => f.write_str("are the services fit for it?"),
            Self::Remove { service } => write!(f, "keep that {service} is no longer in the group"),
            Self::Detach { service } => write!(f, "make {service} a primary of its own"),
            Self::Release { service } => write!(
                f,
                "let {service} go as it is, read-only with the data that it has"
            ),
            Self::ReleaseAll => f.write_str("let every node go as it is, and lift the fence"),
            Self::Delete => f.write_str("forget the group"),
        }
    }
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFollowed => f.write_str("the old primary is no longer followed"),
            Self::Followed(node) => write!(f, "{node} is followed"),
            Self::StreamAwaited(node) => {
                write!(f, "{node} is asked for its stream, and has not sent it yet")
            }
            Self::WritesBlocked { node, clients } => write!(f, "{node} takes no more writes{clients}"),
            Self::Decided {
                service,
                address,
                epoch,
                divergence_offset,
            } => write!(
                f,
                "{service} ({address}) is the primary from epoch {epoch} on, with everything up to offset \
                 {divergence_offset}"
            ),
            Self::Promoted(node) => write!(f, "{node} is a primary"),
            Self::FenceInPlace(node) => write!(f, "{node} takes writes only while the gateway hears it"),
            Self::LogReady => f.write_str("the log stands ready"),
            Self::WritesPaused { clients } => write!(f, "writes wait at the old primary{clients}"),
            Self::FormerPrimaryAccepted { clients } => write!(f, "the old primary may follow{clients}"),
            Self::TakenBack => f.write_str("the old primary takes writes again"),
            Self::Saved {
                address,
                rescue,
                bytes,
                ..
            } => write!(f, "{address}: saved as rescue {rescue} ({bytes} bytes)"),
            Self::Attached {
                service,
                address,
                relay,
                clients,
            } => write!(f, "{service} ({address}) follows {relay}{clients}"),
            Self::Closed => f.write_str("it is a replica service again"),
            Self::Fit => f.write_str("nothing stands against it"),
            Self::Removed => f.write_str("it is no longer in the group"),
            Self::Released { nodes, fence_error } => released(f, nodes, fence_error.as_deref()),
            Self::Deleted => f.write_str("the group is deleted"),
        }
    }
}

fn released(f: &mut fmt::Formatter<'_>, nodes: &[ReleasedNode], fence_error: Option<&str>) -> fmt::Result {
    if nodes.is_empty() && fence_error.is_none() {
        return f.write_str("there was no node to let go");
    }
    for (place, node) in nodes.iter().enumerate() {
        let between = if place == 0 { "" } else { "; " };
        write!(f, "{between}{node}")?;
    }
    let Some(error) = fence_error else { return Ok(()) };
    let between = if nodes.is_empty() { "" } else { "; " };
    write!(
        f,
        "{between}the fence at the primary could not be lifted: {error}"
    )
}

/// Comes after what was done with the node, and is empty where there is nothing to say.
impl fmt::Display for ClientsLetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => {}
            1 => f.write_str("; 1 of its clients was disconnected")?,
            more => write!(f, "; {more} of its clients were disconnected")?,
        }
        let Some(error) = &self.error else { return Ok(()) };
        write!(
            f,
            "; clients could not be disconnected, and some may stay with it: {error}"
        )
    }
}

impl fmt::Display for ReleasedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.node;
        match &self.released {
            ReleasedAs::Unchanged { error } => {
                write!(f, "{node} could not be told and keeps its settings: {error}")
            }
            ReleasedAs::Replica => write!(f, "{node} stays a replica without a primary"),
            ReleasedAs::Shut => write!(
                f,
                "{node} was a primary and stays closed to writes: nothing that it alone has is overwritten, and \
                 CONFIG SET min-replicas-to-write 0 opens it"
            ),
            ReleasedAs::ReplicaOf { primary } => write!(f, "{node} follows {primary}"),
            ReleasedAs::Primary => write!(f, "{node} is a primary"),
        }
    }
}
