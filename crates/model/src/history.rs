//! The chain of primaries that a group has had.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::names::{Epoch, GroupName, OperationId, ServiceName, ShardId};
use crate::reason::OperationReason;
use crate::told::{Told, told};

/// Why a primary became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryCause {
    /// The group was created with it.
    Created,
    Failover,
    Switchover,
    /// The service's own Sentinel, or a person, promoted another of its nodes.
    WithinService,
}

/// A shard's part in a term.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShardTerm {
    /// The node that takes the shard's writes; none while that is being found out, at the creation of a group.
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeAddress>,
    /// The history that ended when the term began.
    #[schema(value_type = Option<String>)]
    pub ended_history: Option<ReplicationId>,
    /// Where the histories part: the last offset that both have.
    #[schema(value_type = Option<u64>)]
    pub divergence_offset: Option<Offset>,
}

/// One term of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    pub group: GroupName,
    pub epoch: Epoch,
    /// The service that takes the writes.
    pub primary: ServiceName,
    #[schema(value_type = BTreeMap<String, ShardTerm>)]
    pub shards: BTreeMap<ShardId, ShardTerm>,
    /// Why it became the primary.
    pub cause: HistoryCause,
    /// The operation, whose report says more.
    pub operation: Option<OperationId>,
    /// What led to it.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<OperationReason>)]
    pub reason: OperationReason,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl HistoryEntry {
    /// Whether both are of the same term: of one primary, by one cause, at the same nodes where both know them.
    pub fn is_same_term(&self, other: &Self) -> bool {
        let agree = |id, term: &ShardTerm| {
            let there = other.shards.get(id).and_then(|term| term.node.as_ref());
            there.is_none() || term.node.is_none() || there == term.node.as_ref()
        };
        (self.epoch, &self.primary, self.cause) == (other.epoch, &other.primary, other.cause)
            && self.shards.iter().all(|(id, term)| agree(id, term))
    }
}
