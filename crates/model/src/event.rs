//! What is told to those who listen, as it happens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::StatusChange;
use crate::names::{GroupName, OperationId};
use crate::operation::Operation;
use crate::status::GroupStatus;

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventKind {
    /// A group's status in full: for a new subscriber, and when a group begins.
    Status {
        /// The status.
        status: Box<GroupStatus>,
    },
    /// A group's status changed, or its figures moved.
    Change {
        /// What is different.
        change: Box<StatusChange>,
    },
    /// An operation began, took a step or ended.
    Operation {
        /// As it is now.
        operation: Box<Operation>,
    },
    /// A group, service or token was added, changed or removed.
    Catalogue {
        /// `group`, `service`, `token`.
        what: String,
        /// Its name.
        name: String,
    },
    /// Something worth a line in a log.
    Notice {
        /// In one sentence.
        text: String,
        /// The operation that it belongs to.
        operation: Option<OperationId>,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rising with time in the life of a gateway process. The statuses that a subscription begins with have that of the last
    /// event before it.
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The group, for events that belong to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// What changed.
    #[serde(flatten)]
    pub kind: EventKind,
}
