//! The model as the checker sees it: the world, everything that can be done or happen next, and what must hold.

use stateright::{Model, Property};

use super::environment::Happens;
use super::gateway::{self, Link, link};
use super::mutants::Mutant;
use super::node::Id;
use super::properties;
use super::truth::Budget;
use super::work::{Course, courses, work};
use super::world::{Scene, World, key};
use crate::handle::Change;
use crate::state::{Ask, AskId, Event};

/// A group and its bounds.
#[derive(Debug)]
pub(super) struct Exploration {
    /// How it begins.
    pub(super) scene: Scene,
    /// What may happen.
    pub(super) budget: Budget,
    /// What is wrong with the gateway.
    pub(super) mutant: Option<Mutant>,
    /// What is known to come to rest: with the faults that there are, and with all of them mended.
    pub(super) settling: [properties::Settling; 2],
}

/// One thing that is done or happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// By itself.
    Happens(Happens),
    /// The gateway looks at every node.
    Look,
    /// It looks at one.
    LookAt(Id),
    /// The work is done that the gateway asked for.
    Works(Course),
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
            Self::Happens(happens) => happens.apply(world),
            Self::Look => gateway::look(world),
            Self::LookAt(id) => gateway::look_at(world, id),
            Self::Works(course) => work(world, course),
            Self::AskSwitchover(to) => {
                world.budget.switchovers -= 1;
                let to = key(to).service;
                let allow_missing_users = false;
                begin(
                    world,
                    Change::Switchover {
                        to,
                        allow_missing_users,
                    },
                );
            }
            Self::AskFailover { forced: force } => {
                world.budget.failovers -= 1;
                begin(world, Change::Failover { to: None, force });
            }
            Self::Cancel => {
                world.budget.cancels -= 1;
                if let Some(operation) = &world.store.operation {
                    let what = Ask::Cancel(operation.id);
                    gateway::tell(world, asked(what));
                }
            }
        }
        gateway::settle(world);
    }
}

fn begin(world: &mut World, change: Change) {
    let by = "ann".to_owned();
    let missing_users = Vec::new();
    gateway::tell(
        world,
        asked(Ask::Begin {
            change,
            by,
            missing_users,
        }),
    );
}

fn asked(what: Ask) -> Event {
    Event::Asked { ask: AskId(1), what }
}

impl Model for Exploration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.scene, self.budget, self.mutant)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut happens = Vec::with_capacity(32);
        Happens::ordinary(world, &mut happens);
        Happens::extraordinary(world, &mut happens);
        actions.extend(happens.into_iter().map(Action::Happens));
        if world.gateway.is_none() {
            return;
        }
        actions.push(Action::Look);
        if self.budget.isolations > 0 {
            // Somebody is the first to be heard again.
            actions.extend((0..world.nodes.len()).map(Action::LookAt));
        }
        let mut ways = Vec::with_capacity(3);
        courses(world, &mut ways);
        actions.extend(ways.into_iter().map(Action::Works));
        ask(world, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        action.apply(&mut world);
        properties::observe(last, &mut world);
        world.print();
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = properties::all();
        let keeps_primary = Budget {
            isolations: self.budget.isolations,
            ..Budget::default()
        };
        let damaged = Budget {
            writes: self.budget.writes,
            gateway_crashes: self.budget.gateway_crashes,
            damaged_logs: self.budget.damaged_logs,
            ..keeps_primary
        };
        let keeps_primary = if self.budget.damaged_logs > 0 {
            damaged
        } else {
            keeps_primary
        };
        if self.budget != keeps_primary {
            all.extend(properties::changes());
        }
        all
    }
}

fn ask(world: &World, actions: &mut Vec<Action>) {
    let budget = &world.budget;
    match &world.store.operation {
        Some(_) if budget.cancels > 0 => actions.push(Action::Cancel),
        Some(_) => {}
        None => {
            let replica = |id: &Id| *id != world.store.primary() && !world.store.is_former(*id);
            if budget.switchovers > 0 && link(world) == Link::Up(world.store.primary()) {
                let targets = (0..world.nodes.len()).filter(replica);
                actions.extend(targets.map(Action::AskSwitchover));
            }
            // Without a candidate it would be refused.
            if budget.failovers > 0 {
                actions.extend([true, false].map(|forced| Action::AskFailover { forced }));
            }
        }
    }
}
