//! What a node says of itself, as far as control needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use sterna_node::info::AttachedReplica;
use sterna_node::{Engine, Info, NodeAddress, Role};
use sterna_protocol::{Offset, ReplicationId};

/// `replica-priority` where it was not set.
const PRIORITY_DEFAULT: u32 = 100;

/// The fence's settings at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) min_replicas: u32,
    pub(crate) max_lag_seconds: u32,
}

impl Lease {
    pub(super) fn of(settings: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            min_replicas: settings.get("min-replicas-to-write")?.parse().ok()?,
            max_lag_seconds: settings.get("min-replicas-max-lag")?.parse().ok()?,
        })
    }
}

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct NodeInfo {
    pub(crate) engine: Engine,
    pub(crate) run_id: String,
    pub(crate) uptime: Duration,
    pub(crate) loading: bool,
    pub(crate) role: Role,
    pub(crate) history: ReplicationId,
    pub(crate) offset: Offset,
    /// The history that it was promoted from, and the last offset shared with it.
    pub(crate) previous: Option<(ReplicationId, Offset)>,
    /// Whom it follows.
    pub(crate) primary: Option<NodeAddress>,
    pub(crate) link_up: bool,
    pub(crate) syncing: bool,
    /// As a replica it refuses writes: `replica-read-only`.
    pub(crate) read_only: bool,
    pub(crate) replicas: Vec<AttachedReplica>,
    pub(crate) failover_state: Option<String>,
    pub(crate) has_config_file: bool,
    pub(crate) keys: u64,
    /// How many replicas count for `min-replicas-to-write`, where that is set.
    pub(crate) good_replicas: Option<u32>,
    /// `replica-priority`: 0 is how operators say that it is never to be promoted. 100 where it does not say.
    pub(crate) priority: u32,
    /// What its wall clock shows, in microseconds, where it says so.
    pub(crate) clock_micros: Option<u64>,
    /// `None` where its settings can't be read.
    pub(crate) lease: Option<Lease>,
    /// The numbers of the connections that follow it; `None` where they can't be read.
    pub(crate) followers: Option<Vec<u64>>,
}

/// What is read more seldom than the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seldom {
    pub(crate) lease: Option<Lease>,
    pub(crate) followers: Option<Vec<u64>>,
}

impl NodeInfo {
    pub(super) fn of(info: &Info, engine: Engine, seldom: Seldom) -> Result<Self, String> {
        let replication = info.replication().map_err(|error| error.to_string())?;
        let server = info.server();
        Ok(Self {
            engine,
            run_id: server.run_id.unwrap_or_default(),
            uptime: Duration::from_secs(server.uptime_s.unwrap_or(0)),
            loading: info.persistence().loading,
            role: replication.role,
            history: replication.replid,
            offset: replication.applied_offset.unwrap_or(replication.offset),
            previous: replication.replid2.zip(replication.second_offset),
            primary: replication.primary,
            link_up: replication.link_up,
            syncing: replication.sync_in_progress,
            read_only: replication.read_only.unwrap_or(true),
            replicas: replication.replicas,
            failover_state: replication.failover_state,
            has_config_file: server.config_file.is_some(),
            keys: info.keyspace().values().sum(),
            good_replicas: replication.good_replicas,
            priority: replication.priority.unwrap_or(PRIORITY_DEFAULT),
            clock_micros: server.clock_micros,
            lease: seldom.lease,
            followers: seldom.followers,
        })
    }

    /// What of it was read more seldom than the rest.
    pub(crate) fn seldom(&self) -> Seldom {
        Seldom {
            lease: self.lease,
            followers: self.followers.clone(),
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }
}
