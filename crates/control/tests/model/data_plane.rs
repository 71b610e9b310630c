//! The data plane: acknowledgements, the stream to the log, the relay to the replicas, `PSYNC` to a primary, and what a
//! node does when it is told to.

use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream};
use super::world::{Command, Handover, Link, World};

pub(super) fn acknowledge(world: &mut World) {
    if let Link::Up(id) = world.gateway.link
        && world.reaches(id)
    {
        world.wire.ack = None;
        world.nodes[id].acknowledged();
    }
}

pub(super) fn receive(world: &mut World) {
    if let Link::Up(id) = world.gateway.link
        && world.reaches(id)
        && matches!(world.nodes[id].role, Role::Primary | Role::Pausing)
    {
        world.gateway.quiet = 0;
        world.log.stream = Stream {
            before: None,
            ..world.nodes[id].stream
        };
        if world.budget.gateway_crashes == 0 && world.nodes[id].role != Role::Pausing {
            // It makes no difference any more.
            world.log.synced = world.log.stream;
        }
    }
}

/// The relay gives a replica what it lacks: the rest of the stream, or a full copy.
pub(super) fn feed(world: &mut World, id: Id) {
    if !world.reaches(id) {
        return;
    }
    let (node, log) = (world.nodes[id], &world.log);
    let held = node.stream;
    if log.covers(held.history, held.offset) {
        if held.offset > log.stream.offset {
            return;
        }
        let before = if held.history == log.stream.history {
            held.before
        } else {
            Some((held.history, held.offset))
        };
        world.nodes[id].stream = Stream { before, ..log.stream };
        return;
    }
    let whole = |other: &Node| {
        other.runs() && other.stream.history == log.stream.history && other.stream.offset == log.stream.offset
    };
    let others = world
        .nodes
        .iter()
        .enumerate()
        .any(|(other, node)| other != id && world.reaches(other) && whole(node));
    if others {
        let had = world.nodes[id].stream.writes;
        world.nodes[id].stream = log.stream;
        world.truth.wiped = world.truth.wiped.and(had.without(log.stream.writes));
    }
}

pub(super) fn hand_over(world: &mut World, id: Id) {
    if !world.reaches(id) {
        return;
    }
    match (world.nodes[id].role, world.gateway.handover) {
        (Role::Pausing, Handover::Hold)
            if world.gateway.link == Link::Up(id)
                && world.log.synced.offset == world.nodes[id].stream.offset =>
        {
            world.nodes[id].role = Role::SteppedDown;
            world.nodes[id].unfollowed();
            world.gateway.link = Link::Wanted(id);
            world.wire.ack = None;
        }
        (Role::SteppedDown, Handover::Refuse) => {
            world.nodes[id].role = Role::Primary;
        }
        (Role::SteppedDown, Handover::Accept)
            if world.log.stream.history != world.nodes[id].stream.history =>
        {
            world.nodes[id].role = Role::Replica;
        }
        _ => {}
    }
}

/// `PSYNC` to the primary, after its history was looked at.
pub(super) fn connect(world: &mut World, answered: bool) {
    let Some(id) = world.gateway.link.whom() else {
        return;
    };
    // A primary that hands over is not followed again.
    let old = world.store.operation.map(|operation| operation.old);
    let held_off =
        world.gateway.handover == Handover::Hold && (old == Some(id) || world.has(Mutant::HoldsOffEverybody));
    if !world.reaches(id) || world.nodes[id].role != Role::Primary || held_off {
        return;
    }
    let (held, node) = (world.log.stream, world.nodes[id]);
    let common = if node.stream.history == held.history {
        Some(node.stream.offset)
    } else {
        node.stream
            .before
            .filter(|(id, _)| *id == held.history)
            .map(|(_, last)| last)
    };
    let continues = match common {
        Some(common) if held.offset <= common => true,
        Some(_) => !node.young && node.stream.history != held.history,
        None => false,
    };
    if !continues {
        world.gateway.link = Link::Holding(id);
        world.gateway.lost_data = true;
        return;
    }
    world.nodes[id].acknowledged();
    if !answered {
        world.budget.late -= 1;
        return;
    }
    world.nodes[id].young = false;
    world.gateway.link = Link::Up(id);
    world.gateway.lost_data = false;
    world.gateway.renewed = 0;
    world.gateway.quiet = 0;
    let log = &mut world.log;
    if let Some(common) = common.filter(|_| node.stream.history != held.history) {
        log.ended.push((held.history, common));
        log.stream.history = node.stream.history;
        log.stream.offset = held.offset.min(common);
        log.stream.writes = held.writes.shared(node.stream.writes);
        log.synced = log.stream;
    }
}

/// The step looks at the node itself before it promotes it: it may have restarted since.
fn may_promote(world: &World, id: Id) -> bool {
    let decided = world
        .store
        .operation
        .as_ref()
        .and_then(|operation| operation.decided);
    let Some((_, cut)) = decided.or(world.gateway.promised) else {
        return true;
    };
    let stream = &world.nodes[id].stream;
    world.has(Mutant::DecideEarly) || (stream.history == world.log.stream.history && stream.offset >= cut)
}

/// A node does as it is told.
pub(super) fn obey(world: &mut World, id: Id, command: Command) {
    let history = world.truth.histories;
    let may_promote = may_promote(world, id);
    let node = &mut world.nodes[id];
    match command {
        Command::Shut => node.shut = true,
        Command::FollowRelay => node.follow_relay(),
        Command::Arm => node.arm(),
        Command::Promote if node.role != Role::Primary && may_promote => {
            node.promote(history);
            world.truth.histories += 1;
        }
        Command::HandOver if node.role == Role::Primary => node.role = Role::Pausing,
        Command::TakeBack if matches!(node.role, Role::Pausing | Role::SteppedDown) => {
            node.role = Role::Primary;
        }
        Command::Promote | Command::HandOver | Command::TakeBack => {}
    }
}
