//! How the gateway does what it decided: commands to nodes, and what it keeps, in this order, with a crash in between.

use super::environment::{gateway_dies, obey};
use super::gateway::Deed;
use super::mutants::Mutant;
use super::node::Id;
use super::world::{Answer, Command, Departed, Handover, Link, Operation, World};

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// As it should, as far as the node can be reached.
    Well,
    /// The gateway's process ends after the effect and before it is kept.
    Crash,
    /// The command goes out and arrives late; the gateway takes it for failed.
    Late,
}

impl Deed {
    /// The command that it sends, if it is one.
    pub fn command(self) -> Option<(Id, Command)> {
        match self {
            Self::Shut(id) => Some((id, Command::Shut)),
            Self::Promote(id) => Some((id, Command::Promote)),
            Self::Arm(id) => Some((id, Command::Arm)),
            Self::HandOver(id) => Some((id, Command::HandOver)),
            Self::Attach(id) => Some((id, Command::FollowRelay)),
            _ => None,
        }
    }

    /// Whether it is kept only after its effect.
    fn is_kept_after(self) -> bool {
        matches!(
            self,
            Self::Arm(_) | Self::CallOff | Self::Abort | Self::RescueCommands(_) | Self::RescueSnapshot(_)
        )
    }

    /// The ways in which it may go.
    pub fn courses(self, world: &World, out: &mut Vec<Course>) {
        out.push(Course::Well);
        if world.budget.gateway_crashes > 0 && self.is_kept_after() {
            out.push(Course::Crash);
        }
        if world.budget.late > 0 && world.wire.late.is_none() && self.command().is_some() {
            out.push(Course::Late);
        }
    }

    /// Does it.
    pub fn apply(self, world: &mut World, course: Course, mutant: Option<Mutant>) {
        if let Some((id, command)) = self.command() {
            if course == Course::Late {
                world.budget.late -= 1;
                world.wire.late = Some((id, command));
                return;
            }
            if !world.reaches(id) {
                return;
            }
            obey(world, id, command);
        }
        if !self.take_effect(world, mutant) {
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
    fn take_effect(self, world: &mut World, mutant: Option<Mutant>) -> bool {
        match self {
            Self::Follow(whom) => {
                if let (Some(new), Some((promised, cut))) = (whom, world.gateway.promised)
                    && new == promised
                {
                    world.gateway.promised = None;
                    decide(world, new, cut);
                }
                follow(world, whom);
            }
            Self::Begin => begin(world, None, false, false),
            Self::Decide(id, cut) if mutant == Some(Mutant::PromoteBeforeDecision) => {
                world.gateway.promised = Some((id, cut));
            }
            Self::Decide(id, cut) => decide(world, id, cut),
            Self::CallOff => {
                let old = world.store.primary;
                follow(world, Some(old));
            }
            Self::SetHandover(handover) => world.gateway.handover = handover,
            Self::Abort => world.gateway.handover = Handover::Refuse,
            Self::RescueCommands(id) => {
                let Answer::Said(seen) = world.gateway.seen[id] else {
                    return false;
                };
                if !world.reaches(id) || world.nodes[id].stream.history != seen.stream.history {
                    return false;
                }
                world.truth.rescued = world.truth.rescued.and(seen.stream.writes);
            }
            Self::RescueSnapshot(id) => {
                if !world.reaches(id) {
                    return false;
                }
                world.truth.rescued = world.truth.rescued.and(world.nodes[id].stream.writes);
            }
            Self::Shut(_)
            | Self::Promote(_)
            | Self::Arm(_)
            | Self::HandOver(_)
            | Self::Attach(_)
            | Self::Finish
            | Self::Returned(_) => {}
        }
        if matches!(self, Self::HandOver(_)) {
            world.gateway.waiting = 0;
        }
        true
    }

    fn keep(self, world: &mut World) {
        let store = &mut world.store;
        match self {
            Self::Arm(_) => store.armed = true,
            Self::CallOff | Self::Abort | Self::Finish => store.operation = None,
            Self::RescueCommands(id) | Self::RescueSnapshot(id) => {
                for departed in store.departed.iter_mut().filter(|departed| departed.node == id) {
                    departed.saved = true;
                }
            }
            Self::Returned(id) => store.departed.retain(|departed| departed.node != id),
            _ => {}
        }
    }
}

/// Keeps a new operation.
pub fn begin(world: &mut World, switchover_to: Option<Id>, by_person: bool, forced: bool) {
    world.store.operation = Some(Operation {
        switchover_to,
        by_person,
        forced,
        cancelled: false,
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
    if operation.switchover_to.is_none() {
        store.departed.push(Departed {
            node: old,
            history,
            cut,
            saved: false,
        });
    }
    world.gateway.waiting = 0;
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
