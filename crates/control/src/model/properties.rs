//! What must hold, always and in the end.

use std::collections::HashSet;
use std::sync::Mutex;

use stateright::Property;

use super::environment::Happens;
use super::exploration::{Action, Exploration};
use super::gateway::{Link, link};
use super::node::{Id, Kept, Node, Process, Role};
use super::now;
use super::seen::offset;
use super::truth::Broken;
use super::work::Course;
use super::world::{Store, World, id_of};
use crate::known::Missing;
use crate::plan::fence;
use crate::plan::health::{Cause, Verdict};

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
        Property::always("a report never understates the loss", |_, world: &World| {
            keeps(world, Broken::LossUnderstated)
        }),
        Property::always("a primary that went on is not left", |_, world: &World| {
            keeps(world, Broken::LeftInService)
        }),
        Property::always("a full copy closes no primary", |_, world: &World| {
            keeps(world, Broken::ClosedByCopy)
        }),
        Property::always("epochs only grow", |_, world: &World| {
            keeps(world, Broken::EpochFell)
        }),
        Property::always(
            "it converges when faults stop",
            |exploration: &Exploration, world: &World| converges(exploration, world, false),
        ),
        Property::always(
            "it converges when everything heals",
            |exploration: &Exploration, world: &World| converges(exploration, world, true),
        ),
    ]
}

/// What is seen where something happens after which the primary is changed.
pub(super) fn changes() -> [Property<Exploration>; 2] {
    [
        Property::sometimes("a change of primary completes", |_, world: &World| {
            world.store.record.epoch.0 > 1 && at_rest(world, false)
        }),
        Property::sometimes("the old primary comes back", |_, world: &World| {
            world.store.record.epoch.0 > 1 && at_rest(world, true)
        }),
    ]
}

/// Notes what only a step shows.
pub(super) fn observe(before: &World, after: &mut World) {
    let (was, is) = (&before.store, &after.store);
    let truth = &mut after.truth;
    let changed = is.primary() != was.primary();
    let (old, new) = (was.record.epoch, is.record.epoch);
    truth.break_if(new < old || (changed && new <= old), Broken::EpochFell);
    let decided = was.decided();
    let id = |store: &Store| store.operation.as_ref().map(|operation| operation.id);
    let taken_back = match id(is) {
        Some(_) if id(is) == id(was) => is.decided() != decided,
        _ => decided.map(|(id, _)| id) != Some(is.primary()),
    };
    // One that was never promoted, and can't be, is given up; one that lost its data is left as any other primary.
    let stands = |(id, _): (Id, u64)| before.nodes[id].role == Role::Primary && before.nodes[id].run == 0;
    truth.break_if(decided.is_some_and(stands) && taken_back, Broken::DecisionChanged);
    let begins = is.operation.is_some() && was.operation.is_none();
    let gateway = after.gateway.as_ref();
    let cause = gateway.map(|gateway| gateway.state.verdict());
    let lost_data = matches!(cause, Some(Verdict::FailOver(Cause::LostItsData)));
    let went_on = after.nodes[is.primary()].run == 0
        && after.nodes[is.primary()].stream.offset >= after.log.stream.offset;
    truth.break_if(begins && lost_data && went_on && !changed, Broken::LeftInService);
    if let Link::Up(id) = link(after) {
        let copies = |world: &World| (world.log.start, world.log.copies_from, world.log.has_snapshot);
        let (node, now) = (&before.nodes[id], &after.nodes[id]);
        let closes = copies(before) != copies(after) && node.open() && !now.open();
        let begins = before.log.start != after.log.start;
        after
            .truth
            .break_if(closes || (begins && !now.hears), Broken::ClosedByCopy);
    }
    let truth = &mut after.truth;
    // Clients reached it all the time, and so can we.
    let left = was.primary();
    let lives = after.nodes[left].run == 0 && after.nodes[left].runs() && after.wire.passes(left);
    let isolated = before.truth.was_isolated && lives;
    truth.break_if(changed && isolated && !truth.was_cut_off, Broken::LeftInService);
    for (id, (node, now)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        if node.role == Role::Replica && now.role == Role::Primary {
            truth.break_if(is.primary() != id || new.0 == 1, Broken::PromotedUndecided);
            let forced = is.operation.as_ref().is_some_and(|operation| operation.force);
            let others = after.nodes.iter().enumerate();
            let open = others
                .filter(|(other, node)| *other != id && node.accepts())
                .count();
            truth.break_if(open > 0 && !forced && !truth.clock_steps, Broken::TwoWriters);
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
    let held = world.nodes[store.primary()]
        .stream
        .writes
        .and(truth.rescued)
        .and(truth.destroyed);
    let former = store.record.former_primaries();
    let left = former.fold(held, |held, former| {
        held.and(world.nodes[id_of(&former.service)].stream.writes)
    });
    truth.acknowledged.without(left).is_empty()
}

/// Whether the group comes to rest with a primary that takes writes, if nothing goes wrong any more.
fn converges(exploration: &Exploration, world: &World, healed: bool) -> bool {
    if !healed && !ails(world) {
        // That everything heals says more then.
        return true;
    }
    let mut world = world.clone();
    if healed {
        heal(&mut world);
    }
    // What would not come to rest takes every round to find that out.
    !could(&world) || settles(&exploration.settling[usize::from(healed)], world, healed)
}

/// States that are known to come to rest, by their fingerprints: whatever leads to one of them does so too.
pub(super) type Settling = Mutex<HashSet<(u64, bool)>>;

/// Whether a world in which nothing goes wrong any more comes to rest.
fn settles(known: &Settling, mut world: World, healed: bool) -> bool {
    if world.gateway.is_none() {
        Action::Happens(Happens::GatewayStarts { has_log: true }).apply(&mut world);
    }
    let mut passed = Vec::new();
    for number in 0..ROUNDS {
        let long = number > ROUNDS / 3;
        let print = (world.print(), long);
        let is_known = || known.lock().is_ok_and(|known| known.contains(&print));
        if at_rest(&world, healed) || is_known() {
            if let Ok(mut known) = known.lock() {
                known.extend(passed);
            }
            return true;
        }
        passed.push(print);
        round(&mut world, long);
    }
    false
}

/// Whether there is anything to mend.
fn ails(world: &World) -> bool {
    world.wire.cut_off.is_some()
        || world.wire.isolated_for.is_some()
        || world.wire.late.is_some()
        || !world.nodes.iter().all(Node::runs)
}

fn heal(world: &mut World) {
    world.wire.cut_off = None;
    world.wire.isolated_for = None;
    if world.wire.late.is_some() {
        Action::Happens(Happens::Arrive { again: false }).apply(world);
    }
    for id in 0..world.nodes.len() {
        match world.nodes[id].process {
            Process::Running => {}
            Process::Frozen => Action::Happens(Happens::Thaw { id, queued: false }).apply(world),
            Process::Dead => Action::Happens(Happens::Start(id, Kept::All)).apply(world),
        }
    }
}

/// Whether a gateway can be expected to bring the group to rest, with what is up.
fn could(world: &World) -> bool {
    let up = |id: usize| world.nodes[id].runs() && world.wire.passes(id);
    let primary = world.store.primary();
    if world.log.lost {
        // What the replicas hold stands for it, once they have said so; who takes over without it is for a person to decide.
        return (0..world.nodes.len()).all(up) && replicas_are_continued(world, primary);
    }
    if up(primary) && follows_on(world, primary) {
        return true;
    }
    // One that was started again after its promotion names a history that the log never heard of: another has to take over.
    if world.store.decided().is_some() && up(primary) && world.nodes[primary].run == 0 {
        return true;
    }
    // What a node of an earlier history lacks of the one that begins with a copy is for a person to judge.
    let in_history = |id: usize| {
        let stream = &world.nodes[id].stream;
        if world.store.is_former(id) {
            // Somebody else may have gone on from what it has.
            return follows_on(world, id);
        }
        world.log.covers(stream.history, stream.offset)
    };
    let able = |id: usize| up(id) && id != primary && in_history(id) && loss_can_be_told(world, id);
    // A fence that was never in place is left to a person, but for a primary that answers: its writes can be blocked.
    (world.store.shard().fence_in_place || up(primary)) && (0..world.nodes.len()).any(able)
}

/// Whether the gateway knows since when a node lacks what it lacks, or can give it that.
fn loss_can_be_told(world: &World, id: usize) -> bool {
    let stream = &world.nodes[id].stream;
    let gateway = world.gateway.as_ref();
    let remembers = || {
        gateway.is_some_and(|gateway| {
            let stream_of_primary = &gateway.state.known().primary_stream;
            stream_of_primary.missing(offset(stream.offset)) != Missing::Forgotten
        })
    };
    world.log.has_snapshot || stream.offset >= world.log.start || remembers()
}

/// Whether the fence stands where somebody is fit to take over, and not where nobody is, if it is lifted at all here.
fn fence_is_right(world: &World) -> bool {
    let gateway = world.gateway.as_ref();
    let protects = gateway.is_some_and(|gateway| fence::protects(gateway.state.known(), now().at));
    let in_place = world.store.shard().fence_in_place;
    in_place == protects || (in_place && !world.lifts_fence)
}

/// Whether a node has all that the replicas have.
fn replicas_are_continued(world: &World, id: Id) -> bool {
    let stream = &world.nodes[id].stream;
    world.nodes.iter().all(|node| {
        let held = &node.stream;
        node.role != Role::Replica || (held.history == stream.history && held.offset <= stream.offset)
    })
}

/// Whether a node has all that the log has.
fn follows_on(world: &World, id: Id) -> bool {
    let (log, stream) = (&world.log.stream, &world.nodes[id].stream);
    let shared = |(history, last)| history == log.history && log.offset <= last;
    shared((stream.history, stream.offset)) || stream.before.is_some_and(shared)
}

fn at_rest(world: &World, healed: bool) -> bool {
    let primary_id = world.store.primary();
    let primary = &world.nodes[primary_id];
    let ready = world.gateway.is_some()
        && world.store.operation.is_none()
        && fence_is_right(world)
        && link(world) == Link::Up(primary_id)
        && primary.accepts();
    if !healed {
        return ready;
    }
    let copies = world.nodes.iter().enumerate().all(|(id, node)| {
        id == primary_id || (node.role == Role::Replica && node.stream.writes == primary.stream.writes)
    });
    ready && world.store.record.former_primaries().next().is_none() && copies
}

/// Everything that is due happens once. The gateway looks far more often than time passes.
fn round(world: &mut World, long: bool) {
    Action::Look.apply(world);
    let mut happens = Vec::new();
    Happens::ordinary(world, &mut happens);
    // `FAILOVER` has a timeout.
    happens.retain(|one| long || !matches!(one, Happens::GiveUp(_)));
    for one in happens {
        Action::Happens(one).apply(world);
    }
    Action::Look.apply(world);
    Action::Works(Course::Well).apply(world);
}
