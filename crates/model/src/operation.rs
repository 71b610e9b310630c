//! Operations: long work with steps, each of which is kept before and after it is done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{Epoch, GroupName, OperationId, Revision, ServiceName};
use crate::report::Report;

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
    /// The group is dissolved; its services stay as they are.
    Delete,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Kept, not begun.
    Pending,
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
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
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
    /// One word or two, the same for the same step everywhere.
    pub name: String,
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
    /// Who asked for it: the name of a token, or `sterna` itself.
    pub requested_by: String,
    /// Why it was begun.
    pub reason: String,
    /// The group's term when it began.
    pub epoch: Epoch,
    /// Its steps so far.
    pub steps: Vec<Step>,
    /// What it is doing or waiting for now.
    pub now: String,
    /// How much is done, 0 to 1, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// It is decided and kept: it can only be completed, and can't be cancelled.
    #[serde(default)]
    pub committed: bool,
    /// What came of it, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
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
    /// How often it was changed.
    #[serde(default)]
    pub revision: Revision,
}

impl Operation {
    /// One that begins now and is kept nowhere yet.
    pub fn begun(group: &GroupName, epoch: Epoch, kind: OperationKind, by: &str, reason: String) -> Self {
        Self {
            id: OperationId(0),
            group: group.clone(),
            kind,
            state: OperationState::Running,
            service: None,
            force: false,
            requested_by: by.to_owned(),
            reason,
            epoch,
            steps: Vec::new(),
            now: String::new(),
            progress: None,
            committed: false,
            result: None,
            report: None,
            created_at: Timestamp::now(),
            finished_at: None,
            revision: Revision(0),
        }
    }
}
