//! Where clients find the group's nodes.

use sterna_protocol::Offset;
use tokio::time::Instant;

use super::owner::Owner;
use crate::plan::NodeId;
use crate::plan::health::{Sign, Verdict};
use crate::route::{Route, RouteReplica};

impl Owner {
    /// Tells where they are, when that changed.
    pub(super) fn publish_route(&self, now: Instant) {
        let Some(primary) = self.group.primary_node.clone() else {
            return;
        };
        let Some(access) = self.access.get(&self.group.primary) else {
            return;
        };
        // A new primary is told of when it takes writes: with a fence that is once it is followed.
        let takes_writes = |node: NodeId| {
            let status = self.shard_status.borrow();
            self.nodes[node.0].sign() == Sign::Primary && self.following && self.streams_from(node, &status)
        };
        let promoted = !self.is_decided() || self.primary().is_some_and(takes_writes);
        if !promoted {
            return;
        }
        let mut replicas = Vec::new();
        for name in &self.group.replicas {
            let Some(access) = self.access.get(name) else {
                continue;
            };
            for (_, node) in self.nodes_of(name) {
                let facts = node.fresh(now);
                replicas.push(RouteReplica {
                    service: name.clone(),
                    address: access.client_address(&node.key.address),
                    up: facts.is_some_and(|facts| facts.link_up),
                    // Rounded, so that writes alone are no news.
                    offset: facts.map_or(Offset::ZERO, |facts| Offset::new(facts.offset.get() & !0xF_FFFF)),
                });
            }
        }
        let route = Route {
            group: self.group.name.clone(),
            epoch: self.group.epoch,
            primary: access.client_address(&primary),
            primary_down: matches!(
                self.verdict,
                Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_)
            ),
            failover_possible: replicas.iter().any(|replica| replica.up),
            replicas,
            down_after_ms: self.group.settings.down_after_ms,
        };
        self.route.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&route);
            if changed {
                *known = Some(route);
            }
            changed
        });
    }
}
