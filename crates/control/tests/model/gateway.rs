//! What the gateway makes of what it knows: the views that the planner is asked about, and the deed that follows.
//!
//! This mirrors the glue of the product, with the planner of the product.

use std::time::Duration;

use sterna_control::plan::{NodeId, failover, health, rejoin, switchover};
use sterna_protocol::{Offset, ReplicationId};

use super::mutants::Mutant;
use super::node::{Id, Node, Process, Role};
use super::world::{Answer, Handover, Kind, Link, Operation, World};
use super::{DOWN_AFTER, LEASE_WAIT, WAIT_MAX};

/// What the gateway does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    /// Follow nobody, and refuse who hands over.
    LetGo,
    /// Follow this node.
    Follow(Id),
    /// Begin an operation.
    Begin(Kind),
    /// Shut a node to writes.
    Shut(Id),
    /// Keep a decision.
    Decide(Id, u8),
    /// Make a node a primary.
    Promote(Id),
    /// Put the fence in place, and keep that it is.
    Arm(Id),
    /// What the relay does about a primary that hands over.
    SetHandover(Handover),
    /// `FAILOVER TO` the relay.
    HandOver(Id),
    /// Take a switchover back.
    Abort(Id),
    /// The operation is over.
    Finish,
    /// Save what a node that was left behind was seen to have beyond the cut, from its backlog.
    RescueCommands {
        /// Which.
        node: Id,
        /// From here.
        after: u8,
        /// To here.
        to: u8,
    },
    /// Save all that it has.
    RescueSnapshot(Id),
    /// Let it follow.
    Attach(Id),
    /// It is a replica like any other.
    Returned(Id),
}

/// What the gateway would do now.
pub(super) fn operate(world: &World) -> Option<Deed> {
    match &world.store.operation {
        Some(operation) => match operation.kind {
            Kind::Failover { by_person, forced } => fail_over(world, operation, by_person, forced),
            Kind::Switchover(to) => switch_over(world, operation, to),
            Kind::Rejoin(node) => rejoin(world, node),
        },
        None => steady(world),
    }
}

fn steady(world: &World) -> Option<Deed> {
    let (gateway, primary) = (&world.gateway, world.store.primary);
    if let health::Verdict::FailOver(_) = health::judge(&sight(world), &circumstances(world)) {
        return Some(Deed::Begin(Kind::Failover {
            by_person: false,
            forced: false,
        }));
    }
    let seen = gateway.seen[primary].said();
    if !gateway.following && seen.is_some_and(|node| sign(node) == health::Sign::Primary) {
        return Some(Deed::Follow(primary));
    }
    let others = || (0..world.nodes.len()).filter(|id| *id != primary);
    if let Some(node) = others().find(|id| has_returned(world, *id)) {
        return Some(Deed::Begin(Kind::Rejoin(node)));
    }
    if let Some(node) = others().find(|id| is_astray(world, *id)) {
        return Some(Deed::Attach(node));
    }
    let off = |node: &Node| node.shut || !node.armed || !world.store.armed;
    (gateway.link == Link::Up(primary) && seen.is_some_and(off)).then_some(Deed::Arm(primary))
}

/// Whether a node came back with what can't simply be overwritten.
fn has_returned(world: &World, id: Id) -> bool {
    let Some((node, cut)) = returning(world, id) else {
        return false;
    };
    let shut = rejoin::Node { shut: true, ..node };
    let a_prefix = rejoin::next(&shut, &cut) == rejoin::Step::Attach(rejoin::Holds::APrefix);
    is_departed(world, id) || (node.is_primary && !node.empty && !a_prefix && is_whole(world))
}

/// Whether a replica node is to be put right, and can be without a loss.
fn is_astray(world: &World, id: Id) -> bool {
    let Some((node, cut)) = returning(world, id) else {
        return false;
    };
    let shut = rejoin::Node { shut: true, ..node };
    let harmless = matches!(
        rejoin::next(&shut, &cut),
        rejoin::Step::Attach(rejoin::Holds::APrefix | rejoin::Holds::Nothing)
    );
    !node.follows_us && is_whole(world) && harmless
}

/// The stream flows: what is put right now is put right against the right history.
fn is_whole(world: &World) -> bool {
    world.gateway.link == Link::Up(world.store.primary)
}

fn is_departed(world: &World, id: Id) -> bool {
    world.store.departed.iter().any(|departed| departed.node == id)
}

/// Whether this life of a node was shut to writes by this process.
fn is_shut(world: &World, id: Id, node: &Node) -> bool {
    world.gateway.shut[id] == Some(node.run)
}

fn sign(node: &Node) -> health::Sign {
    match node.role {
        Role::Primary | Role::Pausing => health::Sign::Primary,
        Role::SteppedDown | Role::Replica => health::Sign::Replica,
    }
}

fn sight(world: &World) -> health::Sight {
    let primary = world.store.primary;
    health::Sight {
        sign: match world.gateway.seen[primary] {
            Answer::Unknown => health::Sign::Unknown,
            Answer::Refused => health::Sign::Refused,
            Answer::Silent => health::Sign::Silent,
            Answer::Said(node) => sign(&node),
        },
        quiet_for: ticks(world.gateway.quiet),
        lost_its_data: world.gateway.lost_data,
    }
}

fn circumstances(world: &World) -> health::Circumstances {
    let candidates = candidates(world, false);
    health::Circumstances {
        down_after: ticks(DOWN_AFTER),
        sentinel_grace: None,
        automatic: true,
        paused: false,
        since_change: ticks(LEASE_WAIT),
        pause: Duration::ZERO,
        candidates: candidates
            .iter()
            .filter(|candidate| candidate.answers && candidate.in_history)
            .count(),
        anybody_answers: world.gateway.seen.iter().any(|answer| answer.said().is_some()),
        loss: Duration::ZERO,
        loss_max: ticks(1),
        unfenced: !world.store.armed,
    }
}

fn candidates(world: &World, decided: bool) -> Vec<failover::Candidate> {
    let may = |id: Id| (id != world.store.primary || decided) && !is_departed(world, id);
    let of = |(id, answer): (Id, &Answer)| {
        let node = answer.said()?;
        Some(failover::Candidate {
            node: NodeId(id),
            preference: id,
            answers: true,
            in_history: node.stream.history == world.log.stream.history,
            applied: offset(node.stream.offset),
            is_primary: node.role == Role::Primary,
        })
    };
    let all = world.gateway.seen.iter().enumerate();
    all.filter(|(id, _)| may(*id)).filter_map(of).collect()
}

fn fail_over(world: &World, operation: &Operation, by_person: bool, forced: bool) -> Option<Deed> {
    let (gateway, store) = (&world.gateway, &world.store);
    if gateway.cancelled && operation.decided.is_none() {
        return Some(Deed::Finish);
    }
    let kept = operation.decided.or(gateway.promised);
    let decided = kept.map(|(id, _)| id);
    let old = match gateway.seen[operation.old] {
        _ if decided.is_some() => failover::OldPrimary::Gone,
        Answer::Refused => failover::OldPrimary::Gone,
        Answer::Silent | Answer::Unknown => failover::OldPrimary::Silent,
        Answer::Said(node) if sign(&node) == health::Sign::Replica => failover::OldPrimary::Shut,
        Answer::Said(node) if is_shut(world, operation.old, &node) => failover::OldPrimary::Shut,
        Answer::Said(_) => failover::OldPrimary::Answers,
    };
    let view = failover::World {
        old,
        fence: match world.mutant {
            Some(Mutant::NoLeaseWait) => failover::Fence::Lease { left: Duration::ZERO },
            _ if store.armed => failover::Fence::Lease {
                left: ticks(LEASE_WAIT - gateway.renewed.min(LEASE_WAIT)),
            },
            _ => failover::Fence::NotArmed,
        },
        following_old: gateway.following && decided.is_none(),
        unreceived_bytes: 0,
        log_end: offset(world.log.stream.offset),
        candidates: candidates(world, decided.is_some()),
        only: None,
        forced,
        by_person,
        old_recovered: old == failover::OldPrimary::Answers && !gateway.lost_data,
        decided: kept.map(|(id, cut)| failover::Decided {
            node: NodeId(id),
            cut: offset(cut),
            unfit_for: Duration::ZERO,
        }),
        following_new: decided.is_some_and(|id| gateway.following && gateway.link == Link::Up(id)),
        armed: store.armed,
        running_for: ticks(gateway.waiting),
    };
    match failover::next(&view) {
        failover::Next::Do(step) => Some(match step {
            failover::Step::StopFollowing => Deed::LetGo,
            failover::Step::ShutOld => Deed::Shut(operation.old),
            failover::Step::Decide { node, cut } => Deed::Decide(node.0, short(cut)),
            failover::Step::Promote(node) => Deed::Promote(node.0),
            failover::Step::FollowNew(node) => Deed::Follow(node.0),
            failover::Step::Arm(node) => Deed::Arm(node.0),
        }),
        failover::Next::Wait(_) => None,
        failover::Next::CallOff | failover::Next::GiveUp | failover::Next::Done => Some(Deed::Finish),
    }
}

fn switch_over(world: &World, operation: &Operation, to: Id) -> Option<Deed> {
    let (gateway, store) = (&world.gateway, &world.store);
    let decided = operation.decided.is_some();
    let target = gateway.seen[to].said();
    let handing = &world.nodes[operation.old];
    // The relay knows of one that waits there.
    let waits = handing.role == Role::SteppedDown
        && handing.process != Process::Dead
        && gateway.handover != Handover::Refuse;
    let old = match gateway.seen[operation.old].said() {
        _ if waits && !decided => switchover::OldPrimary::SteppedDown {
            offset: offset(handing.stream.offset),
        },
        None => switchover::OldPrimary::Unknown,
        Some(node) => match node.role {
            Role::Replica if link_is_up(world, node) => switchover::OldPrimary::Follows,
            Role::Replica | Role::SteppedDown => switchover::OldPrimary::Pauses,
            Role::Primary | Role::Pausing if gateway.paused => switchover::OldPrimary::Pauses,
            Role::Primary | Role::Pausing => switchover::OldPrimary::TakesWrites,
        },
    };
    let applied = offset(target.map_or(0, |node| node.stream.offset));
    let view = switchover::World {
        old,
        ready: gateway.handover == Handover::Hold,
        streaming: gateway.link == Link::Up(operation.old),
        log_end: offset(world.log.stream.offset),
        target_follows: target.is_some_and(|node| node.role == Role::Primary || link_is_up(world, node)),
        target_applied: match (world.mutant, old) {
            (Some(Mutant::DecideEarly), switchover::OldPrimary::SteppedDown { .. }) => {
                offset(world.log.stream.offset)
            }
            (Some(Mutant::DecideEarly), _) if decided => offset(world.log.stream.offset),
            _ => applied,
        },
        target_in_history: target.is_some_and(|node| node.stream.history == world.log.stream.history),
        target_is_primary: target.is_some_and(|node| node.role == Role::Primary),
        decided: operation.decided.map(|(_, cut)| offset(cut)),
        cancelled: gateway.cancelled,
        following_new: decided && gateway.following && gateway.link == Link::Up(to),
        accepted: gateway.handover == Handover::Accept,
        armed: store.armed,
        waiting_for: ticks(gateway.waiting),
        waiting_max: ticks(WAIT_MAX),
    };
    match switchover::next(&view) {
        switchover::Next::Do(step) => Some(match step {
            switchover::Step::Prepare => Deed::SetHandover(Handover::Hold),
            switchover::Step::Pause => Deed::HandOver(operation.old),
            switchover::Step::Decide { cut } => Deed::Decide(to, short(cut)),
            switchover::Step::Promote => Deed::Promote(to),
            switchover::Step::FollowNew => Deed::Follow(to),
            switchover::Step::Accept => Deed::SetHandover(Handover::Accept),
            switchover::Step::Arm => Deed::Arm(to),
            switchover::Step::Abort(_) => Deed::Abort(operation.old),
        }),
        switchover::Next::Wait(_) => None,
        switchover::Next::Done => Some(Deed::Finish),
    }
}

fn rejoin(world: &World, id: Id) -> Option<Deed> {
    let primary = world.store.primary;
    if !world.gateway.following && !world.has(Mutant::RejoinsUnfollowed) {
        return world.gateway.seen[primary].said().map(|_| Deed::Follow(primary));
    }
    let Some((node, cut)) = returning(world, id) else {
        // It is tried again when the node is back.
        return Some(Deed::Finish);
    };
    match rejoin::next(&node, &cut) {
        rejoin::Step::Shut => Some(Deed::Shut(id)),
        rejoin::Step::RescueCommands { after, to } => Some(Deed::RescueCommands {
            node: id,
            after: short(after),
            to: short(to),
        }),
        rejoin::Step::RescueSnapshot => Some(Deed::RescueSnapshot(id)),
        rejoin::Step::Attach(_) => Some(Deed::Attach(id)),
        rejoin::Step::Done
            if !world.gateway.seen[id]
                .said()
                .is_some_and(|node| link_is_up(world, node)) =>
        {
            None
        }
        rejoin::Step::Done if is_departed(world, id) => Some(Deed::Returned(id)),
        rejoin::Step::Done => Some(Deed::Finish),
    }
}

/// What a node that is to follow looks like to the planner, and where its history was left.
fn returning(world: &World, id: Id) -> Option<(rejoin::Node, rejoin::Cut)> {
    let node = world.gateway.seen[id].said()?;
    let stream = &node.stream;
    let saved =
        |rescue: &(Id, u8, u8)| (rescue.0, rescue.1) == (id, stream.history) && rescue.2 >= stream.offset;
    let departed = world.store.departed.iter().find(|departed| departed.node == id);
    let (ended, cut) = if let Some(departed) = departed {
        (departed.history, departed.cut)
    } else {
        let ours = world.log.stream.history;
        let shared = stream.before.filter(|(previous, _)| *previous == ours);
        (ours, shared.map_or(world.log.stream.offset, |(_, last)| last))
    };
    let node = rejoin::Node {
        is_primary: matches!(node.role, Role::Primary | Role::Pausing),
        shut: is_shut(world, id, node),
        follows_us: matches!(node.role, Role::Replica | Role::SteppedDown),
        history: history(stream.history),
        offset: offset(stream.offset),
        previous: stream.before.map(|(id, last)| (history(id), offset(last))),
        empty: stream.writes.is_empty(),
    };
    let cut = rejoin::Cut {
        history: history(ended),
        offset: offset(cut),
        saved: world.store.rescues.iter().any(saved) || world.has(Mutant::AttachBeforeRescue),
    };
    Some((node, cut))
}

/// Whether a replica's link to the relay stands: it has what it was given.
fn link_is_up(world: &World, node: &Node) -> bool {
    node.role == Role::Replica && node.stream.history == world.log.stream.history
}

fn ticks(ticks: u8) -> Duration {
    Duration::from_secs(u64::from(ticks))
}

fn offset(offset: u8) -> Offset {
    Offset::new(u64::from(offset))
}

fn short(offset: Offset) -> u8 {
    u8::try_from(offset.get()).expect("the model counts a few writes")
}

fn history(number: u8) -> ReplicationId {
    format!("{number:040x}")
        .parse()
        .expect("forty hexadecimal digits")
}
