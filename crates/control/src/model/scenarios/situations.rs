//! Situations that a deployment is in when something fails: a full copy under way, replicas of others at the primary, a
//! primary that forgot its history, clocks that are set back.

use super::{NONE, TWO, finds, finds_from, holds, holds_from};
use crate::model::mutants::Mutant;
use crate::model::node::LocalReplica;
use crate::model::truth::Budget;
use crate::model::world::{ForeignFollower, Scene};

/// The primary's service has a replica of its own.
const WITH_LOCAL: Scene = Scene {
    local: LocalReplica::Good,
    ..TWO
};
/// The primary's stream could not be continued.
const COPYING: Scene = Scene { copying: true, ..TWO };
/// A failover was just now.
const LATELY: Scene = Scene {
    failover_pause_seconds: 4,
    ..TWO
};

#[test]
fn a_full_copy_is_under_way_when_the_primary_dies() {
    holds_from(
        COPYING,
        "copying, and the primary dies",
        Budget {
            breaks: 1,
            crashes: 1,
            ..NONE
        },
    );
    holds_from(
        COPYING,
        "copying, and primary and gateway die",
        Budget {
            crashes: 1,
            gateway_crashes: 1,
            ..NONE
        },
    );
    holds(
        "the primary dies, and the new one sends a full copy",
        Budget {
            crashes: 1,
            copies: 1,
            ..NONE
        },
    );
}

#[test]
fn a_primary_comes_back_empty_while_it_is_copied() {
    holds_from(
        COPYING,
        "copying, and the primary comes back empty",
        Budget {
            crashes: 1,
            lost_histories: 1,
            ..NONE
        },
    );
}

#[test]
fn a_full_copy_is_under_way_when_the_primary_is_cut_off() {
    holds_from(
        COPYING,
        "copying, and the primary is cut off",
        Budget {
            writes: 1,
            cuts: 1,
            ..NONE
        },
    );
}

/// What stands for the log then is what the replicas hold.
#[test]
fn the_log_is_found_damaged() {
    let damaged = Budget {
        writes: 1,
        gateway_crashes: 1,
        damaged_logs: 1,
        ..NONE
    };
    holds("the log is damaged", damaged);
    holds(
        "the log is damaged, and the primary dies",
        Budget {
            writes: 0,
            crashes: 1,
            failovers: 1,
            ..damaged
        },
    );
    holds(
        "the log is damaged, and the primary comes back empty",
        Budget {
            crashes: 1,
            lost_histories: 1,
            ..damaged
        },
    );
    holds(
        "the log is damaged, and the primary is cut off",
        Budget { cuts: 1, ..damaged },
    );
    finds(
        Mutant::ForgetsWhatNodesHold,
        Budget {
            crashes: 1,
            lost_histories: 1,
            ..damaged
        },
        "I4 no wipe",
    );
}

#[test]
fn a_primary_has_a_replica_of_its_own() {
    holds_from(
        WITH_LOCAL,
        "with a local replica, the primary is cut off",
        Budget { cuts: 1, ..NONE },
    );
}

/// The lease counts whoever is a good replica. With one link of the gateway's own more than others can be there, no other
/// is needed, and all others together are too few.
#[test]
fn nobody_but_the_gateway_opens_and_closes_a_primary() {
    holds_from(
        WITH_LOCAL,
        "a local replica hangs, and the primary is cut off",
        Budget {
            cuts: 1,
            local_replica: 1,
            ..NONE
        },
    );
    holds(
        "a local replica comes back while the primary is cut off",
        Budget {
            local_replica: 1,
            cuts: 1,
            ..NONE
        },
    );
    holds_from(
        Scene {
            foreign_follower: ForeignFollower::Counted,
            ..TWO
        },
        "a foreign follower, and the primary is cut off",
        Budget {
            writes: 1,
            cuts: 1,
            ..NONE
        },
    );
    holds_from(
        Scene {
            foreign_follower: ForeignFollower::New,
            ..TWO
        },
        "a foreign follower that has just come, and the primary is cut off",
        Budget {
            writes: 1,
            cuts: 1,
            ..NONE
        },
    );
    finds_from(
        WITH_LOCAL,
        Mutant::KeepsOneLink,
        Budget {
            local_replica: 1,
            ..NONE
        },
        "it converges when everything heals",
    );
}

/// Without anybody to take over the fence goes, and comes back with who could.
#[test]
fn the_fence_stands_while_somebody_is_fit() {
    let replica_away = Budget {
        other_crashes: 1,
        cuts: 1,
        late: 1,
        ..NONE
    };
    let lifting = Scene {
        lifts_fence: true,
        ..TWO
    };
    // With a late command as well it holds, too, in 1.7 million states.
    holds_from(
        lifting,
        "the replica dies, and the primary is cut off",
        Budget {
            late: 0,
            ..replica_away
        },
    );
    holds_from(
        lifting,
        "the primary dies, and nobody else is there",
        Budget {
            crashes: 1,
            gateway_crashes: 1,
            ..NONE
        },
    );
    holds_from(
        lifting,
        "a switchover, and nobody else is there",
        Budget {
            switchovers: 1,
            ..NONE
        },
    );
    finds_from(
        lifting,
        Mutant::LetsLateLiftsArrive,
        replica_away,
        "I1 one writer",
    );
}

/// What is followed after a promotion may not be what was promoted. With a primary that dies as well it holds, too, in 4.2
/// million states.
#[test]
fn a_promoted_node_comes_back_empty() {
    holds_from(
        Scene::of(3),
        "a person's failover, and the new one comes back without its data",
        Budget {
            failovers: 1,
            other_crashes: 1,
            lost_histories: 1,
            ..NONE
        },
    );
    holds(
        "a switchover, and the new one comes back without its data",
        Budget {
            switchovers: 1,
            other_crashes: 1,
            lost_histories: 1,
            ..NONE
        },
    );
}

/// Nobody followed it for as long as it keeps its backlog. That its process went on says that its data is ours and more.
#[test]
fn a_primary_that_forgot_its_history_is_left() {
    holds(
        "a primary takes a new id, and dies",
        Budget {
            forgets: 1,
            gateway_crashes: 1,
            crashes: 1,
            ..NONE
        },
    );
    finds_from(
        TWO,
        Mutant::ForgetsTheProcess,
        Budget {
            forgets: 1,
            gateway_crashes: 1,
            ..NONE
        },
        "a primary that went on is not left",
    );
}

/// Somebody is the first to be heard again, and it need not be the primary.
#[test]
fn the_gateway_is_cut_off_from_every_node() {
    holds(
        "the gateway is cut off from every node",
        Budget {
            isolations: 1,
            ..NONE
        },
    );
    finds_from(
        TWO,
        Mutant::TrustsItsOwnNetwork,
        Budget {
            isolations: 1,
            ..NONE
        },
        "a primary that went on is not left",
    );
}

/// The lease of a node is as long as its clock says. What it takes beside the new primary is saved.
#[test]
fn the_clock_of_the_primary_is_set_back() {
    holds(
        "cut off, and its clock is set back",
        Budget {
            writes: 1,
            cuts: 1,
            clock_steps: 1,
            ..NONE
        },
    );
}

#[test]
fn the_clock_of_the_gateway_is_set_back() {
    holds_from(
        LATELY,
        "the gateway's clock is set back, and the primary dies",
        Budget {
            crashes: 1,
            gateway_crashes: 1,
            clock_steps: 1,
            ..NONE
        },
    );
}

#[test]
fn mutants_of_situations() {
    finds_from(
        WITH_LOCAL,
        Mutant::CountsNobodyElse,
        Budget { cuts: 1, ..NONE },
        "I1 one writer",
    );
    finds_from(
        TWO,
        Mutant::AcceptsAnyHistory,
        Budget {
            writes: 1,
            crashes: 1,
            lost_histories: 1,
            ..NONE
        },
        "I4 no wipe",
    );
    finds_from(
        COPYING,
        Mutant::ReportsOnlyTheUnreceived,
        Budget { crashes: 1, ..NONE },
        "a report never understates the loss",
    );
    finds_from(
        TWO,
        Mutant::CopiesOnTheLink,
        Budget {
            writes: 1,
            breaks: 1,
            copies: 1,
            ..NONE
        },
        "a full copy closes no primary",
    );
    finds_from(
        TWO,
        Mutant::AttachBeforeRescue,
        Budget {
            writes: 1,
            cuts: 1,
            clock_steps: 1,
            ..NONE
        },
        "I3 no silent loss",
    );
    finds_from(
        LATELY,
        Mutant::TrustsTheWallClock,
        Budget {
            crashes: 1,
            gateway_crashes: 1,
            clock_steps: 1,
            ..NONE
        },
        "it converges when faults stop",
    );
}
