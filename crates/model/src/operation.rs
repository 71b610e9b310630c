//! Operations: long work with steps, each of which is kept before and after it is done.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::activity::Activity;
use crate::message::{Told, told_if_any};
use crate::names::{Epoch, GroupName, OperationId, Revision, ServiceName};
use crate::report::Report;
use crate::result::OperationResult;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// The services become a group: checks, first copy, fence.
    Create,
    /// Unplanned change of primary.
    Failover,
    /// Planned change of primary.
    Switchover,
    /// An old primary comes back as a replica.
    Rejoin,
    /// A service joins as a replica.
    AddReplica,
    /// A replica service leaves and stays as it is.
    RemoveReplica,
    /// A replica service leaves as a primary of its own.
    Detach,
    /// The group is deleted; its services stay as they are.
    Delete,
}

impl OperationKind {
    /// The word for it in the API, in metrics and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Rejoin => "rejoin",
            Self::AddReplica => "add-replica",
            Self::RemoveReplica => "remove-replica",
            Self::Detach => "detach",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// It could not be done; the result says what is now.
    Failed,
    /// Somebody ended it before the point of no return; everything is as it was.
    Cancelled,
}

impl OperationState {
    /// The word for it in the API and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

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

/// Who asked for something. In JSON it is one string, since no token may be named as the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Requester {
    /// The gateway itself: `sterna`.
    Gateway,
    /// Somebody with this token.
    Token(String),
}

impl Requester {
    /// The name of the gateway where the name of a token could stand.
    pub const GATEWAY: &'static str = "sterna";

    /// The name of the token, or of the gateway.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Gateway => Self::GATEWAY,
            Self::Token(name) => name,
        }
    }

    /// Whether the gateway did it by itself.
    pub fn is_gateway(&self) -> bool {
        *self == Self::Gateway
    }
}

impl From<String> for Requester {
    fn from(name: String) -> Self {
        if name == Self::GATEWAY {
            Self::Gateway
        } else {
            Self::Token(name)
        }
    }
}

impl From<Requester> for String {
    fn from(requester: Requester) -> Self {
        match requester {
            Requester::Gateway => Requester::GATEWAY.to_owned(),
            Requester::Token(name) => name,
        }
    }
}

impl fmt::Display for Requester {
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
    /// Why it is done, and then what came of it.
    pub reason: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// The group that it changes.
    pub group: GroupName,
    /// What is done.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// The service that it is about: the new primary, the service that joins or leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Whether limits that protect data were lifted by a person.
    #[serde(default)]
    pub force: bool,
    /// Who asked for it: the name of a token, or `sterna` for the gateway itself.
    #[schema(value_type = String)]
    pub requested_by: Requester,
    /// Why it was begun.
    pub reason: String,
    /// The group's term when it began.
    pub epoch: Epoch,
    /// Its steps so far.
    pub steps: Vec<Step>,
    /// What it is doing or waiting for now; nothing before its first step and once it is over.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "told_if_any"
    )]
    #[schema(value_type = Option<Told<Activity>>)]
    pub now: Option<Activity>,
    /// How much is done, 0 to 1, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// It is decided and kept: it can only be completed, and can't be cancelled.
    #[serde(default)]
    pub committed: bool,
    /// What came of it, once it is over.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "told_if_any"
    )]
    #[schema(value_type = Option<Told<OperationResult>>)]
    pub result: Option<OperationResult>,
    /// The measured facts of a change of primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// The commit that last changed it; the entity tag of `If-Match`.
    #[serde(default)]
    pub revision: Revision,
}

impl Operation {
    /// One that begins at `at` and is kept nowhere yet.
    pub fn begun(
        group: &GroupName,
        epoch: Epoch,
        kind: OperationKind,
        by: Requester,
        reason: String,
        at: Timestamp,
    ) -> Self {
        Self {
            id: OperationId(0),
            group: group.clone(),
            kind,
            state: OperationState::Running,
            service: None,
            force: false,
            requested_by: by,
            reason,
            epoch,
            steps: Vec::new(),
            now: None,
            progress: None,
            committed: false,
            result: None,
            report: None,
            created_at: at,
            finished_at: None,
            revision: Revision(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_json() {
        for name in StepName::ALL {
            assert_eq!(serde_json::to_value(name).ok(), Some(name.as_str().into()));
        }
        for kind in [OperationKind::AddReplica, OperationKind::Switchover] {
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
        }
    }

    #[test]
    fn the_gateway_is_told_from_a_token() {
        for (name, requester) in [
            ("sterna", Requester::Gateway),
            ("ops", Requester::Token("ops".to_owned())),
        ] {
            assert_eq!(Requester::from(name.to_owned()), requester);
            assert_eq!(serde_json::to_value(&requester).ok(), Some(name.into()));
            assert_eq!(serde_json::from_value(name.into()).ok(), Some(requester));
        }
    }
}
