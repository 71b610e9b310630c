//! The fence at the primary: what it should be, and whether it may be put there.
//!
//! The server counts any good replica. Where `R` others can follow the primary and the gateway keeps `R + 1` connections of
//! its own and asks for as many, nobody else opens or closes anything: all `R` together are too few, and none of them is
//! needed. Where those connections would cost too much, the others that are good are counted at each look.

use std::time::Duration;

use sterna_model::{FENCE_LINKS_MAX, FenceLinks, Fencing};
use sterna_node::info::AttachedReplica;

use super::{NodeId, Step, failover};
use crate::known::Known;
use crate::observe::{Lease, NodeInfo};
use crate::time::Moment;

/// The fence is not set again sooner.
const PLACE_PAUSE: Duration = Duration::from_secs(5);
/// A node that is restarted is back by then: while it is away nobody is fit, and the fence need not go for that.
const UNFIT_FOR: Duration = Duration::from_secs(5);
/// A primary that is further away than this is far: each connection carries its whole stream.
const NEAR_MAX: Duration = Duration::from_millis(5);

/// The fence as it should be at a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) lease: Lease,
    /// Connections of our own that the primary is to count.
    pub(crate) links: u32,
    /// How many others can follow it.
    pub(crate) others: u32,
    /// Others are counted in.
    pub(crate) counts_others: bool,
}

/// The fence as it should be at a primary.
pub(crate) fn wanted(known: &Known, node: NodeId) -> Fence {
    let settings = &known.record.settings;
    let others = others(known, node);
    let links_max = u32::from(FENCE_LINKS_MAX);
    let links = match settings.fence_links {
        FenceLinks::Number(number) => u32::from(number),
        FenceLinks::Auto if others >= links_max || !is_near(known, node) => 1,
        FenceLinks::Auto => others + 1,
    };
    let counts_others = others >= links;
    let min_replicas = if counts_others {
        1 + good_others(known, node)
    } else {
        links
    };
    Fence {
        lease: Lease {
            min_replicas,
            max_lag_seconds: settings.lease_seconds,
        },
        links,
        others,
        counts_others,
    }
}

/// How many connections to the primary the shard is to keep, the link among them: no fewer than the primary asks for now.
pub(crate) fn links(known: &Known) -> u32 {
    let leased = known.record.settings.fencing == Fencing::Lease;
    let Some(primary) = known.primary().filter(|_| leased) else {
        return 1;
    };
    let wanted = wanted(known, primary);
    let asked = known.node(primary).info.as_ref().and_then(|info| info.lease);
    let asked = asked.map_or(0, |lease| lease.min_replicas);
    if !wanted.counts_others && asked <= u32::from(FENCE_LINKS_MAX) {
        wanted.links.max(asked)
    } else {
        wanted.links
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

/// How many can follow a primary node that are not us: the other nodes of its service, there or not, and whoever else is
/// seen to follow it, with a port or without.
pub(crate) fn others(known: &Known, node: NodeId) -> u32 {
    let of_service = known
        .nodes_of(&known.node(node).key.service)
        .filter(|(id, _)| *id != node);
    let (mut registered, mut attached) = (0, 0);
    for (id, _) in of_service {
        registered += 1;
        attached += u32::from(follows(known, id, node));
    }
    registered + local_replicas(known, node).saturating_sub(attached)
}

/// How many follow a primary node that are not us.
pub(crate) fn local_replicas(known: &Known, node: NodeId) -> u32 {
    let Some(info) = &known.node(node).info else {
        return 0;
    };
    let others = if let Some(followers) = &info.followers {
        let ours = |id: &u64| known.link.status.clients.contains(id) || known.link.connections.contain(*id);
        followers.iter().filter(|id| !ours(id)).count()
    } else {
        // It does not tell who is who: by their addresses, which lie behind a translation.
        let relay = known.relay_for(node);
        let other = |replica: &&AttachedReplica| replica.address.port != 0 && replica.address != relay;
        info.replicas.iter().filter(other).count()
    };
    u32::try_from(others).unwrap_or(u32::MAX)
}

/// Whether a node of the primary service is attached to its primary.
fn follows(known: &Known, id: NodeId, primary: NodeId) -> bool {
    let port = known.node(primary).key.address.port;
    known.node(id).info.as_ref().is_some_and(|info| {
        info.link_up
            && info
                .primary
                .as_ref()
                .is_some_and(|followed| followed.port == port)
    })
}

/// Whether those who follow a primary node beside us are so many that they could keep it open while nothing is acknowledged
/// here: it asks for no more than that yet.
pub(crate) fn may_be_kept_open(known: &Known, node: NodeId) -> bool {
    let Some(info) = &known.node(node).info else {
        return false;
    };
    let others = local_replicas(known, node);
    let loading_count = !wanted(known, node).counts_others;
    let lease_seconds = known.record.settings.lease_seconds;
    let others = able_to_keep_open(others, &info.replicas, loading_count, lease_seconds);
    // Without any it is shut or was not read since one was placed, which is known elsewhere.
    info.lease
        .is_some_and(|lease| lease.min_replicas > 0 && others >= lease.min_replicas)
}

/// How many of `others` may be counted by a primary that lists these replicas. One that lags is not, until it is back. One that
/// loads is, once it has: it counts for nothing only where the fence goes by who is good at each look.
fn able_to_keep_open(
    others: u32,
    replicas: &[AttachedReplica],
    loading_count: bool,
    lease_seconds: u32,
) -> u32 {
    let is_not = |replica: &&AttachedReplica| {
        if is_counted(replica) {
            replica.lag_s.is_some_and(|lag| lag > u64::from(lease_seconds))
        } else {
            !loading_count
        }
    };
    let not = replicas.iter().filter(is_not).count();
    others.saturating_sub(u32::try_from(not).unwrap_or(u32::MAX))
}

/// Whether nothing keeps the primary from taking writes, should it be silent: no fence is in place, or others may keep it open.
pub(crate) fn is_not_sure(known: &Known) -> bool {
    let leased = known.record.settings.fencing == Fencing::Lease;
    leased && (!known.shard().fence_in_place || known.kept_open_by_others)
}

/// How many of the others the server counts as good now.
fn good_others(known: &Known, node: NodeId) -> u32 {
    let Some(info) = &known.node(node).info else {
        return 0;
    };
    let lease = u64::from(known.record.settings.lease_seconds);
    let good =
        |replica: &&AttachedReplica| is_counted(replica) && replica.lag_s.is_none_or(|lag| lag <= lease);
    let good = info.replicas.iter().filter(good).count();
    let ours = if known.link.is_whole() && known.streams_from(node) {
        1 + known.link.status.lease_links
    } else {
        0
    };
    u32::try_from(good.saturating_sub(ours)).unwrap_or(u32::MAX)
}

/// Whether the lease's links cost little to a primary.
fn is_near(known: &Known, node: NodeId) -> bool {
    known.node(node).nearest.is_none_or(|trip| trip < NEAR_MAX)
}

/// Whether the primary counts as many replicas as the fence will ask for: after a full copy it counts us at the first
/// acknowledgement that comes when its own child process has ended. With the fence in place before, it would refuse
/// writes until then.
pub(crate) fn is_counted_by(known: &Known, node: NodeId, now: Moment) -> bool {
    let wanted = wanted(known, node).lease.min_replicas;
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

/// Whether somebody could take over without a person, should the primary be lost: answers, is of the group's history, and
/// behind by no more than the limit. A fence that protects nobody's failover only takes writes away.
pub(crate) fn protects(known: &Known, now: Moment) -> bool {
    failover::candidates(known, false, now)
        .iter()
        .any(|candidate| candidate.is_fit() && !candidate.is_primary)
}

/// Whether the fence at the primary is not needed: no lease is wanted, or nobody has been fit to take over for a while.
pub(crate) fn is_needless(known: &Known, now: Moment) -> bool {
    let fit_at = known.fit_at.unwrap_or(known.gateway_started);
    known.record.settings.fencing == Fencing::None || now.since(fit_at) >= UNFIT_FOR
}

/// Lifts the fence at a primary that can't be followed yet, since what the replica nodes hold is not known and the log is lost:
/// nobody is fit, and it would only take writes away.
pub(crate) fn of_no_use(known: &Known, now: Moment) -> Option<Step> {
    let primary = known.primary()?;
    let answers = known.node(primary).fresh(now).is_some_and(NodeInfo::is_primary);
    let lift =
        answers && known.shard().fence_in_place && known.must_learn_what_is_held() && is_needless(known, now);
    lift.then_some(Step::LiftFence(primary))
}

/// With this a node takes no writes: nobody has so many replicas.
pub(crate) const MIN_REPLICAS_BLOCKED: u32 = 1_000_000;

/// What puts the fence as it should be, where it is not so.
pub(crate) fn drift(known: &Known, now: Moment) -> Option<Step> {
    let primary = known.primary()?;
    let node = known.node(primary);
    if !known.link.is_whole() {
        return None;
    }
    let info = node.fresh(now)?;
    let in_place = known.shard().fence_in_place;
    let lease_seconds = known.record.settings.lease_seconds;
    let is_ours = |lease: Lease| {
        let is_blocked = lease.min_replicas == MIN_REPLICAS_BLOCKED;
        is_blocked || (lease.min_replicas > 0 && lease.max_lag_seconds == lease_seconds)
    };
    let has_one = info.lease.is_some_and(is_ours);
    if is_needless(known, now) {
        // One may have been put there by somebody else since, or by a command that came late.
        let lift = (in_place || has_one) && !node.repaired_within(PLACE_PAUSE, now);
        return lift.then_some(Step::LiftFence(primary));
    }
    let wanted = wanted(known, primary).lease;
    let lowers = info
        .lease
        .is_some_and(|lease| lease.min_replicas > wanted.min_replicas);
    // A primary that refuses writes for want of others is not kept waiting, nor one that was without a fence.
    let at_once = lowers || !has_one;
    let pause = if at_once { Duration::ZERO } else { PLACE_PAUSE };
    let as_wanted = info.lease.is_none_or(|lease| lease == wanted);
    let due = (!as_wanted || !in_place) && !node.repaired_within(pause, now);
    let protects = in_place || protects(known, now);
    (due && protects && is_counted_by(known, primary, now)).then_some(Step::PlaceFence(primary))
}

#[cfg(test)]
mod tests {
    use sterna_node::NodeAddress;
    use sterna_protocol::Offset;

    use super::*;

    fn replica(state: &str, lag_s: u64) -> AttachedReplica {
        AttachedReplica {
            address: NodeAddress::new("10.0.0.1", 6379),
            state: state.to_owned(),
            offset: Offset::ZERO,
            lag_s: Some(lag_s),
        }
    }

    #[test]
    fn who_lags_keeps_nothing_open_and_who_loads_may_soon() {
        let [good, lags, loads] =
            [("online", 0), ("online", 4), ("send_bulk", 0)].map(|(state, lag)| replica(state, lag));
        let able = |others, replicas: &[&AttachedReplica], loading_count| {
            let replicas: Vec<_> = replicas.iter().copied().cloned().collect();
            able_to_keep_open(others, &replicas, loading_count, 3)
        };
        // The first is the gateway's own.
        assert_eq!(able(0, &[&good], true), 0);
        assert_eq!(able(1, &[&good, &good], true), 1);
        assert_eq!(able(1, &[&good, &lags], true), 0);
        assert_eq!(able(1, &[&good, &loads], true), 1);
        assert_eq!(able(1, &[&good, &loads], false), 0);
        assert_eq!(able(3, &[&good, &good, &lags, &loads], true), 2);
    }
}
