//! What happens by itself: time, clients, the network, the data plane, and every fault.

use std::sync::Arc;

use sterna_replication::Handover;

use super::data_plane::{PsyncAnswer, acknowledge, connect, copy_ends, feed, hand_over, lost, obey, receive};
use super::gateway::{self, Gateway, Link, link};
use super::mutants::Mutant;
use super::node::{Id, Kept, LocalReplica, Process, Role};
use super::now;
use super::truth::Broken;
use super::world::World;
use crate::state::Event;

/// An acknowledgement that did not arrive after so many ticks never will: its connection is reset.
const ACK_AGE_MAX: u8 = 1;
/// The gateway is cut off from everybody for at least so many ticks: so long no look at a node goes without an answer that
/// would be missed. While the primary is silent all are looked at every 200 ms.
const ISOLATED_MIN: u8 = 2;
/// A clock that steps does so by so many ticks.
const CLOCK_STEP: u8 = 2;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Happens {
    /// Time passes.
    Tick,
    /// A client writes to this node.
    Write(Id),
    /// An acknowledgement arrives at the followed node.
    Acknowledge,
    /// The bytes of the primary's stream arrive, and the gateway takes them.
    Receive,
    /// The log is synced.
    Sync,
    /// A replica takes what the relay has for it.
    Feed(Id),
    /// A primary in `FAILOVER` goes on: steps down, or asks the relay, which answers.
    HandOver(Id),
    /// A primary in `FAILOVER` gives up and takes writes again.
    GiveUp(Id),
    /// The gateway sends `PSYNC`; perhaps it never learns the answer.
    Connect(PsyncAnswer),
    /// The last byte of a full copy arrives, or it breaks off.
    CopyEnds,
    /// The connection to the primary breaks.
    LinkBreaks,
    /// A late command arrives, and perhaps will once more.
    Arrive {
        /// It will.
        again: bool,
    },
    /// The gateway's process ends; with its host, so that what was not synced is gone.
    GatewayDies {
        /// With its host.
        host: bool,
    },
    /// Its process ends on purpose: no failover can happen without it, so the primary may go on without a lease.
    GatewayStops,
    /// It starts again, and finds its log, or the files of that damaged.
    GatewayStarts {
        /// It finds it.
        has_log: bool,
    },
    /// A node's process ends.
    Die(Id),
    /// It starts again.
    Start(Id, Kept),
    /// A node's process freezes.
    Freeze(Id),
    /// It goes on; perhaps a client's write was queued at it.
    Thaw {
        /// Which.
        id: Id,
        /// A write was queued.
        queued: bool,
    },
    /// The gateway and the node can't talk any more.
    Cut(Id),
    /// The gateway can talk to no node any more.
    Isolated,
    /// They can again.
    Heal,
    /// The replica of the primary's own service begins to hang.
    LocalHangs(Id),
    /// It goes on, or comes back.
    LocalReturns(Id),
    /// A node that nobody has followed for long takes a new id.
    Forgets(Id),
    /// A node's clock is set back by seconds.
    ClockBack(Id),
    /// Somebody who knows a secret of the group asks to follow as a primary that hands over, at the log's end.
    ForgesHandover,
    /// The wall clock of the gateway's host is set back by a day while its process is away.
    WallBack,
}

impl Happens {
    /// What could happen now by itself, without a fault.
    pub(super) fn ordinary(world: &World, out: &mut Vec<Self>) {
        out.push(Self::Tick);
        for (id, node) in world.nodes.iter().enumerate() {
            match node.role {
                Role::Primary => {}
                Role::Pausing => out.extend([Self::HandOver(id), Self::GiveUp(id)]),
                Role::SteppedDown => out.push(Self::HandOver(id)),
                Role::Replica => out.push(Self::Feed(id)),
            }
        }
        if world.gateway.is_some() {
            if world.wire.ack.is_some() {
                out.push(Self::Acknowledge);
            }
            match link(world) {
                Link::Up(_) => out.extend([Self::Receive, Self::Sync]),
                Link::Wanted(_) | Link::Holding(_) => out.push(Self::Connect(PsyncAnswer::Continues)),
                Link::None => {}
            }
            if world.log.copies_from.is_some() {
                out.push(Self::CopyEnds);
            }
        }
    }

    /// What else could happen as long as the budget allows it.
    pub(super) fn extraordinary(world: &World, out: &mut Vec<Self>) {
        let budget = &world.budget;
        for (id, node) in world.nodes.iter().enumerate() {
            if budget.writes > 0 && node.accepts() {
                out.push(Self::Write(id));
            }
            match node.process {
                Process::Dead => {
                    out.push(Self::Start(id, Kept::All));
                    if (if id == 0 {
                        budget.older_primary
                    } else {
                        budget.older_copies
                    }) > 0
                    {
                        out.push(Self::Start(id, Kept::Older));
                    }
                    if budget.lost_histories > 0 {
                        out.extend([Kept::NoHistory, Kept::Nothing].map(|kept| Self::Start(id, kept)));
                    }
                }
                Process::Frozen => out.extend([true, false].map(|queued| Self::Thaw { id, queued })),
                Process::Running => {
                    if (if id == 0 {
                        budget.crashes
                    } else {
                        budget.other_crashes
                    }) > 0
                    {
                        out.push(Self::Die(id));
                    }
                    if id == 0 && budget.freezes > 0 {
                        out.push(Self::Freeze(id));
                    }
                }
            }
        }
        let node = &world.nodes[0];
        if node.runs() {
            match node.local {
                LocalReplica::Good if budget.local_replica > 0 => out.push(Self::LocalHangs(0)),
                LocalReplica::Away | LocalReplica::Hung { .. } if budget.local_replica > 0 => {
                    out.push(Self::LocalReturns(0));
                }
                _ => {}
            }
            if budget.forgets > 0
                && link(world).whom().is_none_or(|id| link(world) != Link::Up(id))
                && !node.hears
            {
                out.push(Self::Forgets(0));
            }
            if budget.clock_steps > 0 && node.hears {
                out.push(Self::ClockBack(0));
            }
        }
        if world.wire.cut_off.is_some() || world.wire.isolated_for == Some(ISOLATED_MIN) {
            out.push(Self::Heal);
        } else if world.wire.isolated_for.is_none() {
            if budget.cuts > 0 {
                out.push(Self::Cut(0));
            }
            if budget.isolations > 0 {
                out.push(Self::Isolated);
            }
        }
        if let Some(gateway) = &world.gateway {
            if budget.forgeries > 0 && gateway.shard.handover == Handover::Hold {
                out.push(Self::ForgesHandover);
            }
            if budget.gateway_crashes > 0 {
                out.push(Self::GatewayDies { host: false });
                if budget.gateway_hosts > 0 {
                    out.push(Self::GatewayDies { host: true });
                }
            }
            if budget.gateway_stops > 0 && world.store.operation.is_none() {
                out.push(Self::GatewayStops);
            }
            if matches!(link(world), Link::Wanted(_)) {
                if budget.late > 0 {
                    out.push(Self::Connect(PsyncAnswer::Lost));
                }
                if budget.copies > 0 {
                    out.push(Self::Connect(PsyncAnswer::FullCopy));
                }
            }
            if budget.breaks > 0 && matches!(link(world), Link::Up(_)) {
                out.push(Self::LinkBreaks);
            }
        } else {
            out.extend((0..=budget.damaged_logs).map(|lost| Self::GatewayStarts { has_log: lost == 0 }));
            if budget.clock_steps > 0 && world.wall == now().wall {
                out.push(Self::WallBack);
            }
        }
        if world.wire.late.is_some() {
            out.extend([true, false].map(|again| Self::Arrive { again }));
        }
    }

    /// Lets it happen.
    pub(super) fn apply(self, world: &mut World) {
        match self {
            Self::Tick => tick(world),
            Self::Write(id) => {
                world.budget.writes -= 1;
                write(world, id, false);
            }
            Self::Acknowledge => acknowledge(world),
            Self::Receive => receive(world),
            Self::Sync => world.log.synced = world.log.stream,
            Self::Feed(id) => feed(world, id),
            Self::HandOver(id) => hand_over(world, id),
            Self::GiveUp(id) => {
                if world.nodes[id].runs() {
                    world.nodes[id].role = Role::Primary;
                }
            }
            Self::Connect(answer) => {
                world.budget.copies -= u8::from(answer == PsyncAnswer::FullCopy);
                connect(world, answer);
            }
            Self::CopyEnds => copy_ends(world),
            Self::LinkBreaks => {
                world.budget.breaks -= 1;
                if let Link::Up(id) = link(world) {
                    if world.reaches(id) {
                        world.nodes[id].unfollowed();
                    }
                    lost(world, id);
                }
            }
            Self::LocalHangs(id) => {
                world.budget.local_replica -= 1;
                world.nodes[id].local = LocalReplica::Hung { ack_age: 0 };
            }
            Self::LocalReturns(id) => {
                world.budget.local_replica -= 1;
                world.nodes[id].local = LocalReplica::Good;
            }
            Self::ForgesHandover => forge_handover(world),
            Self::Forgets(id) => {
                world.budget.forgets -= 1;
                let history = world.new_history();
                world.nodes[id].forget_history(history);
            }
            Self::ClockBack(id) => {
                world.budget.clock_steps -= 1;
                world.nodes[id].set_clock_back(CLOCK_STEP);
                world.truth.clock_steps = true;
            }
            Self::WallBack => {
                world.budget.clock_steps -= 1;
                world.wall -= jiff::SignedDuration::from_hours(24);
            }
            Self::Arrive { again } => arrive(world, again),
            Self::GatewayDies { host } => {
                world.budget.gateway_crashes -= 1;
                gateway_dies(world, host);
            }
            Self::GatewayStops => {
                world.budget.gateway_stops -= 1;
                gateway_stops(world);
            }
            Self::GatewayStarts { has_log } => gateway_starts(world, has_log),
            Self::Die(id) => {
                let budget = &mut world.budget;
                *(if id == 0 {
                    &mut budget.crashes
                } else {
                    &mut budget.other_crashes
                }) -= 1;
                world.nodes[id].die();
                // What was on its way to this process comes to no other.
                world.wire.late = world.wire.late.filter(|(at, _)| *at != id);
                if world.wire.passes(id) {
                    reset(world, id);
                }
            }
            Self::Start(id, kept) => {
                let history = world.new_history();
                let lost = world.nodes[id].start(kept, history);
                world.truth.destroyed = world.truth.destroyed.and(lost);
                reset(world, id);
            }
            Self::Freeze(id) => {
                world.budget.freezes -= 1;
                world.nodes[id].process = Process::Frozen;
            }
            Self::Thaw { id, queued } => {
                if queued && world.nodes[id].open() && world.budget.writes > 0 {
                    world.budget.writes -= 1;
                    write(world, id, true);
                }
                world.nodes[id].thaw();
            }
            Self::Cut(id) => cut(world, id),
            Self::Isolated => isolate(world),
            Self::Heal => heal(world),
        }
    }
}

fn forge_handover(world: &mut World) {
    world.budget.forgeries -= 1;
    let end = world.log.stream.offset;
    if let Some(gateway) = &mut world.gateway {
        gateway.shard.forged = Some(end);
    }
}

fn tick(world: &mut World) {
    for node in &mut world.nodes {
        node.tick();
    }
    world.wire.ack = world
        .wire
        .ack
        .map(|age| age + 1)
        .filter(|age| *age <= ACK_AGE_MAX);
    world.wire.isolated_for = world.wire.isolated_for.map(|ticks| (ticks + 1).min(ISOLATED_MIN));
    gateway::pass(world);
    // A primary that is no longer heard of is no longer told that we are there.
    if let Some(shard) = Gateway::shard_mut(world)
        && std::mem::take(&mut shard.heard)
        && let Link::Up(_) = shard.link
    {
        shard.renewed_at = Some(now().at);
        world.wire.ack = Some(0);
    }
    gateway::tell(world, Event::Tick);
}

/// The connections to a node are reset.
fn reset(world: &mut World, id: Id) {
    lost(world, id);
    if world.log.copies_from == Some(id) {
        world.log.copies_from = None;
    }
}

/// The gateway's process ends on purpose.
fn gateway_stops(world: &mut World) {
    let stops = world.gateway.as_ref().and_then(|gateway| gateway.state.on_stop());
    if let Some((unfenced, _)) = stops {
        world.store.record = Arc::new(unfenced.group);
        let primary = world.store.primary();
        if world.reaches(primary) {
            let lifts_for_good = world.has(Mutant::LiftsForGood);
            let node = &mut world.nodes[primary];
            node.min_replicas = 0;
            if lifts_for_good {
                node.min_replicas_in_file = 0;
            }
        }
    }
    gateway_dies(world, false);
}

pub(super) fn write(world: &mut World, id: Id, woken: bool) {
    let number = world.truth.numbers;
    world.truth.numbers += 1;
    world.nodes[id].write(number);
    world.truth.acknowledged = world.truth.acknowledged.with(number);
    let epoch = u8::try_from(world.store.record.epoch.0).expect("a few epochs");
    if woken || world.truth.clock_steps {
        world.truth.woken = world.truth.woken.with(number);
        return;
    }
    match world.truth.writer {
        Some((term, other)) if term == epoch && other != id => world.truth.break_if(true, Broken::TwoWriters),
        _ => world.truth.writer = Some((epoch, id)),
    }
}

fn arrive(world: &mut World, again: bool) {
    if let Some((id, command)) = world.wire.late
        && world.nodes[id].runs()
        && world.wire.passes(id)
    {
        if !again {
            world.wire.late = None;
        } else if world.budget.late == 0 {
            return;
        } else {
            world.budget.late -= 1;
        }
        obey(world, id, command);
    }
}

fn gateway_starts(world: &mut World, has_log: bool) {
    if !has_log {
        world.budget.damaged_logs -= 1;
        world.log.lose();
    }
    gateway::start(world);
}

/// What was in the gateway's memory is gone; its connections are reset.
pub(super) fn gateway_dies(world: &mut World, host: bool) {
    if host {
        world.log.stream = world.log.synced;
    }
    if let Link::Up(id) = link(world)
        && !host
        && world.wire.passes(id)
        && world.nodes[id].runs()
    {
        world.nodes[id].unfollowed();
    }
    // A snapshot that never became whole is not found again; the log is.
    world.log.copies_from = None;
    for node in &mut world.nodes {
        node.copies = false;
    }
    world.gateway = None;
    world.wire.ack = None;
    world.store.unsynced = None;
}

fn cut(world: &mut World, id: Id) {
    world.budget.cuts -= 1;
    world.truth.was_cut_off = true;
    world.wire.cut_off = Some(id);
}

fn isolate(world: &mut World) {
    world.budget.isolations -= 1;
    world.truth.was_isolated = true;
    world.wire.isolated_for = Some(0);
}

fn heal(world: &mut World) {
    world.wire.cut_off = None;
    world.wire.isolated_for = None;
}
