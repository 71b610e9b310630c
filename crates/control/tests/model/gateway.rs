//! What the gateway makes of what it knows: the views that the planner is asked about, and the deed that follows.
//!
//! This mirrors the glue of the product, with the planner of the product.

use std::time::Duration;

use sterna_control::plan::{NodeId, failover, health, rejoin, switchover};
use sterna_protocol::{Offset, ReplicationId};

use super::mutants::Mutant;
use super::node::{Id, Node, Role};
use super::world::{Answer, Departed, Handover, Link, Operation, World};
use super::{DOWN_AFTER, LEASE_WAIT, WAIT_MAX};

/// What the gateway does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Follow this node, or none.
    Follow(Option<Id>),
    /// Begin a failover.
    Begin,
    /// Shut a node to writes.
    Shut(Id),
    /// Keep a decision.
    Decide(Id, u8),
    /// Make a node a primary.
    Promote(Id),
    /// Put the fence in place, and keep that it is.
    Arm(Id),
    /// End a failover that is no longer needed.
    CallOff,
    /// What the relay does about a primary that hands over.
    SetHandover(Handover),
    /// `FAILOVER TO` the relay.
    HandOver(Id),
    /// Take a switchover back.
    Abort,
    /// The operation is done.
    Finish,
    /// Save what a node that was left behind was seen to have beyond the cut, from its backlog.
    RescueCommands(Id),
    /// Save all that it has.
    RescueSnapshot(Id),
    /// Let it follow.
    Attach(Id),
    /// It follows.
    Returned(Id),
}

/// What the gateway would do now for the operation that is under way, or for the group's health.
pub fn operate(world: &World, mutant: Option<Mutant>) -> Option<Deed> {
    match &world.store.operation {
        Some(operation) => match operation.switchover_to {
            Some(to) => switch_over(world, operation, to, mutant),
            None => fail_over(world, operation, mutant),
        },
        None => routine(world),
    }
}

/// What it would do now for a node that is not as it should be.
pub fn mend(world: &World, mutant: Option<Mutant>) -> Option<Deed> {
    for departed in &world.store.departed {
        if let Some(node) = world.gateway.seen[departed.node].said() {
            return take_back(departed, node, mutant);
        }
    }
    if world.store.operation.is_some() {
        return None;
    }
    let astray = |(id, answer): (Id, &Answer)| {
        let node = answer.said()?;
        (id != world.store.primary && node.role == Role::Primary).then_some(Deed::Attach(id))
    };
    world.gateway.seen.iter().enumerate().find_map(astray)
}

fn routine(world: &World) -> Option<Deed> {
    let (gateway, store) = (&world.gateway, &world.store);
    if gateway.handover != Handover::Refuse {
        return Some(Deed::SetHandover(Handover::Refuse));
    }
    if gateway.link.whom() != Some(store.primary) {
        return Some(Deed::Follow(Some(store.primary)));
    }
    match health::judge(&sight(world), &circumstances(world)) {
        health::Verdict::FailOver(_) => Some(Deed::Begin),
        health::Verdict::Healthy if !store.armed && gateway.link == Link::Up(store.primary) => {
            Some(Deed::Arm(store.primary))
        }
        _ => None,
    }
}

fn sight(world: &World) -> health::Sight {
    let primary = world.store.primary;
    health::Sight {
        sign: match world.gateway.seen[primary] {
            Answer::Unknown => health::Sign::Unknown,
            Answer::Refused => health::Sign::Refused,
            Answer::Silent => health::Sign::Silent,
            Answer::Said(node) => match node.role {
                Role::Primary | Role::Pausing => health::Sign::Primary,
                Role::SteppedDown | Role::Replica => health::Sign::Replica,
            },
        },
        quiet_for: ticks(world.gateway.quiet),
        lost_its_data: world.gateway.link == Link::Holding(primary),
    }
}

fn circumstances(world: &World) -> health::Circumstances {
    let candidates = candidates(world, world.store.primary);
    health::Circumstances {
        down_after: ticks(DOWN_AFTER),
        sentinel_grace: None,
        automatic: true,
        paused: false,
        since_change: ticks(LEASE_WAIT),
        pause: Duration::ZERO,
        candidates: candidates.iter().filter(|candidate| candidate.answers && candidate.in_history).count(),
        anybody_answers: world.gateway.seen.iter().any(|answer| answer.said().is_some()),
        loss: Duration::ZERO,
        loss_max: ticks(1),
        unfenced: !world.store.armed,
    }
}

fn candidates(world: &World, old: Id) -> Vec<failover::Candidate> {
    let may = |id: Id| id != old && !world.store.departed.iter().any(|departed| departed.node == id);
    let of = |(id, answer): (Id, &Answer)| {
        let node = answer.said();
        failover::Candidate {
            node: NodeId(id),
            preference: id,
            answers: node.is_some(),
            in_history: node.is_some_and(|node| node.stream.history == world.log.stream.history),
            applied: offset(node.map_or(0, |node| node.stream.offset)),
            is_primary: node.is_some_and(|node| node.role == Role::Primary),
        }
    };
    let all = world.gateway.seen.iter().enumerate();
    all.filter(|(id, _)| may(*id)).map(of).collect()
}

/// Whether what a primary says of itself continues the log.
fn continues(world: &World, node: &Node) -> bool {
    let log = &world.log.stream;
    let common = if node.stream.history == log.history {
        Some(node.stream.offset)
    } else {
        node.stream.before.filter(|(id, _)| *id == log.history).map(|(_, last)| last)
    };
    common.is_some_and(|common| log.offset <= common)
}

fn fail_over(world: &World, operation: &Operation, mutant: Option<Mutant>) -> Option<Deed> {
    let (gateway, store) = (&world.gateway, &world.store);
    let old = gateway.seen[operation.old];
    let decided = operation.decided.or(gateway.promised);
    let left = LEASE_WAIT - gateway.renewed.min(LEASE_WAIT);
    let view = failover::World {
        old: match old {
            Answer::Refused => failover::OldPrimary::Gone,
            Answer::Silent | Answer::Unknown => failover::OldPrimary::Silent,
            Answer::Said(node) => match node.role {
                Role::Replica | Role::SteppedDown => failover::OldPrimary::Shut,
                Role::Primary | Role::Pausing if node.shut => failover::OldPrimary::Shut,
                Role::Primary | Role::Pausing => failover::OldPrimary::Answers,
            },
        },
        fence: match mutant {
            Some(Mutant::NoLeaseWait) => failover::Fence::Lease { left: Duration::ZERO },
            _ if store.armed => failover::Fence::Lease { left: ticks(left) },
            _ => failover::Fence::NotArmed,
        },
        following_old: gateway.link.whom() == Some(operation.old),
        log_end: offset(world.log.stream.offset),
        candidates: candidates(world, operation.old),
        only: None,
        forced: operation.forced,
        by_person: operation.by_person,
        old_recovered: old
            .said()
            .is_some_and(|node| node.role == Role::Primary && !node.shut && continues(world, node)),
        decided: decided.map(|(id, _)| NodeId(id)),
        following_new: decided.is_some_and(|(id, _)| gateway.link == Link::Up(id)),
        armed: decided.is_some() && store.armed && operation.decided.is_some(),
        running_for: ticks(gateway.waiting),
    };
    match failover::next(&view) {
        failover::Next::Do(step) => Some(match step {
            failover::Step::StopFollowing => Deed::Follow(None),
            failover::Step::ShutOld => Deed::Shut(operation.old),
            failover::Step::Decide { node, cut } => Deed::Decide(node.0, short(cut)),
            failover::Step::Promote(node) => Deed::Promote(node.0),
            failover::Step::FollowNew(node) => Deed::Follow(Some(node.0)),
            failover::Step::Arm(node) => Deed::Arm(node.0),
        }),
        failover::Next::Wait(_) => None,
        failover::Next::CallOff => Some(Deed::CallOff),
        failover::Next::Done => Some(Deed::Finish),
    }
}

fn switch_over(world: &World, operation: &Operation, to: Id, mutant: Option<Mutant>) -> Option<Deed> {
    let (gateway, store) = (&world.gateway, &world.store);
    let decided = operation.decided.is_some();
    let target = gateway.seen[to].said();
    let old = match gateway.seen[operation.old].said() {
        None => switchover::OldPrimary::Unknown,
        Some(node) => match node.role {
            Role::Primary => switchover::OldPrimary::TakesWrites,
            Role::Pausing => switchover::OldPrimary::Pauses,
            Role::SteppedDown => switchover::OldPrimary::SteppedDown {
                offset: offset(node.stream.offset),
            },
            Role::Replica => switchover::OldPrimary::Follows,
        },
    };
    let applied = offset(target.map_or(0, |node| node.stream.offset));
    let view = switchover::World {
        old,
        ready: gateway.handover == Handover::Hold,
        streaming: gateway.link == Link::Up(operation.old),
        log_end: offset(world.log.stream.offset),
        target_follows: target.is_some_and(|node| {
            node.role == Role::Replica && world.log.covers(node.stream.history, node.stream.offset)
        }),
        target_applied: match (mutant, old) {
            (Some(Mutant::DecideEarly), switchover::OldPrimary::SteppedDown { .. }) => offset(world.log.stream.offset),
            _ => applied,
        },
        target_is_primary: target.is_some_and(|node| node.role == Role::Primary),
        decided,
        cancelled: operation.cancelled,
        following_new: gateway.link == Link::Up(to),
        accepted: gateway.handover == Handover::Accept,
        armed: decided && store.armed,
        waiting_for: ticks(gateway.waiting),
        waiting_max: ticks(WAIT_MAX),
    };
    match switchover::next(&view) {
        switchover::Next::Do(step) => Some(match step {
            switchover::Step::Prepare => Deed::SetHandover(Handover::Hold),
            switchover::Step::Pause => Deed::HandOver(operation.old),
            switchover::Step::Decide { cut } => Deed::Decide(to, short(cut)),
            switchover::Step::Promote => Deed::Promote(to),
            switchover::Step::FollowNew => Deed::Follow(Some(to)),
            switchover::Step::Accept => Deed::SetHandover(Handover::Accept),
            switchover::Step::Arm => Deed::Arm(to),
            switchover::Step::Abort(_) => Deed::Abort,
        }),
        switchover::Next::Wait(_) => None,
        switchover::Next::Done => Some(Deed::Finish),
    }
}

fn take_back(departed: &Departed, node: &Node, mutant: Option<Mutant>) -> Option<Deed> {
    let view = rejoin::Node {
        is_primary: node.role == Role::Primary,
        shut: node.shut,
        follows_us: node.role == Role::Replica,
        history: history(node.stream.history),
        offset: offset(node.stream.offset),
        previous: node.stream.before.map(|(id, last)| (history(id), offset(last))),
        empty: node.stream.writes.is_empty(),
    };
    let cut = rejoin::Cut {
        history: history(departed.history),
        offset: offset(departed.cut),
        saved: departed.saved || mutant == Some(Mutant::AttachBeforeRescue),
    };
    Some(match rejoin::next(&view, &cut) {
        rejoin::Step::Shut => Deed::Shut(departed.node),
        rejoin::Step::RescueCommands { .. } => Deed::RescueCommands(departed.node),
        rejoin::Step::RescueSnapshot(_) => Deed::RescueSnapshot(departed.node),
        rejoin::Step::Attach(_) => Deed::Attach(departed.node),
        rejoin::Step::Done => Deed::Returned(departed.node),
    })
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
    format!("{number:040x}").parse().expect("forty hexadecimal digits")
}
