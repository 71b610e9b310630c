//! What a seed does: two situations that stand, and a fault that comes into them.

use std::fmt;
use std::time::Duration;

use sterna_testkit::Rng;

use crate::operate::kept::Kept;

/// Something that is so for a while and is no fault by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Situation {
    /// A replica service receives a full copy.
    CopyUnderWay,
    /// Somebody follows the primary whom nobody told the gateway of.
    ForeignFollower,
    /// A replica of the primary's own service is frozen.
    HungLocalReplica,
    /// The primary's site sees another address than the gateway's own.
    Nat,
    /// The wall clock of the primary's machine is set.
    ClockStep,
    /// 80 ms from the gateway to the primary's site and back.
    SlowWan,
    /// Small backlogs and output buffers at the nodes, a small log and tail at the gateway, and large writes.
    SmallBuffers,
    /// The gateway is stopped in good order and started again.
    GatewayRestart,
    /// The primary service's own Sentinel promotes another of its nodes.
    LocalFailover,
}

impl Situation {
    pub(super) const ALL: [Self; 9] = [
        Self::CopyUnderWay,
        Self::ForeignFollower,
        Self::HungLocalReplica,
        Self::Nat,
        Self::ClockStep,
        Self::SlowWan,
        Self::SmallBuffers,
        Self::GatewayRestart,
        Self::LocalFailover,
    ];

    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::CopyUnderWay => "copy under way",
            Self::ForeignFollower => "foreign follower",
            Self::HungLocalReplica => "hung local replica",
            Self::Nat => "NAT",
            Self::ClockStep => "clock step",
            Self::SlowWan => "slow WAN",
            Self::SmallBuffers => "small buffers",
            Self::GatewayRestart => "gateway restart",
            Self::LocalFailover => "local failover",
        }
    }
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGKILL; started again when it is healed.
    KillPrimary,
    KillGateway,
    /// SIGSTOP, and SIGCONT when it is healed.
    FreezePrimary,
    FreezeGateway,
    /// The primary's host is cut off from everybody, but for its own clients.
    CutPrimary,
    /// The gateway is cut off from every node.
    CutGateway,
    /// Between the gateway and the primary's site nothing passes.
    CutPath,
    /// The primary is killed and is back at once, without its data.
    EmptyRestart,
    /// The disk of the primary's node is full.
    FullPrimaryDisk,
    /// The gateway's disk is full.
    FullGatewayDisk,
}

impl Fault {
    /// By kind: each is as likely, whatever it can hit.
    const KINDS: [&[Self]; 5] = [
        &[Self::KillPrimary, Self::KillGateway],
        &[Self::FreezePrimary, Self::FreezeGateway],
        &[Self::CutPrimary, Self::CutGateway, Self::CutPath],
        &[Self::EmptyRestart],
        &[Self::FullPrimaryDisk, Self::FullGatewayDisk],
    ];

    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::KillPrimary => "primary killed",
            Self::KillGateway => "gateway killed",
            Self::FreezePrimary => "primary frozen",
            Self::FreezeGateway => "gateway frozen",
            Self::CutPrimary => "primary cut off",
            Self::CutGateway => "gateway cut off",
            Self::CutPath => "path cut",
            Self::EmptyRestart => "primary back empty",
            Self::FullPrimaryDisk => "primary's disk full",
            Self::FullGatewayDisk => "gateway's disk full",
        }
    }

    /// Whether what is in the memory of the primary's process alone goes with it.
    pub(super) fn takes_memory(self) -> bool {
        matches!(self, Self::KillPrimary | Self::EmptyRestart)
    }
}

/// How a copy comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    /// The node of a replica service restarts empty.
    NodeIsEmptied,
    /// A service joins the group.
    ServiceJoins,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) situations: [Situation; 2],
    pub(super) fault: Fault,
    pub(super) kept: Kept,
    pub(super) copy: Copy,
    /// Replica services in the group at first.
    pub(super) replicas: usize,
    /// How far the clock is set, in milliseconds: back where it is less than 0.
    pub(super) clock_step_ms: i64,
    /// Whether the clock is set during the fault.
    pub(super) clock_in_fault: bool,
    /// How long after the second situation the fault comes.
    pub(super) fault_after: Duration,
    pub(super) fault_lasts: Duration,
    /// How long the gateway is away where it is restarted.
    pub(super) gateway_away: Duration,
    /// Whether the foreign follower leaves at the end, or stays.
    pub(super) follower_leaves: bool,
}

impl Plan {
    /// The plan of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let situations = loop {
            let mut pair = [(); 2].map(|()| Situation::ALL[rng.index(Situation::ALL.len())]);
            pair.sort_unstable();
            if go_together(pair) {
                break pair;
            }
        };
        let kind = Fault::KINDS[rng.index(Fault::KINDS.len())];
        let fault = kind[rng.index(kind.len())];
        let kept = match (fault, rng.below(3)) {
            (Fault::EmptyRestart, _) | (_, 0) => Kept::Nothing,
            (_, 1) if fault == Fault::KillPrimary => Kept::OlderFile,
            _ => Kept::AppendOnlyFile,
        };
        // A disk that nothing is written to may be full.
        let kept = if fault == Fault::FullPrimaryDisk {
            Kept::AppendOnlyFile
        } else {
            kept
        };
        let copies = situations.contains(&Situation::CopyUnderWay);
        let copy = if rng.once_in(2) {
            Copy::ServiceJoins
        } else {
            Copy::NodeIsEmptied
        };
        // Somebody has to have the data when they go with the primary's memory.
        let needs_another = copies && copy == Copy::NodeIsEmptied && fault.takes_memory();
        let replicas = if needs_another || rng.once_in(2) { 2 } else { 1 };
        let step_ms = 1_000 + rng.below(6_000).cast_signed();
        Self {
            situations,
            fault,
            kept,
            copy,
            replicas,
            clock_step_ms: if rng.below(3) == 0 { step_ms } else { -step_ms },
            clock_in_fault: rng.once_in(2),
            fault_after: Duration::from_millis(rng.below(2_500)),
            fault_lasts: Duration::from_millis(match rng.below(5) {
                0 => 300 + rng.below(700),
                1 => 1_000 + rng.below(2_000),
                _ => 5_500 + rng.below(4_000),
            }),
            gateway_away: Duration::from_millis(300 + rng.below(2_700)),
            follower_leaves: rng.once_in(2),
        }
    }

    pub(super) fn has(&self, situation: Situation) -> bool {
        self.situations.contains(&situation)
    }

    /// Whether the gateway has nothing but the smallest tail to go on from: the log's disk is full, and the tail is shorter
    /// than what is written while a node is away. Such a node is given a full copy.
    pub(super) fn keeps_nothing_but_a_small_tail(&self) -> bool {
        self.fault == Fault::FullGatewayDisk && self.has(Situation::SmallBuffers)
    }

    /// Whether the primary service has a second node.
    pub(super) fn has_local_replica(&self) -> bool {
        self.has(Situation::HungLocalReplica) || self.has(Situation::LocalFailover)
    }
}

/// A Sentinel promotes nobody who hangs.
fn go_together(pair: [Situation; 2]) -> bool {
    pair[0] != pair[1] && pair != [Situation::HungLocalReplica, Situation::LocalFailover]
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = self.situations.map(Situation::words);
        write!(f, "{one} + {other} × {}", self.fault.words())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_one_plan_of_two_situations_that_go_together() {
        for seed in 0..500 {
            let plan = Plan::of(seed);
            assert_eq!(plan, Plan::of(seed));
            assert!(go_together(plan.situations), "{plan}");
            let copies = plan.has(Situation::CopyUnderWay) && plan.copy == Copy::NodeIsEmptied;
            assert!(
                !copies || !plan.fault.takes_memory() || plan.replicas == 2,
                "{plan}"
            );
        }
    }

    #[test]
    fn two_hundred_seeds_have_every_situation_with_every_fault_kind_nearly() {
        let mut met = BTreeSet::new();
        for seed in 1..=200 {
            let plan = Plan::of(seed);
            let kind = Fault::KINDS.iter().position(|kind| kind.contains(&plan.fault));
            met.extend(plan.situations.map(|situation| (situation, kind)));
        }
        let all = Situation::ALL.len() * Fault::KINDS.len();
        assert!(met.len() >= all - 2, "{} of {all}", met.len());
    }
}
