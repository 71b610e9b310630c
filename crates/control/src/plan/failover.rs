//! The next step of an unplanned change of primary.
//!
//! The order keeps the invariants: nobody is promoted before the old primary can no longer take writes (I1), or a person
//! said that this may be; the decision is durable before the promotion; whoever is promoted has everything that arrived
//! here (I3). Every step may be done again after a crash.

use std::fmt;
use std::time::Duration;

use sterna_protocol::Offset;

use super::{NodeId, seconds};

/// How the old primary stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldPrimary {
    /// No process listens at its host.
    Gone,
    /// It is a replica now, or was shut to writes by us.
    Shut,
    /// It answers, and may take writes.
    Answers,
    /// It does not answer; nobody knows.
    Silent,
}

/// What keeps the old primary from taking writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fence {
    /// Nothing, on purpose.
    None,
    /// The lease: it shuts itself when this time is over, at the latest.
    Lease {
        /// So long still.
        left: Duration,
    },
    /// A lease is wanted, but was never seen in place.
    NotArmed,
}

/// A node that could take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// The place of its service in the order of preference; smaller is preferred.
    pub preference: usize,
    /// It answers.
    pub answers: bool,
    /// What it holds is of the old primary's history.
    pub in_history: bool,
    /// What it has applied.
    pub applied: Offset,
    /// It takes writes already: it was promoted.
    pub is_primary: bool,
}

/// What is seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World {
    /// The old primary.
    pub old: OldPrimary,
    /// What keeps it from taking writes.
    pub fence: Fence,
    /// We still follow the old primary, or try to.
    pub following_old: bool,
    /// Bytes of stream that the old primary has and can still send us.
    pub unreceived_bytes: u64,
    /// The end of the log.
    pub log_end: Offset,
    /// The nodes that could take over.
    pub candidates: Vec<Candidate>,
    /// Only nodes of this preference: a person named the service.
    pub only: Option<usize>,
    /// A person accepts that the fence is not sure, and any loss.
    pub forced: bool,
    /// A person asked for it: it is not called off because the primary answers.
    pub by_person: bool,
    /// The primary answers again, with its data, and takes writes.
    pub old_recovered: bool,
    /// The durable decision, once it was taken.
    pub decided: Option<Decided>,
    /// We follow the new primary.
    pub following_new: bool,
    /// The fence is in place at the new primary.
    pub armed: bool,
    /// How long the operation has been under way.
    pub running_for: Duration,
}

/// A durable decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decided {
    /// The new primary.
    pub node: NodeId,
    /// What it must have before it is promoted.
    pub cut: Offset,
    /// For how long it has been known that it can't be promoted: no process listens there, or it came back without what
    /// it had. Zero while it can, or while that is not known.
    pub unfit_for: Duration,
}

/// A decided node that has been unfit for so long is given up.
pub const UNFIT_MAX: Duration = Duration::from_secs(5);
/// How long nodes may take to apply what the log holds, before one that is ahead of others is taken as it is.
pub const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long an old primary that was shut may take to send its last bytes.
pub const RECEIVE_MAX: Duration = Duration::from_secs(10);
/// A candidate that lacks no more than this of what another has counts as equal: the log gives it the rest at once.
pub const EQUAL_WITHIN_BYTES: u64 = 1 << 20;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Stop following the old primary, so that its lease runs out.
    StopFollowing,
    /// Shut the old primary to writes, since it answers.
    ShutOld,
    /// Keep the decision: this node, with everything up to here.
    Decide {
        /// The new primary.
        node: NodeId,
        /// The last offset that it has of the old history.
        cut: Offset,
    },
    /// Make the decided node a primary.
    Promote(NodeId),
    /// Follow the new primary.
    FollowNew(NodeId),
    /// Put the fence in place at the new primary.
    Arm(NodeId),
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Do this.
    Do(Step),
    /// Nothing to do but wait.
    Wait(Waiting),
    /// It is no longer needed, and nothing was changed but the link, which is taken up again.
    CallOff,
    /// The decided node can't be promoted: end here, and another failover begins.
    GiveUp,
    /// Everything is done.
    Done,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// For the old primary to have shut itself.
    Lease {
        /// So long still.
        left: Duration,
    },
    /// For a fence that was never in place: only a person can accept that.
    Force,
    /// For the last bytes of an old primary that was shut.
    Receive {
        /// So many.
        bytes: u64,
    },
    /// For a node that could take over.
    Candidate,
    /// For the chosen node to apply what the log holds.
    Drain {
        /// Bytes that it lacks.
        bytes: u64,
    },
    /// For the decided node, which does not answer.
    Decided,
}

/// The next step.
pub fn next(world: &World) -> Next {
    match world.decided {
        Some(decided) => complete(world, decided),
        None => prepare(world),
    }
}

fn prepare(world: &World) -> Next {
    if world.old_recovered && !world.by_person {
        return Next::CallOff;
    }
    let Some(best) = choose(world) else {
        // Without anybody to take over the old primary is left alone.
        return Next::Wait(Waiting::Candidate);
    };
    if world.old == OldPrimary::Answers {
        return Next::Do(Step::ShutOld);
    }
    let sends = world.old == OldPrimary::Shut && world.following_old && world.unreceived_bytes > 0;
    if sends && world.running_for < RECEIVE_MAX {
        return Next::Wait(Waiting::Receive {
            bytes: world.unreceived_bytes,
        });
    }
    if world.following_old {
        return Next::Do(Step::StopFollowing);
    }
    match (world.old, world.fence) {
        (OldPrimary::Gone | OldPrimary::Shut | OldPrimary::Answers, _)
        | (OldPrimary::Silent, Fence::None) => {}
        (OldPrimary::Silent, _) if world.forced => {}
        (OldPrimary::Silent, Fence::NotArmed) => return Next::Wait(Waiting::Force),
        (OldPrimary::Silent, Fence::Lease { left }) if !left.is_zero() => {
            return Next::Wait(Waiting::Lease { left });
        }
        (OldPrimary::Silent, Fence::Lease { .. }) => {}
    }
    if best.applied < world.log_end && world.running_for < DRAIN_MAX {
        return Next::Wait(Waiting::Drain {
            bytes: world.log_end.bytes_since(best.applied),
        });
    }
    Next::Do(Step::Decide {
        node: best.node,
        cut: best.applied,
    })
}

fn complete(world: &World, decided: Decided) -> Next {
    let node = decided.node;
    if world.following_old {
        return Next::Do(Step::StopFollowing);
    }
    let seen = world
        .candidates
        .iter()
        .find(|candidate| candidate.node == node && candidate.answers);
    match seen {
        Some(seen) if seen.is_primary => {}
        // It may have restarted since: from an older file, or empty.
        Some(seen) if seen.in_history && seen.applied >= decided.cut => return Next::Do(Step::Promote(node)),
        _ if decided.unfit_for >= UNFIT_MAX => return Next::GiveUp,
        Some(seen) if seen.in_history => {
            return Next::Wait(Waiting::Drain {
                bytes: decided.cut.bytes_since(seen.applied),
            });
        }
        _ => return Next::Wait(Waiting::Decided),
    }
    if !world.following_new {
        return Next::Do(Step::FollowNew(node));
    }
    if !world.armed {
        return Next::Do(Step::Arm(node));
    }
    Next::Done
}

/// The candidate with the highest offset of the right history; those that lack next to nothing count as equal, and then
/// the order of preference decides.
pub fn choose(world: &World) -> Option<&Candidate> {
    let able = || {
        world.candidates.iter().filter(|candidate| {
            candidate.answers
                && candidate.in_history
                && !candidate.is_primary
                && world.only.is_none_or(|only| candidate.preference == only)
        })
    };
    let highest = able().map(|candidate| candidate.applied).max()?;
    able()
        .filter(|candidate| highest.bytes_since(candidate.applied) <= EQUAL_WITHIN_BYTES)
        // One that has more than the log can't be caught up with by the others.
        .filter(|candidate| highest <= world.log_end || candidate.applied == highest)
        .min_by_key(|candidate| {
            (
                candidate.preference,
                std::cmp::Reverse(candidate.applied),
                candidate.node,
            )
        })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StopFollowing => "let go of the old primary, so that its lease runs out",
            Self::ShutOld => "the old primary answers: shut it to writes",
            Self::Decide { .. } => {
                "the old primary can take no writes, and the chosen node has everything: keep the decision"
            }
            Self::Promote(_) => "make the chosen node the primary",
            Self::FollowNew(_) => "follow the new primary, so that the other nodes continue without a recopy",
            Self::Arm(_) => "put the fence in place at the new primary",
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { left } => write!(
                f,
                "waiting until the old primary has surely shut itself to writes: {} left of its lease",
                seconds(*left)
            ),
            Self::Force => f.write_str(
                "the old primary does not answer and the fence was never in place there: it may still take writes. \
                 `sterna failover --force` accepts that",
            ),
            Self::Receive { bytes } => write!(f, "the old primary is shut; waiting for its last {bytes} bytes"),
            Self::Candidate => f.write_str("waiting for a replica node that answers and holds a whole copy"),
            Self::Drain { bytes } => write!(f, "waiting until the chosen node has applied {bytes} more bytes of the log"),
            Self::Decided => f.write_str("the node that was decided on does not answer, or lost what it had; waiting for it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(node: usize, preference: usize, applied: u64) -> Candidate {
        Candidate {
            node: NodeId(node),
            preference,
            answers: true,
            in_history: true,
            applied: Offset::new(applied),
            is_primary: false,
        }
    }

    fn world(candidates: Vec<Candidate>) -> World {
        World {
            old: OldPrimary::Silent,
            fence: Fence::Lease { left: Duration::ZERO },
            following_old: false,
            unreceived_bytes: 0,
            log_end: Offset::new(1000),
            candidates,
            only: None,
            forced: false,
            by_person: false,
            old_recovered: false,
            decided: None,
            following_new: false,
            armed: false,
            running_for: Duration::ZERO,
        }
    }

    fn decided(node: usize) -> Decided {
        Decided {
            node: NodeId(node),
            cut: Offset::new(1000),
            unfit_for: Duration::ZERO,
        }
    }

    #[test]
    fn a_decided_node_that_lost_what_it_had_is_not_promoted() {
        let mut world = world(vec![candidate(0, 0, 990)]);
        world.decided = Some(decided(0));
        assert_eq!(next(&world), Next::Wait(Waiting::Drain { bytes: 10 }));
        world.candidates[0].in_history = false;
        assert_eq!(next(&world), Next::Wait(Waiting::Decided));
        world.candidates[0].answers = false;
        assert_eq!(next(&world), Next::Wait(Waiting::Decided));
        let unfit_for = UNFIT_MAX;
        world.decided = Some(Decided {
            unfit_for,
            ..decided(0)
        });
        assert_eq!(next(&world), Next::GiveUp);
    }

    #[test]
    fn the_old_primary_is_left_alone_while_nobody_could_take_over() {
        let mut world = world(Vec::new());
        (world.old, world.by_person, world.following_old) = (OldPrimary::Answers, true, true);
        assert_eq!(next(&world), Next::Wait(Waiting::Candidate));
    }

    fn decides(node: usize, cut: u64) -> Next {
        Next::Do(Step::Decide {
            node: NodeId(node),
            cut: Offset::new(cut),
        })
    }

    #[test]
    fn nobody_is_promoted_while_the_lease_may_run() {
        let mut world = world(vec![candidate(0, 0, 1000)]);
        let left = Duration::from_millis(1);
        world.fence = Fence::Lease { left };
        assert_eq!(next(&world), Next::Wait(Waiting::Lease { left }));
        world.fence = Fence::NotArmed;
        assert_eq!(next(&world), Next::Wait(Waiting::Force));
        for free in [
            World {
                fence: Fence::None,
                ..world.clone()
            },
            World {
                forced: true,
                ..world.clone()
            },
            World {
                old: OldPrimary::Gone,
                ..world.clone()
            },
            World {
                old: OldPrimary::Shut,
                ..world.clone()
            },
            World {
                fence: Fence::Lease { left: Duration::ZERO },
                ..world.clone()
            },
        ] {
            assert_eq!(next(&free), decides(0, 1000), "{free:?}");
        }
    }

    #[test]
    fn an_old_primary_that_answers_is_shut_first_even_where_a_person_forces_it() {
        let mut world = world(vec![candidate(0, 0, 1000)]);
        (world.old, world.forced, world.by_person) = (OldPrimary::Answers, true, true);
        assert_eq!(next(&world), Next::Do(Step::ShutOld));
    }

    #[test]
    fn an_old_primary_that_answers_sends_its_last_bytes_before_it_is_let_go() {
        let mut world = world(vec![candidate(0, 0, 1000)]);
        (world.by_person, world.following_old, world.unreceived_bytes) = (true, true, 70);
        world.old = OldPrimary::Answers;
        assert_eq!(next(&world), Next::Do(Step::ShutOld));
        world.old = OldPrimary::Shut;
        assert_eq!(next(&world), Next::Wait(Waiting::Receive { bytes: 70 }));
        world.unreceived_bytes = 0;
        assert_eq!(next(&world), Next::Do(Step::StopFollowing));
        (world.unreceived_bytes, world.running_for) = (70, RECEIVE_MAX);
        assert_eq!(next(&world), Next::Do(Step::StopFollowing));
    }

    #[test]
    fn it_is_called_off_when_the_primary_is_back_unless_a_person_asked_or_it_was_decided() {
        let mut world = world(vec![candidate(0, 0, 1000)]);
        (world.old, world.old_recovered) = (OldPrimary::Answers, true);
        assert_eq!(next(&world), Next::CallOff);
        world.by_person = true;
        assert_eq!(next(&world), Next::Do(Step::ShutOld));
        (world.by_person, world.decided) = (false, Some(decided(0)));
        assert_eq!(next(&world), Next::Do(Step::Promote(NodeId(0))));
    }

    #[test]
    fn the_highest_offset_wins_and_preference_decides_among_equals() {
        let far = 50 * EQUAL_WITHIN_BYTES;
        let mut world = world(vec![candidate(0, 0, 10), candidate(1, 1, far)]);
        world.log_end = Offset::new(far);
        assert_eq!(next(&world), decides(1, far));
        world.candidates = vec![
            candidate(0, 1, far),
            candidate(1, 0, far - 5),
            candidate(2, 2, far),
        ];
        assert_eq!(next(&world), Next::Wait(Waiting::Drain { bytes: 5 }));
        world.candidates[1].applied = Offset::new(far);
        assert_eq!(next(&world), decides(1, far));
        world.only = Some(2);
        assert_eq!(next(&world), decides(2, far));
    }

    #[test]
    fn one_that_holds_more_than_the_log_is_taken_before_a_preferred_one_that_could_never_get_it() {
        let world = world(vec![candidate(0, 0, 1000), candidate(1, 1, 1010)]);
        assert_eq!(next(&world), decides(1, 1010));
    }

    #[test]
    fn strangers_and_the_silent_are_no_candidates() {
        let mut strangers = vec![candidate(0, 0, 1000), candidate(1, 0, 1000)];
        strangers[0].in_history = false;
        strangers[1].answers = false;
        assert_eq!(next(&world(strangers)), Next::Wait(Waiting::Candidate));
    }

    #[test]
    fn after_the_decision_every_step_leads_to_the_end() {
        let mut world = world(vec![candidate(0, 0, 1000)]);
        world.decided = Some(decided(0));
        assert_eq!(next(&world), Next::Do(Step::Promote(NodeId(0))));
        world.candidates[0].is_primary = true;
        assert_eq!(next(&world), Next::Do(Step::FollowNew(NodeId(0))));
        world.following_new = true;
        assert_eq!(next(&world), Next::Do(Step::Arm(NodeId(0))));
        world.armed = true;
        assert_eq!(next(&world), Next::Done);
    }
}
