//! Where clients of a group should go: what control tells discovery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sterna_protocol::{NodeAddress, Offset};

use crate::names::{Epoch, GroupName, ServiceName, SiteName};

/// An offset that moves without being news: whoever holds a route reads where the node is now, and is not woken for it.
/// Any two are equal.
#[derive(Debug, Clone, Default)]
pub struct LiveOffset(Arc<AtomicU64>);

impl LiveOffset {
    /// What it is now.
    pub fn get(&self) -> Offset {
        Offset::new(self.0.load(Ordering::Relaxed))
    }

    /// What it is from now on, in every copy of it.
    pub fn set(&self, offset: Offset) {
        self.0.store(offset.get(), Ordering::Relaxed);
    }
}

impl PartialEq for LiveOffset {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LiveOffset {}

/// A replica node that clients may read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReplica {
    /// Its service: a replica service, or the primary's own, of which it is a local replica.
    pub service: ServiceName,
    /// The site of its service.
    pub site: Option<SiteName>,
    /// Where clients find it.
    pub address: NodeAddress,
    /// Whether it answers and follows.
    pub up: bool,
    /// What it has applied, as it was last seen.
    pub offset: LiveOffset,
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
    /// The primary has been down for `down_after_ms`, and a failover may be near. Some client libraries refuse a primary
    /// that is called down.
    pub primary_down: bool,
    /// A failover would happen by itself if the primary ended now.
    pub failover_possible: bool,
    /// Where clients may read: the primary's own replicas first, then the replica nodes of the other services, in order of
    /// preference.
    pub replicas: Vec<RouteReplica>,
    /// How long the primary must have been away before a failover begins, in milliseconds.
    pub down_after_ms: u64,
}

/// The routes of all groups.
pub type Routes = BTreeMap<GroupName, Route>;
