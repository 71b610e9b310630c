//! The chain of primaries that a group has had.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::names::{Epoch, GroupName, OperationId, ServiceName};

/// Why a primary became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryCause {
    /// The group was created with it.
    Created,
    /// Failover.
    Failover,
    /// Switchover.
    Switchover,
    /// The service's own Sentinel, or a person, promoted another of its nodes.
    WithinService,
}

/// One term of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The group.
    pub group: GroupName,
    /// The term.
    pub epoch: Epoch,
    /// Its primary service.
    pub primary: ServiceName,
    /// The node.
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeAddress>,
    /// Why it became one.
    pub cause: HistoryCause,
    /// The history that ended with it, and where.
    #[schema(value_type = Option<String>)]
    pub ended_history: Option<ReplicationId>,
    /// Where the histories part: the last offset that both have.
    #[schema(value_type = Option<u64>)]
    pub divergence_offset: Option<Offset>,
    /// The operation, whose report says more.
    pub operation: Option<OperationId>,
    /// In one sentence.
    pub reason: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}
