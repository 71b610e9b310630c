//! Where clients of a group should go: what control tells discovery.

use std::collections::BTreeMap;

use sterna_protocol::{NodeAddress, Offset};

use crate::names::{Epoch, GroupName, ServiceName};

/// A replica node that clients may read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReplica {
    /// Its service.
    pub service: ServiceName,
    /// Where clients find it.
    pub address: NodeAddress,
    /// Whether it answers and follows.
    pub up: bool,
    /// What it has applied, rounded down so that writes alone are no news.
    pub offset: Offset,
}

/// Where a group's nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The group; its name is the master name of the Sentinel protocol.
    pub group: GroupName,
    /// The term.
    pub epoch: Epoch,
    /// Where clients write: the node that was decided last, also while it is down.
    pub primary: NodeAddress,
    /// The primary is down, and a failover may be near. Some client libraries refuse a primary that is called down.
    pub primary_down: bool,
    /// Another could take over now.
    pub failover_possible: bool,
    /// Where clients may read: the replica nodes of every service of the group.
    pub replicas: Vec<RouteReplica>,
    /// How long the primary must have been away before a failover begins, in milliseconds.
    pub down_after_ms: u64,
}

/// The routes of all groups.
pub type Routes = BTreeMap<GroupName, Route>;
