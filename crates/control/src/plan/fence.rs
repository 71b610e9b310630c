//! The fence at the primary: what it should be, and whether it may be put there.

use std::time::Duration;

use sterna_model::Fencing;
use sterna_node::info::AttachedReplica;

use super::{NodeId, Step};
use crate::known::Known;
use crate::observe::Lease;
use crate::time::Moment;

/// The fence is not set again sooner.
const PLACE_PAUSE: Duration = Duration::from_secs(5);

/// The fence as it should be at a primary: one replica more than it has of its own.
pub(crate) fn wanted(known: &Known, node: NodeId) -> Lease {
    Lease {
        min_replicas: 1 + u32::try_from(local_replicas(known, node)).unwrap_or(0),
        max_lag_seconds: known.record.settings.lease_seconds,
    }
}

/// The fence that a replica node gets: it is a primary without a follower the moment it is promoted.
pub(crate) fn of_a_replica(known: &Known) -> Option<Lease> {
    let settings = &known.record.settings;
    (settings.fencing == Fencing::Lease).then_some(Lease {
        min_replicas: 1,
        max_lag_seconds: settings.lease_seconds,
    })
}

/// How many replicas a primary node has that are not us, and that it counts as replicas: a full copy to them is over.
pub(crate) fn local_replicas(known: &Known, node: NodeId) -> usize {
    let relay = known.relay_for(node);
    let replicas = known.node(node).info.iter().flat_map(|info| &info.replicas);
    replicas
        .filter(|replica| replica.address.port != 0 && replica.address != relay && is_counted(replica))
        .count()
}

/// Whether the primary counts the gateway among its replicas: after a full copy it does so at the first acknowledgement
/// that comes when its own child process has ended. With the fence in place before, it would refuse writes until then.
pub(crate) fn is_counted_by(known: &Known, node: NodeId, now: Moment) -> bool {
    let wanted = wanted(known, node).min_replicas;
    let info = known.node(node).fresh(now);
    info.is_some_and(|info| counted(&info.replicas) >= wanted)
}

/// How many of a node's replicas the fence counts.
pub(crate) fn counted(replicas: &[AttachedReplica]) -> u32 {
    let counted = replicas.iter().filter(|replica| is_counted(replica)).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

fn is_counted(replica: &AttachedReplica) -> bool {
    replica.state == "online"
}

/// What puts the fence as the settings want it, where it is not so.
pub(crate) fn drift(known: &Known, now: Moment) -> Option<Step> {
    let primary = known.primary()?;
    let node = known.node(primary);
    if !known.link.is_whole() || node.repaired_within(PLACE_PAUSE, now) {
        return None;
    }
    let info = node.fresh(now)?;
    let in_place = known.shard().fence_in_place;
    match known.record.settings.fencing {
        Fencing::None => in_place.then_some(Step::LiftFence(primary)),
        Fencing::Lease => {
            let as_wanted = info.lease.is_none_or(|lease| lease == wanted(known, primary));
            (!as_wanted || !in_place).then_some(Step::PlaceFence(primary))
        }
    }
}
