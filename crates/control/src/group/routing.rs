//! Where clients find the group's nodes.

use std::collections::BTreeMap;

use std::time::Duration;

use sterna_model::{FailoverReadiness, LiveOffset, Route, RouteReplica, ServiceName};

use crate::access::Access;
use crate::observe::NodeKey;
use crate::plan::NodeId;
use crate::plan::health::{ProbeResult, Verdict};
use crate::state::GroupState;
use crate::time::Moment;

/// How far each node is, kept from route to route.
pub(super) type Offsets = BTreeMap<NodeKey, LiveOffset>;

/// Where they are; none while that is not known, or while a new primary takes no writes yet.
pub(super) fn route(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    offsets: &mut Offsets,
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
    for name in [&record.primary].into_iter().chain(&record.replicas) {
        let Some(access) = access.get(name) else { continue };
        for (_, node) in known
            .nodes_of(name)
            .filter(|(id, _)| Some(*id) != known.primary())
        {
            let info = node.fresh(now);
            let offset = offsets.entry(node.key.clone()).or_default();
            if let Some(info) = info {
                offset.set(info.offset);
            }
            replicas.push(RouteReplica {
                service: name.clone(),
                site: access.service.spec.site.clone(),
                address: access.client_address(&node.key.address),
                up: info.is_some_and(|info| info.link_up),
                offset: offset.clone(),
            });
        }
    }
    Some(Route {
        group: record.name.clone(),
        epoch: record.epoch,
        primary: primary_access.client_address(primary),
        primary_down: is_down(state, now),
        failover_possible: state.readiness() == FailoverReadiness::Automatic,
        replicas,
        down_after_ms: record.settings.down_after_ms,
    })
}

/// Whether the primary is lost and has been away for long enough to be called down; at once where it answers, but lost its
/// data.
fn is_down(state: &GroupState, now: Moment) -> bool {
    let lost = matches!(
        state.verdict(),
        Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_)
    );
    let known = state.known();
    let Some(node) = known.primary().map(|primary| known.node(primary)) else {
        return lost;
    };
    let down_after = Duration::from_millis(known.record.settings.down_after_ms);
    let away_for = node.served_at.map_or(Duration::MAX, |at| now.since(at));
    lost && (node.result() == ProbeResult::Primary || away_for >= down_after)
}
