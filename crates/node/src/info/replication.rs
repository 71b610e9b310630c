//! The replication section of `INFO`.

use sterna_protocol::{Offset, ReplicationId};

use super::{Info, InfoError};
use crate::address::NodeAddress;

/// Which side of replication a node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// Where a node stands in replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationInfo {
    pub role: Role,
    /// The history that it is in.
    pub replid: ReplicationId,
    /// The history that it was in before, where there is one.
    pub replid2: Option<ReplicationId>,
    /// How far it is in its history.
    pub offset: Offset,
    /// The last offset of `replid2`'s history that is also this node's. The wire has this plus one.
    pub second_offset: Option<Offset>,
    /// Attached replicas.
    pub connected_replicas: u32,
    /// The attached replicas, one by one.
    pub replicas: Vec<AttachedReplica>,
    /// How many of them count for `min-replicas-to-write`, where that is set.
    pub good_replicas: Option<u32>,
    /// Whom it follows, where it is a replica.
    pub primary: Option<NodeAddress>,
    /// Whether its link to the primary is up; always `false` at a primary.
    pub link_up: bool,
    /// Whether it is receiving a full copy.
    pub sync_in_progress: bool,
    /// What a replica has read from its primary, applied or not (Redis 7.0 and later).
    pub read_offset: Option<Offset>,
    /// What a replica has applied.
    pub applied_offset: Option<Offset>,
    /// Whether it refuses writes of its own, where it is a replica.
    pub read_only: Option<bool>,
    /// `replica-priority`, where it is a replica.
    pub priority: Option<u32>,
    /// A failover that `FAILOVER` started: `no-failover`, `waiting-for-sync` or `failover-in-progress`.
    pub failover_state: Option<String>,
    /// Whether it has a backlog to continue replicas from.
    pub backlog_active: bool,
    /// The backlog's size in bytes.
    pub backlog_size_bytes: Option<u64>,
    /// The wire offset of the backlog's first byte.
    pub backlog_first: Option<u64>,
    pub backlog_histlen_bytes: Option<u64>,
}

/// One replica, as its primary lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedReplica {
    /// Where the primary believes it to listen.
    pub address: NodeAddress,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: String,
    /// What it has acknowledged.
    pub offset: Offset,
    /// Seconds since its last acknowledgement.
    pub lag_s: Option<u64>,
}

pub(super) fn role(info: &Info) -> Result<Role, InfoError> {
    match info.get("role") {
        Some("master") => Ok(Role::Primary),
        Some("slave") => Ok(Role::Replica),
        found => Err(InfoError {
            field: "role",
            found: found.map(str::to_owned),
        }),
    }
}

pub(super) fn parse(info: &Info) -> Result<ReplicationInfo, InfoError> {
    let bad = |field| InfoError {
        field,
        found: info.get(field).map(str::to_owned),
    };
    let id = |field| info.parsed::<ReplicationId>(field);
    let offset = |field| info.parsed::<u64>(field).map(Offset::new);
    let primary = match (info.get("master_host"), info.parsed("master_port")) {
        (Some(host), Some(port)) if !host.is_empty() => Some(NodeAddress::new(host, port)),
        _ => None,
    };
    Ok(ReplicationInfo {
        role: role(info)?,
        replid: id("master_replid").ok_or_else(|| bad("master_replid"))?,
        replid2: id("master_replid2").filter(|id| !id.is_zero()),
        offset: offset("master_repl_offset").ok_or_else(|| bad("master_repl_offset"))?,
        second_offset: info
            .parsed::<u64>("second_repl_offset")
            .and_then(Offset::from_wire_next),
        connected_replicas: info.parsed("connected_slaves").unwrap_or(0),
        replicas: (0..)
            .map_while(|index| info.get(&format!("slave{index}")))
            .filter_map(attached_replica)
            .collect(),
        good_replicas: info.parsed("min_slaves_good_slaves"),
        primary,
        link_up: info.get("master_link_status") == Some("up"),
        sync_in_progress: info.get("master_sync_in_progress") == Some("1"),
        read_offset: offset("slave_read_repl_offset"),
        applied_offset: offset("slave_repl_offset"),
        read_only: info.get("slave_read_only").map(|flag| flag == "1"),
        priority: info.parsed("slave_priority"),
        failover_state: info.get("master_failover_state").map(str::to_owned),
        backlog_active: info.get("repl_backlog_active") == Some("1"),
        backlog_size_bytes: info.parsed("repl_backlog_size"),
        backlog_first: info.parsed("repl_backlog_first_byte_offset"),
        backlog_histlen_bytes: info.parsed("repl_backlog_histlen"),
    })
}

/// `ip=10.0.0.7,port=6379,state=online,offset=42,lag=0`
fn attached_replica(line: &str) -> Option<AttachedReplica> {
    let field = |name: &str| {
        line.split(',')
            .find_map(|part| part.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, v)| v)
    };
    Some(AttachedReplica {
        address: NodeAddress::new(field("ip")?, field("port")?.parse().ok()?),
        state: field("state")?.to_owned(),
        offset: Offset::new(field("offset")?.parse().ok()?),
        lag_s: field("lag").and_then(|lag| lag.parse().ok()),
    })
}
