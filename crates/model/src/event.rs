//! What is told to those who listen, as it happens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::change::StatusChange;
use crate::names::{GroupName, ServiceName};
use crate::operation::Operation;
use crate::status::GroupStatus;

/// What is listed at the gateway by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogueItem {
    /// A group.
    Group,
    /// A service.
    Service,
    /// A token.
    Token,
}

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
        /// What it is.
        what: CatalogueItem,
        /// Its name.
        name: String,
    },
    /// A replica node that was not as it should be is let follow again.
    Repair {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
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
