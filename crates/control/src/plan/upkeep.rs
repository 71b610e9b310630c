//! What is needed while no operation is under way.

use std::time::Duration;

use sterna_model::FormerPrimary;

use super::health::{ProbeResult, Verdict};
use super::returning::{self, Holds, NodeStep, ReturningNode};
use super::{AttachCause, End, Next, NodeId, RejoinCause, Step, fence, local_promotion, operation};
use crate::known::{Known, NodeState};
use crate::observe::LOOK_INTERVAL;
use crate::time::{Moment, Now};

/// A node that was put right is not put right again sooner.
const REPAIR_PAUSE: Duration = Duration::from_secs(5);
/// A node that returned is dealt with when it has been there for so long.
const RETURNED_FOR: Duration = Duration::from_millis(300);
/// A node whose link to the relay is down, though it follows, is put right after so long.
const LINK_DOWN_MAX: Duration = Duration::from_secs(10);
/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is next. `look_for_old_rescues`: whether it is time to look whether a rescue file is too old.
pub(crate) fn next(known: &Known, verdict: &Verdict, look_for_old_rescues: bool, now: Now) -> Next {
    let promoted = local_promotion::seen(known, now.at).filter(|_| !known.record.paused);
    if let Some(promoted) = promoted {
        return Next::Do(Step::AdoptLocalPromotion(promoted.node));
    }
    if let Verdict::FailOver(cause) = verdict {
        return Next::Do(Step::BeginFailover(*cause));
    }
    // Replication goes on while the group is paused.
    if let Some(step) = operation::must_follow(known) {
        return Next::Do(step);
    }
    let at = now.at;
    if known.record.paused {
        // Beside the group's primary no other takes writes, whatever is paused.
        let open = operation::open_former(known, at);
        return open.map_or(Next::Done(End::InOrder), Next::Do);
    }
    let step = returned(known, at)
        .or_else(|| drifted(known, at))
        .or_else(|| away_from_its_own(known, at))
        .or_else(|| fence::drift(known, at))
        .or_else(|| fence::of_no_use(known, at))
        .or_else(|| look_for_old_rescues.then(|| old_rescue(known, now)).flatten());
    step.map_or(Next::Done(End::InOrder), Next::Do)
}

/// A service whose node came back with what can't simply be overwritten.
fn returned(known: &Known, now: Moment) -> Option<Step> {
    if !known.link.following {
        return None;
    }
    let record = &known.record;
    let former = known
        .shard()
        .former_primaries
        .iter()
        .map(|former| &former.service);
    let mut services = record.replicas.iter().chain(former);
    services.find_map(|service| {
        let why =
            returning::nodes(known, service).find_map(|(id, node)| returned_node(known, id, node, now))?;
        Some(Step::BeginRejoin {
            service: service.clone(),
            why,
        })
    })
}

fn returned_node(known: &Known, id: NodeId, node: &NodeState, now: Moment) -> Option<RejoinCause> {
    let former = known.former_node(&node.key);
    // The writes of an old primary are blocked on sight.
    let at_once = former.is_some() && node.result() == ProbeResult::Primary;
    if !returning::is_there(node) || (node.result_for(now) < RETURNED_FOR && !at_once) {
        return None;
    }
    let (seen, divergence) = returning::observe(known, id, now)?;
    if let Some(former) = former {
        // The others of its service follow at once; what is waited for is the node that took the writes.
        let is_awaited = |former: &FormerPrimary| {
            let node = known.find(&former.service, &former.node);
            node.is_some_and(|node| !returning::is_there(known.node(node)))
        };
        let follows = returning::next(&seen, &divergence) == NodeStep::Done;
        let is_last = follows && !known.former_nodes(&former.service).any(is_awaited);
        return (is_last || node.key.address == former.node).then_some(RejoinCause::FormerPrimaryIsBack(id));
    }
    let loses = seen.is_primary
        && !seen.empty
        && returning::next(&blocked(seen), &divergence) != NodeStep::Attach(Holds::APrefix);
    (loses && known.link.is_whole()).then_some(RejoinCause::MayHoldWrites(id))
}

/// A replica node that does not follow as it should, but could without a loss.
pub(super) fn drifted(known: &Known, now: Moment) -> Option<Step> {
    let replicas = &known.record.replicas;
    let nodes = replicas.iter().flat_map(|service| known.nodes_of(service));
    let due = |(_, node): &(NodeId, &NodeState)| {
        !node.repaired_within(REPAIR_PAUSE, now) && node.result_for(now) >= LOOK_INTERVAL
    };
    let repair = |(id, node): (NodeId, &NodeState)| {
        drift(known, id, node, now).map(|why| Step::Attach { node: id, why })
    };
    nodes.filter(due).find_map(repair)
}

/// How a replica node does not follow as it should.
fn drift(known: &Known, id: NodeId, node: &NodeState, now: Moment) -> Option<AttachCause> {
    let (seen, divergence) = returning::observe(known, id, now)?;
    if seen.follows_us {
        let info = node.fresh(now)?;
        if !info.read_only {
            return Some(AttachCause::Writable);
        }
        // It does, but something else is wrong: its login perhaps.
        let down = !info.link_up && !info.syncing;
        let for_long = now.since(known.primary_since) > LINK_DOWN_MAX && node.result_for(now) > LINK_DOWN_MAX;
        return (down && for_long).then_some(AttachCause::Drifted);
    }
    // The former primary itself comes back by a rejoin.
    let former = known.former_node(&node.key);
    if former.is_some_and(|former| former.node == node.key.address) || !known.link.is_whole() {
        return None;
    }
    let loses_nothing = matches!(
        returning::next(&blocked(seen), &divergence),
        NodeStep::Attach(Holds::APrefix | Holds::Nothing)
    );
    let drifted = loses_nothing || (!seen.is_primary && former.is_none());
    drifted.then_some(AttachCause::Drifted)
}

/// A node of the primary service that still follows the relay, from a time in which the primary was elsewhere, though it was
/// a replica within its service before the group.
fn away_from_its_own(known: &Known, now: Moment) -> Option<Step> {
    let primary = known.primary().filter(|_| known.link.is_whole())?;
    let nodes = known.nodes_of(&known.record.primary);
    let away = |(id, node): &(NodeId, &NodeState)| {
        let relay = known.relay_for(*id);
        let follows_relay = node.fresh(now).is_some_and(|info| {
            info.link_up && info.primary == Some(relay) && known.history() == Some(info.history)
        });
        *id != primary && follows_relay && !node.has_no_own && !node.repaired_within(REPAIR_PAUSE, now)
    };
    let mut away = nodes.filter(away);
    away.next().map(|(node, _)| Step::FollowOwnPrimary(node))
}

/// The node as it will be once its writes are blocked.
fn blocked(seen: ReturningNode) -> ReturningNode {
    ReturningNode {
        writes_blocked: true,
        ..seen
    }
}

/// The first rescue file that is older than the settings keep it.
fn old_rescue(known: &Known, now: Now) -> Option<Step> {
    let keep = DAY * known.record.settings.rescue.keep_days;
    let is_old = |rescue: &&sterna_model::Rescue| now.at.since(now.moment_of(rescue.saved_at)) > keep;
    known
        .rescues
        .iter()
        .find(is_old)
        .map(|rescue| Step::ExpireRescue(rescue.id))
}
