//! The data plane: acknowledgements, the stream to the log, the relay to the replicas, `PSYNC` to a primary, and what a
//! node does when it is told to.

use sterna_replication::Handover;

use super::gateway::{Gateway, Link, Shard, link};
use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream};
use super::now;
use super::world::{Command, World};

pub(super) fn acknowledge(world: &mut World) {
    if let Link::Up(id) = link(world)
        && world.reaches(id)
    {
        world.wire.ack = None;
        world.nodes[id].acknowledged();
    }
}

pub(super) fn receive(world: &mut World) {
    if let Link::Up(id) = link(world)
        && world.reaches(id)
        && matches!(world.nodes[id].role, Role::Primary | Role::Pausing)
    {
        lives(world);
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

/// The primary showed a sign of life.
pub(super) fn lives(world: &mut World) {
    if let Some(shard) = Gateway::shard_mut(world) {
        shard.alive_at = Some(now().at);
        shard.heard = true;
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
    let Some(gateway) = &mut world.gateway else { return };
    match (world.nodes[id].role, gateway.shard.handover) {
        (Role::Pausing, Handover::Hold)
            if gateway.shard.link == Link::Up(id)
                && world.log.synced.offset == world.nodes[id].stream.offset =>
        {
            world.nodes[id].role = Role::SteppedDown;
            world.nodes[id].unfollowed();
            gateway.shard.link = Link::Wanted(id);
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
    let Some(id) = link(world).whom() else { return };
    let everybody = world.has(Mutant::HoldsOffEverybody);
    let forgets = world.has(Mutant::ForgetsPsync);
    // A primary that hands over is not followed again.
    let old = world.store.old();
    let (reached, node, held) = (world.reaches(id), world.nodes[id], world.log.stream);
    let Some(shard) = Gateway::shard_mut(world) else {
        return;
    };
    let held_off = shard.handover == Handover::Hold && (old == Some(id) || everybody);
    if !reached || node.role != Role::Primary || held_off {
        return;
    }
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
        shard.link = Link::Holding(id);
        return;
    }
    if answered {
        shard.link = Link::Up(id);
        shard.alive_at = Some(now().at);
        shard.heard = true;
    }
    if answered || !forgets {
        shard.renewed_at = Some(now().at);
    }
    world.nodes[id].acknowledged();
    if !answered {
        world.budget.late -= 1;
        return;
    }
    world.nodes[id].young = false;
    let log = &mut world.log;
    if let Some(common) = common.filter(|_| node.stream.history != held.history) {
        log.ended.push((held.history, common));
        log.stream.history = node.stream.history;
        log.stream.offset = held.offset.min(common);
        log.stream.writes = held.writes.shared(node.stream.writes);
        log.synced = log.stream;
    }
}

/// The shard is told whom to follow.
pub(super) fn follow(world: &mut World, whom: Option<Id>) {
    if let Link::Up(id) = link(world) {
        if whom == Some(id) {
            return;
        }
        if world.reaches(id) {
            world.nodes[id].unfollowed();
        }
    }
    world.wire.ack = None;
    if let Some(shard) = Gateway::shard_mut(world) {
        shard.link = whom.map_or(Link::None, Link::Wanted);
    }
}

/// The connection to a node was reset.
pub(super) fn lost(shard: &mut Shard, id: Id) -> bool {
    let up = shard.link == Link::Up(id);
    if up {
        shard.link = Link::Wanted(id);
    }
    up
}

/// Whether a node has what was decided: it may have restarted since it was looked at.
pub(super) fn has_decided(world: &World, id: Id, least: u8) -> bool {
    let stream = &world.nodes[id].stream;
    world.has(Mutant::DecideEarly) || (stream.history == world.log.stream.history && stream.offset >= least)
}

/// A node does as it is told.
pub(super) fn obey(world: &mut World, id: Id, command: Command) {
    let history = world.truth.histories;
    let may_promote = match command {
        Command::Promote { least } => has_decided(world, id, least),
        _ => false,
    };
    let node = &mut world.nodes[id];
    match command {
        Command::BlockWrites => node.blocked = true,
        Command::FollowRelay => node.follow_relay(),
        Command::PlaceFence => node.place_fence(),
        Command::Promote { .. } if node.role != Role::Primary && may_promote => {
            node.promote(history);
            world.truth.histories += 1;
        }
        Command::HandOver if node.role == Role::Primary => node.role = Role::Pausing,
        Command::TakeBack if matches!(node.role, Role::Pausing | Role::SteppedDown) => {
            node.role = Role::Primary;
        }
        Command::Promote { .. } | Command::HandOver | Command::TakeBack => {}
    }
}
