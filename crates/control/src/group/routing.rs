//! Where clients find the group's nodes.

use std::collections::BTreeMap;

use sterna_model::{Route, RouteReplica, ServiceName};
use sterna_protocol::Offset;

use crate::access::Access;
use crate::plan::NodeId;
use crate::plan::health::{ProbeResult, Verdict};
use crate::state::GroupState;
use crate::time::Moment;

/// Where they are; none while that is not known, or while a new primary takes no writes yet.
pub(super) fn route(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    now: Moment,
) -> Option<Route> {
    let known = state.known();
    let record = &known.record;
    let primary = known.shard().primary_node.as_ref()?;
    let primary_access = access.get(&record.primary)?;
    // A new primary is told of when it takes writes: with a fence that is once it is followed.
    let takes_writes = |node: NodeId| {
        known.node(node).result() == ProbeResult::Primary && known.link.following && known.streams_from(node)
    };
    let committed = state.run().is_some_and(|run| run.operation.committed);
    if committed && !known.primary().is_some_and(takes_writes) {
        return None;
    }
    let mut replicas = Vec::new();
    for name in &record.replicas {
        let Some(access) = access.get(name) else { continue };
        for (_, node) in known.nodes_of(name) {
            let info = node.fresh(now);
            replicas.push(RouteReplica {
                service: name.clone(),
                address: access.client_address(&node.key.address),
                up: info.is_some_and(|info| info.link_up),
                // Rounded, so that writes alone are no news.
                offset: info.map_or(Offset::ZERO, |info| Offset::new(info.offset.get() & !0xF_FFFF)),
            });
        }
    }
    Some(Route {
        group: record.name.clone(),
        epoch: record.epoch,
        primary: primary_access.client_address(primary),
        primary_down: matches!(
            state.verdict(),
            Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_)
        ),
        failover_possible: replicas.iter().any(|replica| replica.up),
        replicas,
        down_after_ms: record.settings.down_after_ms,
    })
}
