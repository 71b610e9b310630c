//! A model of a group: the planner of the product against crashes, pauses, lost and late messages.
//!
//! Everything around the planner is made up here, small and discrete; the planner itself is the one that runs.

mod deeds;
mod environment;
mod exploration;
mod gateway;
mod mutants;
mod node;
mod properties;
mod world;

use stateright::{Checker, HasDiscoveries, Model};

use exploration::Exploration;
use mutants::Mutant;
use world::Budget;

/// The primary must have been away for so long before a failover begins, in ticks.
const DOWN_AFTER: u8 = 1;
/// An acknowledgement may take so long to arrive, in ticks.
const MARGIN: u8 = 1;
/// A failover waits for so long after the last acknowledgement that may have been sent, in ticks.
const LEASE_WAIT: u8 = node::LEASE + node::SLACK + MARGIN;
/// A switchover may keep writes waiting for so long, in ticks.
const WAIT_MAX: u8 = 2;

fn explore(name: &str, nodes: usize, budget: Budget, mutant: Option<Mutant>) -> Vec<&'static str> {
    let model = Exploration { nodes, budget, mutant };
    let began = std::time::Instant::now();
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    eprintln!(
        "{name}: {} states, {} of them different, in {:.1?}",
        checker.state_count(),
        checker.unique_state_count(),
        began.elapsed()
    );
    let mut failed = Vec::new();
    for (property, path) in checker.discoveries() {
        if checker.model().property(property).expectation.discovery_is_failure() {
            eprintln!("{name}: {property} does not hold:");
            let last = path.last_state().clone();
            for (_, action) in path.into_vec() {
                eprintln!("    {action:?}");
            }
            for healed in [false, true] {
                if std::env::var_os("MODEL_SETTLED").is_some() {
                    eprintln!("{:#?}", properties::settled(&last, healed));
                }
            }
            failed.push(property);
        }
    }
    failed
}

#[test]
fn mutants() {
    let small = Budget { writes: 2, ..Budget::default() };
    let cut = Budget { cuts: 1, ..small };
    let freeze = Budget { freezes: 1, ..small };
    let switch = Budget { switchovers: 1, ..small };
    for (mutant, budget) in [
        (Mutant::NoLeaseWait, cut),
        (Mutant::PromoteBeforeDecision, cut),
        (Mutant::AttachBeforeRescue, freeze),
        (Mutant::AttachBeforeRescue, cut),
        (Mutant::DecideEarly, switch),
        (Mutant::ForgetsPsync, Budget { late: 1, cuts: 2, ..small }),
        (Mutant::ActsOnOldLooks, Budget { freezes: 1, ..switch }),
        (Mutant::RejoinsUnfollowed, Budget { crashes: 1, gateway_crashes: 1, ..small }),
        (Mutant::HoldsOffEverybody, switch),
        (Mutant::RemembersShut, cut),
    ] {
        let failed = explore(&format!("{mutant:?}"), 2, budget, Some(mutant));
        eprintln!("{mutant:?} -> {failed:?}");
    }
}

#[test]
fn primary_dies() {
    let budget = Budget {
        writes: 2,
        crashes: 1,
        ..Budget::default()
    };
    assert!(explore("the primary dies", 2, budget, None).is_empty());
}

#[test]
fn primary_is_cut_off() {
    let budget = Budget {
        writes: 2,
        cuts: 1,
        ..Budget::default()
    };
    assert!(explore("the primary is cut off", 2, budget, None).is_empty());
}

#[test]
fn primary_freezes() {
    let budget = Budget {
        writes: 2,
        freezes: 1,
        ..Budget::default()
    };
    assert!(explore("the primary freezes", 2, budget, None).is_empty());
}

#[test]
fn gateway_dies_too() {
    let budget = Budget {
        writes: 1,
        crashes: 1,
        gateway_crashes: 1,
        ..Budget::default()
    };
    assert!(explore("primary and gateway die", 2, budget, None).is_empty());
}

#[test]
fn gateway_dies_while_cut() {
    let budget = Budget {
        writes: 1,
        cuts: 1,
        gateway_crashes: 1,
        ..Budget::default()
    };
    assert!(explore("the gateway dies while it is cut off", 2, budget, None).is_empty());
}

#[test]
fn late() {
    let budget = Budget {
        writes: 1,
        cuts: 1,
        late: 1,
        ..Budget::default()
    };
    assert!(explore("late", 2, budget, None).is_empty());
}

#[test]
fn other_dies() {
    let budget = Budget {
        writes: 1,
        crashes: 1,
        other_crashes: 1,
        ..Budget::default()
    };
    assert!(explore("both die", 2, budget, None).is_empty());
}

#[test]
fn switchover() {
    let budget = Budget {
        writes: 2,
        switchovers: 1,
        cancels: 1,
        ..Budget::default()
    };
    assert!(explore("switchover", 2, budget, None).is_empty());
}

#[test]
fn switchover_gateway() {
    let budget = Budget {
        writes: 1,
        switchovers: 1,
        gateway_crashes: 1,
        ..Budget::default()
    };
    assert!(explore("switchover, gateway dies", 2, budget, None).is_empty());
}

#[test]
fn switchover_crash() {
    let budget = Budget {
        writes: 1,
        switchovers: 1,
        crashes: 1,
        ..Budget::default()
    };
    assert!(explore("switchover, primary dies", 2, budget, None).is_empty());
}

#[test]
fn switchover_freeze() {
    let budget = Budget {
        writes: 1,
        switchovers: 1,
        freezes: 1,
        ..Budget::default()
    };
    assert!(explore("switchover, primary freezes", 2, budget, None).is_empty());
}

#[test]
fn person() {
    let budget = Budget {
        writes: 2,
        failovers: 1,
        ..Budget::default()
    };
    assert!(explore("a person's failover", 2, budget, None).is_empty());
}
