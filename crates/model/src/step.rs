//! The steps of an operation: each is kept with why it is done, and then with what came of it.

mod detail;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::told::{Told, told};
pub use detail::{
    AttachReason, ClientsLetGo, ReleasedAs, ReleasedNode, StepDetail, StepOutcome, StepPurpose,
};

/// What a step does, or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// It was noticed that the primary is lost, or somebody said so.
    Detect,
    /// The services are looked at: is anything against it?
    Check,
    /// The log follows the primary.
    Follow,
    /// A node is made a replica of the relay.
    Attach,
    /// The fence is put in place at the primary.
    PlaceFence,
    /// The old primary is no longer followed, so that its lease runs out.
    StopFollowing,
    /// A node is set so that it takes no writes.
    BlockWrites,
    /// The decision is kept: who is the primary from now on, and from which offset on.
    Decide,
    /// A node becomes the primary.
    Promote,
    /// The log stands ready to take over from the old primary, in a switchover.
    Prepare,
    /// The old primary keeps writes waiting, in a switchover.
    PauseWrites,
    /// The relay lets the former primary follow, in a switchover.
    AcceptFormerPrimary,
    /// A switchover is taken back.
    Abort,
    /// Writes that only a former primary has are saved in a rescue file.
    Rescue,
    /// It is kept that a former primary is a replica service again.
    Close,
    /// It is kept that a service is no longer in the group.
    Remove,
    /// A service's nodes get back the settings that they had before they joined.
    Release,
    /// The group is deleted.
    Delete,
    /// Waits for the primary's stream.
    AwaitStream,
    /// Waits until a node has a full copy.
    AwaitCopy,
    /// Waits until the primary counts the gateway as a replica.
    AwaitReplicaCount,
    /// Waits until the lease of the old primary has surely run out, or for a person who forces the failover.
    AwaitLease,
    /// Waits for what the old primary had sent and has not arrived yet.
    AwaitLastBytes,
    /// Waits for a replica node that can take over.
    AwaitCandidate,
    /// Waits until the node that takes over has applied all that the log has.
    AwaitApply,
    /// Waits for the node that was decided on.
    AwaitNewPrimary,
    /// Waits until the target of a switchover is close to its primary.
    AwaitCatchUp,
    /// Waits until the old primary has stepped down, in a switchover.
    AwaitStepDown,
    /// Waits until the former primary follows, in a switchover.
    AwaitFormerPrimary,
    /// Waits for a node that does not answer.
    AwaitNode,
}

impl StepName {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::Detect,
        Self::Check,
        Self::Follow,
        Self::Attach,
        Self::PlaceFence,
        Self::StopFollowing,
        Self::BlockWrites,
        Self::Decide,
        Self::Promote,
        Self::Prepare,
        Self::PauseWrites,
        Self::AcceptFormerPrimary,
        Self::Abort,
        Self::Rescue,
        Self::Close,
        Self::Remove,
        Self::Release,
        Self::Delete,
        Self::AwaitStream,
        Self::AwaitCopy,
        Self::AwaitReplicaCount,
        Self::AwaitLease,
        Self::AwaitLastBytes,
        Self::AwaitCandidate,
        Self::AwaitApply,
        Self::AwaitNewPrimary,
        Self::AwaitCatchUp,
        Self::AwaitStepDown,
        Self::AwaitFormerPrimary,
        Self::AwaitNode,
    ];

    /// The word for it in the API, in failpoints and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Check => "check",
            Self::Follow => "follow",
            Self::Attach => "attach",
            Self::PlaceFence => "place-fence",
            Self::StopFollowing => "stop-following",
            Self::BlockWrites => "block-writes",
            Self::Decide => "decide",
            Self::Promote => "promote",
            Self::Prepare => "prepare",
            Self::PauseWrites => "pause-writes",
            Self::AcceptFormerPrimary => "accept-former-primary",
            Self::Abort => "abort",
            Self::Rescue => "rescue",
            Self::Close => "close",
            Self::Remove => "remove",
            Self::Release => "release",
            Self::Delete => "delete",
            Self::AwaitStream => "await-stream",
            Self::AwaitCopy => "await-copy",
            Self::AwaitReplicaCount => "await-replica-count",
            Self::AwaitLease => "await-lease",
            Self::AwaitLastBytes => "await-last-bytes",
            Self::AwaitCandidate => "await-candidate",
            Self::AwaitApply => "await-apply",
            Self::AwaitNewPrimary => "await-new-primary",
            Self::AwaitCatchUp => "await-catch-up",
            Self::AwaitStepDown => "await-step-down",
            Self::AwaitFormerPrimary => "await-former-primary",
            Self::AwaitNode => "await-node",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Begun: after a crash it is done again, which does no harm.
    Running,
    /// Done.
    Done,
    /// It could not be done.
    Failed,
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// What it does, or waits for.
    pub name: StepName,
    /// How far it is.
    pub state: StepState,
    /// Why it is done or what it waits for, and then what came of it.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<StepDetail>)]
    pub detail: StepDetail,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_json() {
        for name in StepName::ALL {
            assert_eq!(serde_json::to_value(name).ok(), Some(name.as_str().into()));
        }
    }
}
