//! Changes of a group's primary, and of who is in it.

use serde::{Deserialize, Serialize};
use sterna_protocol::ReplicationId;
use utoipa::ToSchema;

use crate::names::ServiceName;

/// A planned change of primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchoverRequest {
    /// The replica service that becomes the primary.
    pub to: ServiceName,
    /// Even if ACL users are missing there as which clients are logged in at the primary: those would be refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_missing_users: bool,
}

/// An unplanned change of primary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FailoverRequest {
    /// The replica service that becomes the primary; the best one where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<ServiceName>,
    /// Lift the limits that protect data: writes may be lost.
    pub force: bool,
}

/// A service that joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddReplicaRequest {
    /// The service.
    pub service: ServiceName,
    /// Overwrite what it holds now.
    #[serde(default)]
    pub overwrite: bool,
}

/// A replica service that leaves as a primary of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetachRequest {
    /// The service.
    pub service: ServiceName,
}

/// What a primary offers is accepted, though it does not continue what the replica services hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AcceptHistoryRequest {
    /// The replication id that the primary is in, as it was shown: where it is another one by now, nothing is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub offered: Option<ReplicationId>,
}

/// Nothing needs to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Nothing {}
