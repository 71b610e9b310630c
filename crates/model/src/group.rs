//! A replication group: one primary service, and the services that copy it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset, ReplicationId};
use utoipa::ToSchema;

use crate::names::{Epoch, GroupName, OperationId, Revision, ServiceName, ShardId};
use crate::settings::GroupSettings;

/// What a person asks for with a new group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupSpec {
    /// Its name.
    pub name: GroupName,
    /// The service that takes the writes.
    pub primary: ServiceName,
    /// 1 to 5 services that copy it, the preferred successor first.
    pub replicas: Vec<ServiceName>,
    /// Settings; what is left out has its default.
    #[serde(default)]
    pub settings: GroupSettings,
    /// Overwrite what the replica services hold now.
    #[serde(default)]
    pub overwrite: bool,
}

/// A former primary: a service that a change of primary left behind and that has not come back as a replica yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormerPrimary {
    /// Which service.
    pub service: ServiceName,
    /// The node that took the writes.
    #[schema(value_type = String)]
    pub node: NodeAddress,
    /// The history that it was in.
    #[schema(value_type = String)]
    pub history: ReplicationId,
    /// Where the histories part: the last offset that the new primary has of it; what the old one has beyond are extra writes.
    #[schema(value_type = u64)]
    pub divergence_offset: Offset,
    /// The database that was selected in the stream at the divergence offset.
    pub selected_db: Option<u32>,
    /// The epoch that ended.
    pub epoch: Epoch,
    /// The operation that left it behind, whose report learns what was found.
    pub operation: OperationId,
}

/// What a group keeps of one of its shards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShardRecord {
    /// The node of the primary service that takes the shard's writes, as last decided.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub primary_node: Option<NodeAddress>,
    /// Whether the fence was seen in place at that node in this epoch: only then can a lease run out.
    #[serde(default)]
    pub fence_in_place: bool,
    /// Services that were primary before the last change and have not come back as replicas yet.
    #[serde(default)]
    pub former_primaries: Vec<FormerPrimary>,
}

impl ShardRecord {
    /// The shards of a new group of standalone services, which have exactly one.
    pub fn standalone() -> BTreeMap<ShardId, Self> {
        BTreeMap::from([(ShardId::STANDALONE, Self::default())])
    }
}

/// What is kept of a shard of which nothing was kept yet.
static NOTHING_KEPT: ShardRecord = ShardRecord {
    primary_node: None,
    fence_in_place: false,
    former_primaries: Vec::new(),
};

/// A replication group as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// The service that takes the writes.
    pub primary: ServiceName,
    /// The services that copy it, the preferred successor first.
    pub replicas: Vec<ServiceName>,
    /// Settings.
    pub settings: GroupSettings,
    /// What is kept of each shard; all services have the same shards.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ShardRecord>)]
    pub shards: BTreeMap<ShardId, ShardRecord>,
    /// The term.
    pub epoch: Epoch,
    /// Nothing is changed by itself while this is set: no failover, no repair. Replication goes on.
    #[serde(default)]
    pub paused: bool,
    /// When a failover last happened.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failed_over_at: Option<Timestamp>,
    /// When the primary last changed.
    #[schema(value_type = String, format = DateTime)]
    pub primary_since: Timestamp,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The commit that last changed it; the entity tag of `If-Match`.
    #[serde(default)]
    pub revision: Revision,
}

impl Group {
    /// All services, the primary first.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> + Clone {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// What is kept of a shard, which is nothing of one that is not there.
    pub fn shard(&self, id: ShardId) -> &ShardRecord {
        self.shards.get(&id).unwrap_or(&NOTHING_KEPT)
    }

    /// What is kept of a shard, to be changed.
    pub fn shard_mut(&mut self, id: ShardId) -> &mut ShardRecord {
        self.shards.entry(id).or_default()
    }

    /// The former primaries of all shards.
    pub fn former_primaries(&self) -> impl Iterator<Item = &FormerPrimary> {
        self.shards.values().flat_map(|shard| &shard.former_primaries)
    }
}
