//! The model as the checker sees it: the world, everything that can be done or happen next, and what must hold.

use stateright::{Model, Property};

use super::deeds::{Course, begin};
use super::environment::Happens;
use super::gateway::{Deed, operate};
use super::mutants::Mutant;
use super::node::{Id, Process, Role};
use super::properties;
use super::truth::Budget;
use super::world::{Answer, Kind, Link, World};

/// A group and its bounds.
#[derive(Debug, Clone)]
pub(super) struct Exploration {
    /// How many nodes.
    pub(super) nodes: usize,
    /// What may happen.
    pub(super) budget: Budget,
    /// What is wrong with the gateway.
    pub(super) mutant: Option<Mutant>,
}

/// One thing that is done or happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// By itself.
    Happens(Happens),
    /// The gateway looks at every node.
    Look,
    /// The gateway does the next step.
    Does(Deed, Course),
    /// A person asks for a switchover.
    AskSwitchover(Id),
    /// A person asks for a failover.
    AskFailover {
        /// Whatever the fence says.
        forced: bool,
    },
    /// A person wants the operation to end.
    Cancel,
}

impl Action {
    /// Does it.
    pub(super) fn apply(self, world: &mut World) {
        match self {
            Self::Happens(happens) => {
                happens.apply(world);
                if happens == (Happens::Connect { answered: false }) && !world.has(Mutant::ForgetsPsync) {
                    world.gateway.renewed = 0;
                }
            }
            Self::Look => look(world),
            Self::Does(deed, course) => deed.apply(world, course),
            Self::AskSwitchover(to) => {
                world.budget.switchovers -= 1;
                begin(world, Kind::Switchover(to));
            }
            Self::AskFailover { forced } => {
                world.budget.failovers -= 1;
                begin(
                    world,
                    Kind::Failover {
                        by_person: true,
                        forced,
                    },
                );
            }
            Self::Cancel => {
                world.budget.cancels -= 1;
                world.gateway.cancelled = true;
            }
        }
    }
}

impl Model for Exploration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.nodes, self.budget, self.mutant)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut happens = Vec::with_capacity(32);
        Happens::ordinary(world, &mut happens);
        Happens::extraordinary(world, &mut happens);
        actions.extend(happens.into_iter().map(Action::Happens));
        if !world.gateway.runs {
            return;
        }
        actions.push(Action::Look);
        if let Some(deed) = operate(world) {
            let mut courses = Vec::with_capacity(3);
            deed.courses(world, &mut courses);
            actions.extend(courses.into_iter().map(|course| Action::Does(deed, course)));
        }
        ask(world, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        action.apply(&mut world);
        properties::observe(last, &mut world);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn ask(world: &World, actions: &mut Vec<Action>) {
    match &world.store.operation {
        Some(operation) if operation.decided.is_none() && !matches!(operation.kind, Kind::Rejoin(_)) => {
            if world.budget.cancels > 0 && !world.gateway.cancelled {
                actions.push(Action::Cancel);
            }
        }
        Some(_) => {}
        None => {
            let replica = |id: Id| {
                id != world.store.primary && world.store.departed.iter().all(|departed| departed.node != id)
            };
            if world.budget.switchovers > 0 && world.gateway.link == Link::Up(world.store.primary) {
                actions.extend(
                    (0..world.nodes.len())
                        .filter(|id| replica(*id))
                        .map(Action::AskSwitchover),
                );
            }
            // Without a candidate it would wait until one comes, or it is cancelled.
            if world.budget.failovers > 0 {
                actions.extend([true, false].map(|forced| Action::AskFailover { forced }));
            }
        }
    }
}

fn look(world: &mut World) {
    for id in 0..world.nodes.len() {
        let node = world.nodes[id];
        let answer = match node.process {
            _ if world.wire.cut_off == Some(id) => Answer::Silent,
            Process::Frozen => Answer::Silent,
            Process::Dead => Answer::Refused,
            Process::Running => Answer::Said(node.as_seen()),
        };
        world.gateway.seen[id] = answer;
        let life = matches!(answer, Answer::Said(node) if matches!(node.role, Role::Primary | Role::Pausing));
        if id == world.store.primary && life {
            world.gateway.quiet = 0;
        }
    }
}
