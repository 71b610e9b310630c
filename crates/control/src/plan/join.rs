//! Services join as replica services: checks, the primary's stream, a copy at every node, the fence.
//!
//! Every step looks at what is before it does anything, so that it can be done again after a crash.

use std::collections::BTreeSet;

use sterna_model::{Fencing, LinkState, ServiceName};

use super::{AttachCause, End, Next, NodeId, Step, Wait, fence};
use crate::known::Known;
use crate::observe::NodeKey;
use crate::time::Moment;

/// The next step of a join that is taken back: the service leaves again. `released`: its nodes were let go.
pub(crate) fn take_back(known: &Known, service: &ServiceName, released: bool) -> Next {
    if known.record.replicas.contains(service) {
        return Next::Do(Step::Remove(service.clone()));
    }
    if !released {
        return Next::Do(Step::Release {
            service: service.clone(),
            promote: false,
        });
    }
    Next::Done(End::JoinTakenBack(service.clone()))
}

/// The next step. `checked`: nothing stands against it, and nodes may be changed; `attached`: the nodes that this
/// operation has let follow.
pub(crate) fn next(
    known: &Known,
    services: &[ServiceName],
    checked: bool,
    attached: &BTreeSet<NodeKey>,
    now: Moment,
) -> Next {
    if !checked {
        return Next::Do(Step::Check(services.to_vec()));
    }
    let Some(primary) = known.primary() else {
        return Next::Wait(Wait::Primary);
    };
    if !known.link.following {
        // A group that is made has no replica node yet that could hold anything of it.
        let is_new = services.len() == known.record.replicas.len();
        return if !is_new && known.must_learn_what_is_held() {
            Next::Wait(Wait::Primary)
        } else {
            Next::Do(Step::Follow(primary))
        };
    }
    let link = &known.link.status.link;
    if *link != LinkState::Streaming {
        return Next::Wait(Wait::Stream { link: link.clone() });
    }
    let unknown = services
        .iter()
        .find(|service| known.nodes_of(service).next().is_none());
    if let Some(service) = unknown {
        return Next::Wait(Wait::Service {
            service: service.clone(),
        });
    }
    let nodes: Vec<NodeId> = services
        .iter()
        .flat_map(|service| known.nodes_of(service).map(|(id, _)| id))
        .collect();
    for node in &nodes {
        let relay = known.relay_for(*node);
        let state = known.node(*node);
        let follows = state
            .fresh(now)
            .map(|info| !info.is_primary() && info.primary == Some(relay));
        // One that was a replica of this relay in an earlier group has another group's login.
        let attached = attached.contains(&state.key);
        if follows == Some(false) || (follows == Some(true) && !attached) {
            return Next::Do(Step::Attach {
                node: *node,
                why: AttachCause::Joins,
            });
        }
    }
    let has_copy = |node: &&NodeId| known.node(**node).fresh(now).is_some_and(|info| info.link_up);
    if let Some(node) = nodes.iter().find(|node| !has_copy(node)) {
        return Next::Wait(super::copy_of(known, *node));
    }
    if known.record.settings.fencing == Fencing::Lease && !known.shard().fence_in_place {
        if !fence::is_counted_by(known, primary, now) {
            return Next::Wait(Wait::ReplicaCount);
        }
        return Next::Do(Step::PlaceFence(primary));
    }
    Next::Done(End::Joined(services.to_vec()))
}
