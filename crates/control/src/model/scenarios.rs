//! What is explored: groups with a few faults each, and the same with a gateway that is wrong in one thing.

mod situations;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::environment::Happens;
use super::exploration::{Action, Exploration};
use super::gateway;
use super::mutants::Mutant;
use super::truth::Budget;
use super::work::Course;
use super::world::{Scene, World, key};
use crate::job::Job;
use crate::state::Event;

const NONE: Budget = Budget {
    writes: 0,
    gateway_crashes: 0,
    gateway_stops: 0,
    gateway_hosts: 0,
    damaged_logs: 0,
    crashes: 0,
    other_crashes: 0,
    lost_histories: 0,
    older_primary: 0,
    older_copies: 0,
    freezes: 0,
    cuts: 0,
    isolations: 0,
    late: 0,
    switchovers: 0,
    failovers: 0,
    cancels: 0,
    copies: 0,
    breaks: 0,
    local_replica: 0,
    forgets: 0,
    clock_steps: 0,
    forgeries: 0,
};

/// A primary and a replica.
const TWO: Scene = Scene::of(2);

/// When an exploration ends before everything was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Something does not hold.
    Anything,
    /// This does not hold.
    Found(&'static str),
}

/// Explores until that was found, or everything was seen; returns the properties that do not hold.
#[expect(
    clippy::print_stderr,
    reason = "how much was seen, and the way to what is wrong"
)]
fn explore(
    name: &str,
    scene: Scene,
    budget: Budget,
    mutant: Option<Mutant>,
    until: Until,
) -> BTreeSet<&'static str> {
    let began = Instant::now();
    let checker = Exploration {
        scene,
        budget,
        mutant,
        settling: Default::default(),
    }
    .checker()
    .threads(2)
    .finish_when(match until {
        Until::Anything => HasDiscoveries::AnyFailures,
        Until::Found(property) => HasDiscoveries::AllOf([property].into()),
    })
    .spawn_bfs()
    .join();
    let seen = checker.unique_state_count();
    eprintln!("{name}: {seen} states in {:.1?}", began.elapsed());
    let failed = |property: &Property<Exploration>| match checker.discovery(property.name) {
        Some(path) if property.expectation.discovery_is_failure() => Some(path.into_actions()),
        Some(_) => None,
        None => (!property.expectation.discovery_is_failure()).then(Vec::new),
    };
    let mut all = BTreeSet::new();
    for property in checker.model().properties() {
        let Some(actions) = failed(&property) else {
            continue;
        };
        all.insert(property.name);
        if mutant.is_none() {
            eprintln!("{name}: `{}` does not hold: {actions:#?}", property.name);
        }
    }
    all
}

fn holds(name: &str, budget: Budget) {
    holds_from(TWO, name, budget);
}

fn holds_from(scene: Scene, name: &str, budget: Budget) {
    let failed = explore(name, scene, budget, None, Until::Anything);
    assert!(failed.is_empty(), "{name}: {failed:?}");
}

fn finds(mutant: Mutant, budget: Budget, expected: &'static str) {
    finds_from(TWO, mutant, budget, expected);
}

fn finds_from(scene: Scene, mutant: Mutant, budget: Budget, expected: &'static str) {
    let failed = explore(
        &format!("{mutant:?}"),
        scene,
        budget,
        Some(mutant),
        Until::Found(expected),
    );
    assert!(failed.contains(expected), "{mutant:?}: {failed:?}");
}

#[test]
fn the_primary_dies() {
    holds(
        "the primary dies",
        Budget {
            writes: 2,
            crashes: 1,
            older_primary: 1,
            ..NONE
        },
    );
    holds(
        "the primary dies, comes back, and an answer gets lost",
        Budget {
            crashes: 1,
            late: 1,
            ..NONE
        },
    );
    holds(
        "the primary dies and comes back with another history",
        Budget {
            writes: 1,
            crashes: 1,
            lost_histories: 1,
            ..NONE
        },
    );
}

#[test]
fn the_primary_is_cut_off_with_clients_at_it() {
    holds(
        "the primary is cut off",
        Budget {
            writes: 2,
            cuts: 1,
            ..NONE
        },
    );
}

#[test]
fn the_primary_freezes() {
    holds(
        "the primary freezes",
        Budget {
            writes: 2,
            freezes: 1,
            ..NONE
        },
    );
}

#[test]
fn the_gateway_dies_too() {
    holds(
        "primary and gateway die",
        Budget {
            writes: 1,
            crashes: 1,
            gateway_crashes: 1,
            ..NONE
        },
    );
    holds(
        "cut off, and the gateway's host dies",
        Budget {
            writes: 1,
            cuts: 1,
            gateway_crashes: 1,
            gateway_hosts: 1,
            ..NONE
        },
    );
    holds(
        "cut off, and the gateway is stopped",
        Budget {
            writes: 1,
            cuts: 1,
            gateway_stops: 1,
            ..NONE
        },
    );
}

#[test]
fn the_primary_dies_while_the_gateway_is_away() {
    holds(
        "the gateway is stopped, and the primary dies",
        Budget {
            writes: 1,
            crashes: 1,
            gateway_stops: 1,
            ..NONE
        },
    );
}

#[test]
fn commands_arrive_late_or_twice() {
    holds(
        "cut off, and commands are late",
        Budget {
            writes: 1,
            cuts: 1,
            late: 2,
            ..NONE
        },
    );
}

#[test]
fn the_node_that_was_decided_on_comes_back_older() {
    holds(
        "both die, and one comes back older",
        Budget {
            writes: 1,
            crashes: 1,
            other_crashes: 1,
            older_copies: 1,
            ..NONE
        },
    );
}

#[test]
fn a_person_asks_for_a_failover() {
    holds(
        "a person's failover",
        Budget {
            writes: 2,
            failovers: 1,
            cancels: 1,
            ..NONE
        },
    );
}

#[test]
fn a_switchover_ends_or_is_taken_back() {
    holds(
        "switchover",
        Budget {
            writes: 1,
            switchovers: 1,
            cancels: 1,
            ..NONE
        },
    );
    holds(
        "switchover, and another says that it hands over",
        Budget {
            writes: 1,
            switchovers: 1,
            forgeries: 1,
            ..NONE
        },
    );
    holds(
        "switchover, and the gateway dies",
        Budget {
            writes: 1,
            switchovers: 1,
            gateway_crashes: 1,
            ..NONE
        },
    );
}

#[test]
fn the_primary_is_lost_in_a_switchover() {
    holds(
        "switchover, and the primary dies",
        Budget {
            writes: 1,
            switchovers: 1,
            crashes: 1,
            ..NONE
        },
    );
    holds(
        "switchover, and the primary freezes",
        Budget {
            writes: 0,
            switchovers: 1,
            freezes: 1,
            ..NONE
        },
    );
}

#[test]
fn one_of_two_replica_services_takes_over() {
    holds_from(
        Scene::of(3),
        "the primary of three dies",
        Budget {
            writes: 1,
            crashes: 1,
            ..NONE
        },
    );
}

#[test]
fn mutants_of_the_planner() {
    finds(
        Mutant::NoLeaseWait,
        Budget {
            writes: 2,
            cuts: 1,
            ..NONE
        },
        "I1 one writer",
    );
    finds(
        Mutant::PromoteBeforeDecision,
        Budget { cuts: 1, ..NONE },
        "nobody is promoted without a durable decision",
    );
    finds(
        Mutant::AttachBeforeRescue,
        Budget {
            writes: 1,
            cuts: 1,
            ..NONE
        },
        "I3 no silent loss",
    );
    finds(
        Mutant::DecideEarly,
        Budget {
            writes: 1,
            switchovers: 1,
            ..NONE
        },
        "I3 no silent loss",
    );
}

#[test]
fn mutants_of_what_is_around_it() {
    finds(
        Mutant::ForgetsPsync,
        Budget {
            writes: 2,
            gateway_crashes: 1,
            cuts: 1,
            late: 1,
            ..NONE
        },
        "I1 one writer",
    );
    finds(
        Mutant::RejoinsUnfollowed,
        Budget {
            writes: 1,
            crashes: 1,
            gateway_crashes: 1,
            ..NONE
        },
        "it converges when everything heals",
    );
    finds(
        Mutant::HoldsOffEverybody,
        Budget {
            switchovers: 1,
            ..NONE
        },
        "it converges when everything heals",
    );
    finds(
        Mutant::RemembersBlocked,
        Budget {
            writes: 2,
            cuts: 1,
            ..NONE
        },
        "I1 one writer",
    );
    finds(
        Mutant::LiftsForGood,
        Budget {
            writes: 2,
            crashes: 1,
            gateway_stops: 1,
            ..NONE
        },
        "I1 one writer",
    );
}

/// A person changes a service while the group's own work is under way. The steps name nodes by their place.
#[test]
fn a_service_that_changes_during_a_step_confuses_no_node() {
    let mut world = World::new(Scene::of(3), NONE, None);
    // Somebody made the last node writable.
    world.nodes[2].promote(7);
    for action in [Action::Look, Action::Happens(Happens::Tick), Action::Look] {
        action.apply(&mut world);
    }
    let job = world.gateway.as_ref().and_then(|gateway| gateway.job.clone());
    assert!(
        matches!(&job, Some(Job::Attach(attach)) if attach.node == key(2)),
        "{job:?}"
    );
    // The node before it in the list goes, and comes back at its end; then the work fails.
    gateway::tell(&mut world, Event::ServiceChanged(key(0).service));
    world.wire.cut_off = Some(2);
    Action::Works(Course::Well).apply(&mut world);
    let known = world.gateway.as_ref().expect("it runs").state.known();
    let failed = known.nodes.iter().filter(|node| node.repair_failure.is_some());
    let failed: Vec<_> = failed.map(|node| node.key.clone()).collect();
    assert_eq!(failed, [key(2)]);
}
