//! The data plane: acknowledgements, the stream to the log, the relay to the replicas, `PSYNC` to a primary, and what a
//! node does when it is told to.

use sterna_protocol::Offset;
use sterna_replication::{Assessment, Grounds, Handover, HistoryEnd, Lineage, NodePosition, assess};

use super::gateway::{Gateway, Link, link};
use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream};
use super::now;
use super::seen::{history, offset, run_id, short};
use super::world::{Command, Log, World};

pub(super) fn acknowledge(world: &mut World) {
    if let Link::Up(id) = link(world)
        && world.reaches(id)
    {
        world.wire.ack = None;
        let links = links(world);
        world.nodes[id].acknowledged(links);
    }
}

/// How many connections to the primary the gateway keeps.
fn links(world: &World) -> u8 {
    world.gateway.as_ref().map_or(1, |gateway| gateway.shard.links)
}

/// The bytes of the primary's stream arrive.
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
    if log.continues(held.history, held.offset) {
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
    let source = match link(world) {
        Link::Up(from) if world.reaches(from) => Some(from),
        _ => None,
    };
    if !world.log.has_snapshot {
        world.log.copies_from = world.log.copies_from.or(source);
    }
    if !world.log.has_snapshot || !node.copies {
        // It is promised a snapshot, or let go where there will be none.
        world.nodes[id].copies = world.log.has_snapshot || world.log.copies_from.is_some();
        return;
    }
    let had = held.writes;
    world.nodes[id].copies = false;
    let given = world.log.stream;
    world.nodes[id].stream = given;
    world.truth.wiped = world.truth.wiped.and(had.without(given.writes));
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
            // It is a replica by then: it becomes a primary under another id.
            let history = world.new_history();
            world.nodes[id].promote(history);
        }
        (Role::SteppedDown, Handover::Accept)
            if world.log.stream.history != world.nodes[id].stream.history =>
        {
            world.nodes[id].role = Role::Replica;
        }
        _ => {}
    }
}

/// How the primary answers `PSYNC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PsyncAnswer {
    /// It continues if it may.
    Continues,
    /// Its backlog does not reach back so far: the log begins anew.
    FullCopy,
    /// The answer gets lost.
    Lost,
}

/// `PSYNC` to the primary, after its history was looked at.
pub(super) fn connect(world: &mut World, answer: PsyncAnswer) {
    let Some(id) = link(world).whom() else { return };
    let everybody = world.has(Mutant::HoldsOffEverybody);
    let forgets = world.has(Mutant::ForgetsPsync);
    let accepts = world.has(Mutant::AcceptsAnyHistory);
    // A primary that hands over is not followed again.
    let old = world.store.old();
    let (reached, node, lost) = (world.reaches(id), world.nodes[id], world.log.lost);
    let mut held = world.log.held();
    if let Some(held) = &mut held {
        held.process = held.process.filter(|_| !world.has(Mutant::ForgetsTheProcess));
    }
    let offered = lineage(id, &node);
    let Some(shard) = Gateway::shard_mut(world) else {
        return;
    };
    let held_off = shard.handover == Handover::Hold && (old == Some(id) || everybody);
    if !reached || node.role != Role::Primary || held_off {
        return;
    }
    let grounds = Grounds {
        silent_for: shard.alive_at.map(|alive| now().at.since(alive)),
        decided: shard.decided,
        accepted: accepts,
    };
    let held = held.or_else(|| offered.most_held(&shard.held_by_nodes));
    let from = lost.then(|| short(offered.first_of_use(&shard.held_by_nodes)));
    let assessment = assess(held, &offered, &grounds);
    if let Assessment::Hold(_) = assessment {
        shard.link = Link::Holding(id);
        return;
    }
    let answered = answer != PsyncAnswer::Lost;
    if answered || !forgets {
        shard.renewed_at = Some(now().at);
        shard.closed = false;
    }
    let begins = assessment == Assessment::Full
        || answer == PsyncAnswer::FullCopy
        || !may_cut_back(world, &assessment);
    if (begins || lost) && answered {
        begin_anew(world, id);
        if let Some(from) = from {
            world.log.start = from;
            world.log.ended.extend(node.stream.before);
        }
        return;
    }
    if answered {
        let shard = Gateway::shard_mut(world).expect("it runs");
        shard.link = Link::Up(id);
        shard.alive_at = Some(now().at);
        shard.heard = true;
    }
    let links = links(world);
    world.nodes[id].acknowledged(links);
    if !answered {
        world.budget.late -= 1;
        return;
    }
    world.nodes[id].young = false;
    let log = &mut world.log;
    log.process = (id, node.run);
    if node.stream.history != log.stream.history {
        let common = node.stream.before.map_or(0, |(_, last)| last);
        log.ended.push((log.stream.history, common));
        log.stream.offset = log.stream.offset.min(common);
        log.stream.history = node.stream.history;
        log.stream.writes = log.stream.writes.shared(node.stream.writes);
        log.synced = log.stream;
    }
}

fn lineage(id: Id, node: &Node) -> Lineage {
    let long = std::time::Duration::from_secs(3600);
    let stream = &node.stream;
    Lineage {
        id: history(stream.history),
        offset: offset(stream.offset),
        previous: stream.before.map(|(id, last)| (history(id), offset(last))),
        process: Some(run_id((id, node.run))),
        uptime: if node.young {
            std::time::Duration::ZERO
        } else {
            long
        },
        // Whether it reaches back far enough is among what may happen.
        backlog_from: Some(Offset::ZERO),
    }
}

fn may_cut_back(world: &World, assessment: &Assessment) -> bool {
    match assessment {
        Assessment::CutBack { to } => short(*to) >= world.log.start,
        _ => true,
    }
}

/// The log begins anew with the stream from where the primary is now. What it was sent before leads nowhere any more.
pub(super) fn begin_anew(world: &mut World, id: Id) {
    let stream = Stream {
        before: None,
        ..world.nodes[id].stream
    };
    if world.has(Mutant::CopiesOnTheLink) {
        world.nodes[id].unfollowed();
    } else {
        let links = links(world);
        world.nodes[id].acknowledged(links);
    }
    world.nodes[id].young = false;
    world.log = Log::begun(stream, (id, world.nodes[id].run));
    lives(world);
    let shard = Gateway::shard_mut(world).expect("it runs");
    shard.link = Link::Up(id);
    shard.closed = false;
    shard.renewed_at = Some(now().at);
}

/// The last byte of a full copy arrives, if its connection still stands.
pub(super) fn copy_ends(world: &mut World) {
    let Some(id) = world.log.copies_from.take() else {
        return;
    };
    world.log.has_snapshot = world.reaches(id) && world.nodes[id].stream.history == world.log.stream.history;
}

/// The shard is told whom to follow.
pub(super) fn follow(
    world: &mut World,
    whom: Option<Id>,
    decided: Option<HistoryEnd>,
    held_by_nodes: Vec<NodePosition>,
) {
    let Some(shard) = Gateway::shard_mut(world) else {
        return;
    };
    shard.decided = decided;
    shard.held_by_nodes = held_by_nodes;
    if whom.is_some() && shard.link.whom() == whom {
        return;
    }
    if let Link::Up(id) = link(world) {
        if world.reaches(id) {
            world.nodes[id].unfollowed();
        }
        lost(world, id);
        // By us.
        if let Some(shard) = Gateway::shard_mut(world) {
            shard.closed = false;
        }
    }
    world.log.copies_from = None;
    world.wire.ack = None;
    if let Some(shard) = Gateway::shard_mut(world) {
        shard.link = whom.map_or(Link::None, Link::Wanted);
    }
}

/// The connection to a node ended.
pub(super) fn lost(world: &mut World, id: Id) {
    if link(world) != Link::Up(id) {
        return;
    }
    if let Some(shard) = Gateway::shard_mut(world) {
        shard.link = Link::Wanted(id);
        shard.closed = true;
    }
    world.wire.ack = None;
}

/// Whether a node has what was decided: it may have restarted since it was looked at.
pub(super) fn has_decided(world: &World, id: Id, least: u8) -> bool {
    let stream = &world.nodes[id].stream;
    // Where the log is lost, what was decided is of the node's own history.
    let same = world.log.lost || stream.history == world.log.stream.history;
    world.has(Mutant::DecideEarly) || (same && stream.offset >= least)
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
        Command::PlaceFence { min_replicas } => node.place_fence(min_replicas),
        Command::LiftFence { run } if node.run == run => node.lift_fence(),
        Command::Promote { .. } if node.role != Role::Primary && may_promote => {
            node.promote(history);
            world.truth.histories += 1;
        }
        Command::HandOver if node.role == Role::Primary => node.role = Role::Pausing,
        Command::TakeBack if matches!(node.role, Role::Pausing | Role::SteppedDown) => {
            node.role = Role::Primary;
        }
        Command::LiftFence { .. } | Command::Promote { .. } | Command::HandOver | Command::TakeBack => {}
    }
}
