//! Operations: long work with steps, each of which is kept before and after it is done.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::activity::Activity;
use crate::names::{Epoch, GroupName, OperationId, Revision, ServiceName};
use crate::reason::OperationReason;
use crate::report::Report;
use crate::result::OperationResult;
use crate::step::Step;
use crate::told::{Told, told, told_if_any};

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
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<OperationReason>)]
    pub reason: OperationReason,
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
        reason: OperationReason,
        at: Timestamp,
    ) -> Self {
        Self {
            id: OperationId(0),
            group: group.clone(),
            kind,
            state: OperationState::Running,
            service: None,
            force: false,
            requested_by: reason.requester(),
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
