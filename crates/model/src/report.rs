//! What a change of primary cost, measured.

use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::names::{Epoch, RescueId, ServiceName, ShardId};
use crate::reason::OperationReason;
use crate::step::StepName;
use crate::told::{Told, told};

/// How sure a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Counted.
    Exact,
    /// From what the old primary last said of itself; it becomes exact when that returns with its data.
    Estimate,
}

/// Writes that were left behind at the old primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rpo {
    /// Bytes of stream that the old primary is known to have and the new primary does not.
    pub bytes: u64,
    /// What it may be at the most: with what the old primary may have written, at its fastest pace of late, between its last
    /// answer and the moment from which it took no writes. Absent where that moment, or its pace, is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// Write commands in them, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<u64>,
    /// For how long the old primary may have gone on alone, in seconds.
    pub seconds: f64,
    /// How sure this is.
    pub certainty: Certainty,
    /// Where the writes were saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescue: Option<RescueId>,
}

/// One part of the time without a writable primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Phase {
    /// The step that it is.
    pub name: StepName,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// The measured facts of a failover or switchover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The shard.
    pub shard: ShardId,
    /// Why the primary was changed.
    #[serde(serialize_with = "told")]
    #[schema(value_type = Told<OperationReason>)]
    pub reason: OperationReason,
    /// The old primary service and node.
    pub from: ServiceName,
    /// Its node.
    #[schema(value_type = Option<String>)]
    pub from_node: Option<NodeAddress>,
    /// The new primary service.
    pub to: ServiceName,
    /// Its node.
    #[schema(value_type = String)]
    pub to_node: NodeAddress,
    /// The term that began.
    pub epoch: Epoch,
    /// The history that ended.
    #[schema(value_type = Option<String>)]
    pub history: Option<ReplicationId>,
    /// Where the histories part: the last offset of it that the new primary has.
    #[schema(value_type = u64)]
    pub divergence_offset: Offset,
    /// Writes left behind.
    pub rpo: Rpo,
    /// From the first sign of trouble, or the pause of a switchover, until the new primary took writes, in milliseconds.
    pub rto_ms: f64,
    /// Its parts, in order.
    pub phases: Vec<Phase>,
    /// Replica nodes that continued with a partial resync.
    pub partial_resyncs: u64,
    /// Replica nodes that needed a full copy.
    pub full_resyncs: u64,
}
