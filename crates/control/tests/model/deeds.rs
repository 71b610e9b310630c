//! How the gateway does what it decided: commands to nodes, and what it keeps, in this order, with a crash in between.

use super::data_plane::obey;
use super::environment::gateway_dies;
use super::gateway::Deed;
use super::mutants::Mutant;
use super::node::Id;
use super::world::{Answer, Command, Departed, Handover, Kind, Link, Operation, World};

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Course {
    /// As it should, as far as the node can be reached.
    Well,
    /// The gateway's process ends after the effect and before it is kept.
    Crash,
    /// The command goes out and arrives late; the gateway takes it for failed.
    Late,
}

impl Deed {
    /// The command that it sends, if it is one.
    pub(super) fn command(self) -> Option<(Id, Command)> {
        match self {
            Self::Shut(id) => Some((id, Command::Shut)),
            Self::Promote(id) => Some((id, Command::Promote)),
            Self::Arm(id) => Some((id, Command::Arm)),
            Self::HandOver(id) => Some((id, Command::HandOver)),
            Self::Abort(id) => Some((id, Command::TakeBack)),
            Self::Attach(id) => Some((id, Command::FollowRelay)),
            _ => None,
        }
    }

    /// Whether it is kept only after its effect.
    fn is_kept_after(self) -> bool {
        matches!(
            self,
            Self::Arm(_) | Self::Abort(_) | Self::RescueCommands { .. } | Self::RescueSnapshot(_)
        )
    }

    /// The ways in which it may go.
    pub(super) fn courses(self, world: &World, out: &mut Vec<Course>) {
        out.push(Course::Well);
        if world.budget.gateway_crashes > 0 && self.is_kept_after() {
            out.push(Course::Crash);
        }
        if world.budget.late > 0 && world.wire.late.is_none() && self.command().is_some() {
            out.push(Course::Late);
        }
    }

    /// Does it.
    pub(super) fn apply(self, world: &mut World, course: Course) {
        if let Some((id, command)) = self.command() {
            if course == Course::Late {
                world.budget.late -= 1;
                world.wire.late = Some((id, command));
                return;
            }
            let reached = world.reaches(id);
            if reached {
                obey(world, id, command);
                world.gateway.seen[id] = Answer::Said(world.nodes[id].as_seen());
            } else if !matches!(self, Self::Abort(_)) {
                return;
            }
        }
        if !self.take_effect(world) {
            return;
        }
        if course == Course::Crash {
            world.budget.gateway_crashes -= 1;
            gateway_dies(world, false);
            return;
        }
        self.keep(world);
    }

    /// Returns whether it could be done.
    fn take_effect(self, world: &mut World) -> bool {
        match self {
            Self::LetGo => {
                world.gateway.handover = Handover::Refuse;
                world.gateway.following = false;
                follow(world, None);
            }
            Self::Follow(id) => {
                if let Some((promised, cut)) = world.gateway.promised
                    && id == promised
                {
                    world.gateway.promised = None;
                    decide(world, id, cut);
                }
                world.gateway.following = true;
                follow(world, Some(id));
            }
            Self::Begin(kind) => begin(world, kind),
            Self::Shut(id) => world.gateway.shut[id] = Some(world.nodes[id].run),
            Self::Decide(id, cut) if world.has(Mutant::PromoteBeforeDecision) => {
                world.gateway.promised = Some((id, cut));
            }
            Self::Decide(id, cut) => decide(world, id, cut),
            Self::SetHandover(handover) => world.gateway.handover = handover,
            Self::HandOver(_) => (world.gateway.paused, world.gateway.waiting) = (true, 0),
            Self::Abort(_) => world.gateway.handover = Handover::Refuse,
            Self::RescueCommands { node, after, to } => {
                let Answer::Said(seen) = world.gateway.seen[node] else {
                    return false;
                };
                if !world.reaches(node) || world.nodes[node].stream.history != seen.stream.history {
                    return false;
                }
                world.truth.rescued = world.truth.rescued.and(seen.stream.writes.last(to - after));
            }
            Self::RescueSnapshot(id) => {
                if !world.reaches(id) {
                    return false;
                }
                world.truth.rescued = world.truth.rescued.and(world.nodes[id].stream.writes);
            }
            Self::Arm(id) | Self::Attach(id) => {
                if !world.has(Mutant::RemembersShut) {
                    world.gateway.shut[id] = None;
                }
            }
            Self::Promote(_) | Self::Finish | Self::Returned(_) => {}
        }
        true
    }

    fn keep(self, world: &mut World) {
        let store = &mut world.store;
        match self {
            Self::Arm(_) => store.armed = true,
            Self::Abort(_) | Self::Finish => {
                store.operation = None;
                let gateway = &mut world.gateway;
                (gateway.waiting, gateway.paused, gateway.cancelled) = (0, false, false);
            }
            Self::RescueCommands { node: id, .. } | Self::RescueSnapshot(id) => {
                if let Some(seen) = world.gateway.seen[id].said() {
                    store.rescues.push((id, seen.stream.history, seen.stream.offset));
                }
            }
            Self::Returned(id) => store.departed.retain(|departed| departed.node != id),
            _ => {}
        }
    }
}

/// Keeps a new operation.
pub(super) fn begin(world: &mut World, kind: Kind) {
    world.store.operation = Some(Operation {
        kind,
        decided: None,
        old: world.store.primary,
    });
    world.gateway.waiting = 0;
}

fn decide(world: &mut World, id: Id, cut: u8) {
    let history = world.log.stream.history;
    let store = &mut world.store;
    let Some(operation) = &mut store.operation else {
        return;
    };
    operation.decided = Some((id, cut));
    let old = operation.old;
    store.epoch += 1;
    store.primary = id;
    store.armed = false;
    store.departed.retain(|departed| departed.node != id);
    store.departed.push(Departed {
        node: old,
        history,
        cut,
    });
    world.gateway.following = false;
    world.truth.promised = world.nodes[id].stream.writes;
}

fn follow(world: &mut World, whom: Option<Id>) {
    if let Link::Up(id) = world.gateway.link {
        if whom == Some(id) {
            return;
        }
        if world.reaches(id) {
            world.nodes[id].unfollowed();
        }
    }
    world.wire.ack = None;
    world.gateway.link = whom.map_or(Link::None, Link::Wanted);
}
