//! What must hold, always and in the end.

use stateright::Property;

use super::deeds::Course;
use super::environment::Happens;
use super::exploration::{Action, Exploration};
use super::gateway::operate;
use super::node::{Kept, Node, Process, Role};
use super::truth::Broken;
use super::world::{Link, World};

/// So many rounds of everything are enough to bring any operation to its end.
const ROUNDS: usize = 30;

/// All of them.
pub(super) fn all() -> Vec<Property<Exploration>> {
    vec![
        Property::always("I1 one writer", |_, world: &World| {
            keeps(world, Broken::TwoWriters)
        }),
        Property::always("I3 no silent loss", |_, world: &World| {
            nothing_lost_silently(world)
        }),
        Property::always("I4 no wipe", |_, world: &World| {
            world.truth.wiped.without(world.truth.rescued).is_empty()
        }),
        Property::always(
            "the promoted node has everything up to the cut",
            |_, world: &World| keeps(world, Broken::PromotedShort),
        ),
        Property::always(
            "nobody is promoted without a durable decision",
            |_, world: &World| keeps(world, Broken::PromotedUndecided),
        ),
        Property::always("a decision is never taken back", |_, world: &World| {
            keeps(world, Broken::DecisionChanged)
        }),
        Property::always("epochs only grow", |_, world: &World| {
            keeps(world, Broken::EpochFell)
        }),
        Property::always("it converges when faults stop", |_, world: &World| {
            converges(world, false)
        }),
        Property::always("it converges when everything heals", |_, world: &World| {
            converges(world, true)
        }),
        Property::sometimes("a change of primary completes", |_, world: &World| {
            world.store.epoch > 1 && at_rest(world, false)
        }),
        Property::sometimes("the old primary comes back", |_, world: &World| {
            world.store.epoch > 1 && at_rest(world, true)
        }),
    ]
}

/// Notes what only a step shows.
pub(super) fn observe(before: &World, after: &mut World) {
    let (was, is) = (&before.store, &after.store);
    let truth = &mut after.truth;
    let fell = is.epoch < was.epoch || (is.primary != was.primary && is.epoch <= was.epoch);
    truth.break_if(fell, Broken::EpochFell);
    let decided = was.operation.and_then(|operation| operation.decided);
    let changed = match &is.operation {
        Some(operation) => operation.decided != decided,
        None => decided.map(|(id, _)| id) != Some(is.primary),
    };
    truth.break_if(decided.is_some() && changed, Broken::DecisionChanged);
    for (id, (node, now)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        if node.role == Role::Replica && now.role == Role::Primary {
            truth.break_if(is.primary != id || is.epoch == 1, Broken::PromotedUndecided);
            let lacks = truth.promised.without(now.stream.writes);
            truth.break_if(decided.is_some() && !lacks.is_empty(), Broken::PromotedShort);
        }
    }
}

fn keeps(world: &World, rule: Broken) -> bool {
    !world.truth.broken.contains(&rule)
}

/// Every acknowledged write is at the primary, in a rescue file, lost with a server's own disk, or still at an old
/// primary that is known to have it.
fn nothing_lost_silently(world: &World) -> bool {
    let (truth, store) = (&world.truth, &world.store);
    let held = world.nodes[store.primary]
        .stream
        .writes
        .and(truth.rescued)
        .and(truth.destroyed);
    let left = store.departed.iter().fold(held, |held, departed| {
        held.and(world.nodes[departed.node].stream.writes)
    });
    truth.acknowledged.without(left).is_empty()
}

/// Whether the group comes to rest with a primary that takes writes, if nothing goes wrong any more.
fn converges(world: &World, healed: bool) -> bool {
    if !healed && !ails(world) {
        // That everything heals says more then.
        return true;
    }
    let settled = settled(world, healed);
    at_rest(&settled, healed) || !could(world, healed)
}

/// What becomes of a world in which nothing goes wrong any more.
pub(super) fn settled(world: &World, healed: bool) -> World {
    let mut world = world.clone();
    if healed {
        heal(&mut world);
    }
    if !world.gateway.runs {
        Happens::GatewayStarts.apply(&mut world);
    }
    for number in 0..ROUNDS {
        if at_rest(&world, healed) {
            break;
        }
        round(&mut world, number > ROUNDS / 3);
    }
    world
}

/// Whether there is anything to mend.
fn ails(world: &World) -> bool {
    world.wire.cut_off.is_some() || world.wire.late.is_some() || !world.nodes.iter().all(Node::runs)
}

fn heal(world: &mut World) {
    world.wire.cut_off = None;
    if world.wire.late.is_some() {
        Happens::Arrive { again: false }.apply(world);
    }
    for id in 0..world.nodes.len() {
        match world.nodes[id].process {
            Process::Running => {}
            Process::Frozen => Happens::Thaw { id, queued: false }.apply(world),
            Process::Dead => Happens::Start(id, Kept::All).apply(world),
        }
    }
}

/// Whether a gateway can be expected to bring the group to rest, with what is up.
fn could(world: &World, healed: bool) -> bool {
    let mut world = world.clone();
    if healed {
        heal(&mut world);
    }
    let up = |id: usize| world.nodes[id].runs() && world.wire.cut_off != Some(id);
    let primary = world.store.primary;
    if up(primary) && follows_on(&world) {
        return true;
    }
    if world
        .store
        .operation
        .is_some_and(|operation| operation.decided.is_some())
    {
        // One that was started again after its promotion names a history that the log never heard of.
        return up(primary) && world.nodes[primary].run == 0;
    }
    let able = |id: usize| {
        up(id) && id != primary && world.store.departed.iter().all(|departed| departed.node != id)
    };
    // A fence that was never in place is left to a person.
    world.store.armed && (0..world.nodes.len()).any(able)
}

/// Whether the primary has all that the log has.
fn follows_on(world: &World) -> bool {
    let (log, primary) = (&world.log.stream, &world.nodes[world.store.primary].stream);
    let shared = |(history, last)| history == log.history && log.offset <= last;
    shared((primary.history, primary.offset)) || primary.before.is_some_and(shared)
}

fn at_rest(world: &World, healed: bool) -> bool {
    let primary = &world.nodes[world.store.primary];
    let ready = world.gateway.runs
        && world.store.operation.is_none()
        && world.store.armed
        && world.gateway.link == Link::Up(world.store.primary)
        && primary.accepts();
    if !healed {
        return ready;
    }
    let copies = world.nodes.iter().enumerate().all(|(id, node)| {
        id == world.store.primary
            || (node.role == Role::Replica && node.stream.writes == primary.stream.writes)
    });
    ready && world.store.departed.is_empty() && copies
}

/// Everything that is due happens once.
fn round(world: &mut World, long: bool) {
    let mut happens = Vec::new();
    Happens::ordinary(world, &mut happens);
    // `FAILOVER` has a timeout.
    happens.retain(|one| long || !matches!(one, Happens::GiveUp(_)));
    for one in happens {
        one.apply(world);
    }
    Action::Look.apply(world);
    if let Some(deed) = operate(world) {
        deed.apply(world, Course::Well);
    }
}
