//! What a node that is to follow says of itself, and where its history and the group's part.

use sterna_model::{RescueKind, ServiceName};
use sterna_protocol::Offset;

use super::{Divergence, NodeStep, ReturningNode};
use crate::known::{Known, NodeState};
use crate::observe::ProbeResult;
use crate::plan::NodeId;
use crate::time::Moment;

/// What the stream of a node that takes no writes may grow by after its data were saved, in bytes: a PING of 14 bytes
/// every ten seconds.
const PINGS_BYTES_MAX: u64 = 4096;

/// The nodes of a service that are to follow the group's primary. Those of the primary service are its own affair, but for one
/// that took the writes before.
pub(crate) fn nodes<'a>(
    known: &'a Known,
    service: &'a ServiceName,
) -> impl Iterator<Item = (NodeId, &'a NodeState)> {
    let is_own =
        move |state: &NodeState| *service == known.record.primary && known.former_node(&state.key).is_none();
    known.nodes_of(service).filter(move |(_, state)| !is_own(state))
}

/// Whether it can be judged: it answers, and has loaded its data.
pub(crate) fn is_there(node: &NodeState) -> bool {
    matches!(node.result(), ProbeResult::Primary | ProbeResult::Replica)
}

/// A node that takes writes of its own, and whose writes are to be blocked before anything else is done or waited for.
pub(crate) fn open_node(known: &Known, service: &ServiceName, now: Moment) -> Option<NodeId> {
    nodes(known, service).map(|(id, _)| id).find(|id| {
        observe(known, *id, now)
            .is_some_and(|(seen, divergence)| super::next(&seen, &divergence) == NodeStep::BlockWrites)
    })
}

/// The node as it is now, and its divergence; none while it does not answer, or while no history is known.
pub(crate) fn observe(known: &Known, node: NodeId, now: Moment) -> Option<(ReturningNode, Divergence)> {
    let state = known.node(node);
    let info = state.fresh(now).filter(|info| !info.loading)?;
    let divergence = if let Some(former) = known.former_node(&state.key) {
        Divergence {
            history: former.history,
            offset: former.divergence_offset,
            saved: is_saved(known, state, former.divergence_offset),
        }
    } else {
        let history = known.history()?;
        let shared = info.previous.filter(|(previous, _)| *previous == history);
        let offset = shared.map_or(known.log_end(), |(_, last)| last);
        Divergence {
            history,
            offset,
            saved: is_saved(known, state, offset),
        }
    };
    // By whatever name it knows that primary. One that is being given a copy has none of its own writes any more.
    let holds_ours = !info.is_primary() && known.link.is_whole() && known.history() == Some(info.history);
    let has_followed = info.link_up && holds_ours;
    let own = known.primary().map(|primary| &known.node(primary).key.address);
    let follows_its_own_primary = state.key.service == known.record.primary
        && (has_followed || info.syncing || info.primary.as_ref() == own);
    let node = ReturningNode {
        is_primary: info.is_primary(),
        writes_blocked: state.is_blocked(),
        follows_us: !info.is_primary()
            && (info.primary.as_ref() == Some(&known.relay_for(node)) || follows_its_own_primary),
        holds_ours,
        history: info.history,
        offset: state.written_to().unwrap_or(info.offset),
        previous: info.previous,
        empty: info.keys == 0,
    };
    Some((node, divergence))
}

/// Whether what this node has beyond this offset is in a rescue file: its own, or that of another node of its service with
/// the same history.
fn is_saved(known: &Known, node: &NodeState, after: Offset) -> bool {
    let Some((info, written_to)) = node.info.as_ref().zip(node.written_to()) else {
        return false;
    };
    known.rescues.iter().any(|rescue| {
        let beyond = written_to.bytes_since(rescue.to);
        let saved = match rescue.kind {
            RescueKind::Commands => rescue.service == node.key.service && beyond == 0 && rescue.from <= after,
            // A node that takes no writes writes nothing into its stream but now and then a PING.
            RescueKind::Snapshot => rescue.node == node.key.address && beyond <= PINGS_BYTES_MAX,
        };
        saved && rescue.shard == known.shard && rescue.history == info.history
    })
}
