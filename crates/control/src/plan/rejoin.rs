//! A service comes back as a replica service: node by node, its writes blocked and saved before it follows.

use std::time::Duration;

use sterna_model::ServiceName;

use super::returning::{self, NodeStep};
use super::{AttachCause, End, Next, NodeId, Step, Wait};
use crate::known::Known;
use crate::observe::NodeKey;
use crate::time::Moment;

/// How long a node may be away during its rejoin before the operation ends; it begins anew when the node is back.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// The next step. `closed`: what was waited for of a former primary has come back in this operation.
pub(crate) fn next(known: &Known, service: &ServiceName, closed: bool, now: Moment) -> Next {
    if let Some(open) = returning::open_node(known, service, now) {
        return Next::Do(Step::BlockWrites(open));
    }
    let (mut away, mut copying) = (None, None);
    let within = *service == known.record.primary;
    for (id, node) in returning::nodes(known, service) {
        let Some((seen, divergence)) = returning::observe(known, id, now) else {
            away = Some(id);
            continue;
        };
        match returning::next(&seen, &divergence) {
            NodeStep::BlockWrites => return Next::Do(Step::BlockWrites(id)),
            NodeStep::Rescue(scope) => return Next::Do(Step::Rescue { node: id, scope }),
            // Until the new primary's stream stands, it is the one that could take over again.
            NodeStep::Attach(_) if !known.link.is_whole() => {
                let link = known.link.status.link.clone();
                return Next::Wait(Wait::Stream { link });
            }
            // Its Sentinels see to it that it does.
            NodeStep::Attach(_) if within => return Next::Do(Step::FollowOwnPrimary(id)),
            // Its Sentinels let it follow before anything was done about the block.
            NodeStep::Done if within && node.is_blocked() => return Next::Do(Step::FollowOwnPrimary(id)),
            NodeStep::Attach(holds) => {
                let why = AttachCause::Returns(holds);
                return Next::Do(Step::Attach { node: id, why });
            }
            NodeStep::Done if node.fresh(now).is_some_and(|info| info.link_up) => {
                if within {
                    return Next::Do(Step::CloseNode(id));
                }
            }
            // The others do not wait for it.
            NodeStep::Done => copying = copying.or(Some(id)),
        }
    }
    if let Some(id) = copying {
        return Next::Wait(super::copy_of(known, id));
    }
    match away.filter(|id| !closed && is_essential(known, service, *id)) {
        Some(id) if known.node(id).result_for(now) > AWAY_MAX => Next::Done(End::NodeAway(id)),
        Some(id) => {
            let NodeKey { service, address } = known.node(id).key.clone();
            Next::Wait(Wait::Node { service, address })
        }
        None if !within && known.former_nodes(service).next().is_some() => {
            Next::Do(Step::Close(service.clone()))
        }
        None => Next::Done(End::Rejoined(service.clone())),
    }
}

/// Of a former primary service only a node that took the writes must come back.
fn is_essential(known: &Known, service: &ServiceName, node: NodeId) -> bool {
    let mut former = known.former_nodes(service).peekable();
    // Those of the primary service come back one by one.
    *service != known.record.primary
        && (former.peek().is_none() || former.any(|former| known.node(node).key.address == former.node))
}
