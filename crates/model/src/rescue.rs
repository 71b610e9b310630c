//! Rescue files: writes that a failover left behind, saved before anything overwrites them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::names::{Epoch, GroupName, RescueId, ServiceName, ShardId};

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RescueKind {
    /// Exactly the extra writes, as commands that `redis-cli --pipe` can load.
    Commands,
    /// The old primary's whole data as an RDB file, because nobody could tell which writes were extra.
    Snapshot,
}

/// What is in a rescue file of commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RescueSummary {
    /// Write commands.
    pub commands: u64,
    /// How often each command occurs.
    pub by_command: std::collections::BTreeMap<String, u64>,
    /// The number of different keys touched.
    pub keys: u64,
    /// The first of them, as text.
    pub first_keys: Vec<String>,
    /// Transactions.
    pub transactions: u64,
    /// Databases touched.
    pub databases: Vec<u32>,
}

/// A rescue file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rescue {
    /// Its number.
    pub id: RescueId,
    /// The group.
    pub group: GroupName,
    /// The shard.
    pub shard: ShardId,
    /// The old primary service.
    pub service: ServiceName,
    /// The node that the writes were fetched from.
    #[schema(value_type = String)]
    pub node: NodeAddress,
    /// The term in which they were written.
    pub epoch: Epoch,
    /// What was saved.
    pub kind: RescueKind,
    /// The old primary's history.
    #[schema(value_type = String)]
    pub history: ReplicationId,
    /// The writes come after this offset...
    #[schema(value_type = u64)]
    pub from: Offset,
    /// ...and end with this one.
    #[schema(value_type = u64)]
    pub to: Offset,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The file's name in the gateway's rescue directory.
    pub file: String,
    /// What is in it, for commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<RescueSummary>,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    pub saved_at: Timestamp,
}
