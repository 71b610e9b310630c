//! The next step of an unplanned change of primary.
//!
//! The order keeps the invariants: nobody is promoted before the old primary can no longer take writes (I1), or a person
//! said that this may be; the decision is durable before the promotion; whoever is promoted has everything that arrived
//! here (I3). Every step may be done again after a crash.

mod observe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sterna_protocol::Offset;

use super::local_promotion::Promoted;
use super::{End, Next, NodeId, Step, Wait};
use crate::known::Followed;

pub(crate) use observe::{candidates, is_unfit, lease_over, observe, old_primary};

/// How the old primary stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OldPrimary {
    /// No process listens at its host, and the connection that it had to us ended with it.
    Gone,
    /// It is a replica now, or we blocked its writes.
    Blocked,
    /// It answers, and may take writes.
    Answers,
    /// It does not answer, or something refuses in its place; nobody knows.
    Silent,
    /// It has not been looked at for as long as it takes to tell: nobody answered, and it may be us who were cut off.
    NotSeen,
}

/// What keeps the old primary from taking writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fence {
    /// Nothing, on purpose.
    None,
    /// The lease: it shuts itself when this time is over, at the latest.
    Lease {
        /// So long still.
        left: Duration,
    },
    /// A lease is wanted, but was never seen in place.
    NotInPlace,
}

/// A node that could take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Candidate {
    /// Which.
    pub(crate) node: NodeId,
    /// The place of its service in the order of preference; smaller is preferred.
    pub(crate) preference: usize,
    /// It answers.
    pub(crate) answers: bool,
    /// What it holds is of the old primary's history.
    pub(crate) in_history: bool,
    /// What it has applied.
    pub(crate) applied: Offset,
    /// With it less would be lost than the group's limit.
    pub(crate) loses_little: bool,
    /// `replica-priority`: among nodes of a service the lower is preferred; one with 0 is promoted by a person alone.
    pub(crate) priority: u32,
    /// It takes writes already: it was promoted.
    pub(crate) is_primary: bool,
    /// It was the primary before, and nobody has gone on from what it has.
    pub(crate) is_former: bool,
}

impl Candidate {
    /// Whether it could take over without a person.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_able() && self.loses_little && self.priority != 0
    }

    /// Whether it could take over where a person wants that.
    pub(crate) fn is_able(&self) -> bool {
        self.answers && self.in_history
    }
}

/// What a failover depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct FailoverInput {
    /// The old primary.
    pub(crate) old_node: NodeId,
    /// How it stands.
    pub(crate) old: OldPrimary,
    /// What keeps it from taking writes.
    pub(crate) fence: Fence,
    /// Other nodes of its service, and former primaries, that take writes.
    pub(crate) open_beside: Vec<NodeId>,
    /// We still follow the old primary, or try to.
    pub(crate) following_old: bool,
    /// The log is lost, and what the replica nodes hold is not known.
    pub(crate) must_learn_what_is_held: bool,
    /// Bytes of stream that the old primary has and can still send us.
    pub(crate) unreceived_bytes: u64,
    /// The end of the log.
    pub(crate) log_end: Offset,
    /// Nodes that have less than this can't be given the rest: the log begins here, and no whole snapshot leads to it.
    pub(crate) gives_from: Offset,
    /// The nodes that could take over.
    pub(crate) candidates: Vec<Candidate>,
    /// The node of the primary service that somebody else promoted.
    pub(crate) promoted: Option<Promoted>,
    /// It was seen, and is not at this moment.
    pub(crate) promoted_is_missed: bool,
    /// Only nodes of this preference: a person named the service.
    pub(crate) only: Option<usize>,
    /// A person accepts that the fence is not sure, and any loss.
    pub(crate) forced: bool,
    /// A person asked for it: it is not called off because the primary answers.
    pub(crate) by_person: bool,
    /// The primary answers again, with its data, and takes writes.
    pub(crate) old_recovered: bool,
    /// It would, if we had not blocked it.
    pub(crate) old_is_only_blocked: bool,
    /// The durable decision, once it was taken.
    pub(crate) decided: Option<Decided>,
    /// How far we are with following the new primary.
    pub(crate) new: Followed,
    /// The fence is in place at the new primary.
    pub(crate) fence_in_place: bool,
    /// How long the operation has been under way.
    pub(crate) running_for: Duration,
}

/// A durable decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Decided {
    /// The new primary.
    pub(crate) node: NodeId,
    /// What it must have before it is promoted.
    pub(crate) divergence_offset: Offset,
    /// For how long this has been decided.
    pub(crate) since: Duration,
    /// What the log holds of the old primary's history beyond that and is in no rescue file: after one offset, up to another.
    pub(crate) held: Option<(Offset, Offset)>,
    /// For how long it can't be promoted: it does not answer, refuses, loads, or came back without what it had. Zero while it can.
    pub(crate) unfit_for: Duration,
}

/// A decided node that has been unfit for so long is given up.
pub(crate) const UNFIT_MAX: Duration = Duration::from_secs(5);
/// What the log holds beyond the decision is saved before the new primary is followed, unless that can't be done for so long: a
/// full disk, say.
pub(crate) const SAVE_MAX: Duration = Duration::from_secs(60);
/// How long nodes may take to apply what the log holds, before one that is ahead of others is taken as it is.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long an old primary whose writes were blocked may take to send its last bytes.
pub(crate) const RECEIVE_MAX: Duration = Duration::from_secs(10);
/// A candidate that lacks no more than this of what another has counts as equal: the log gives it the rest at once.
pub(crate) const EQUAL_WITHIN_BYTES: u64 = 1 << 20;

/// The next step.
pub(crate) fn next(input: &FailoverInput) -> Next {
    match input.decided {
        Some(decided) => complete(input, decided),
        None => prepare(input),
    }
}

fn prepare(input: &FailoverInput) -> Next {
    // Clients write there already: who else could take over does not matter, unless a person names a service.
    if let Some(promoted) = input.promoted.filter(|_| input.only.is_none()) {
        return close_old(input, promoted.node).unwrap_or(Next::Do(Step::Decide {
            node: promoted.node,
            divergence_offset: promoted.divergence_offset,
        }));
    }
    if input.promoted_is_missed {
        return Next::Wait(Wait::NewPrimary);
    }
    if input.old_recovered && !input.by_person {
        return Next::Done(End::PrimaryRecovered);
    }
    let Some(best) = choose(input) else {
        // Without anybody to take over the old primary is left alone, or takes writes again.
        let goes_on = input.old_is_only_blocked && !input.by_person;
        return if goes_on {
            Next::Done(End::PrimaryRecovered)
        } else if input.old_recovered && !input.following_old && !input.must_learn_what_is_held {
            Next::Do(Step::Follow(input.old_node))
        } else {
            Next::Wait(Wait::Candidate)
        };
    };
    if let Some(next) = close_old(input, best.node) {
        return next;
    }
    match (input.old, input.fence) {
        (OldPrimary::Gone | OldPrimary::Blocked | OldPrimary::Answers, _)
        | (OldPrimary::Silent, Fence::None) => {}
        (OldPrimary::Silent | OldPrimary::NotSeen, _) if input.forced => {}
        (OldPrimary::NotSeen, _) => return Next::Wait(Wait::Primary),
        (OldPrimary::Silent, Fence::NotInPlace) => return Next::Wait(Wait::Force),
        (OldPrimary::Silent, Fence::Lease { left }) if !left.is_zero() => {
            return Next::Wait(Wait::Lease { left });
        }
        (OldPrimary::Silent, Fence::Lease { .. }) => {}
    }
    let can_catch_up = best.applied >= input.gives_from;
    if best.applied < input.log_end && can_catch_up && input.running_for < DRAIN_MAX {
        return Next::Wait(Wait::Apply {
            bytes: input.log_end.bytes_since(best.applied),
            writes_paused: false,
        });
    }
    Next::Do(Step::Decide {
        node: best.node,
        divergence_offset: best.applied,
    })
}

/// Nobody but the node that takes over takes writes where it can be told so, what the old primary took is received, and it is let
/// go. None where that is so. Who is shut here may be whom the Sentinels name: the group goes on elsewhere.
fn close_old(input: &FailoverInput, taking_over: NodeId) -> Option<Next> {
    let answers = (input.old == OldPrimary::Answers).then_some(input.old_node);
    let mut beside = input.open_beside.iter().copied();
    if let Some(open) = answers.or_else(|| beside.find(|open| *open != taking_over)) {
        return Some(Next::Do(Step::BlockWrites(open)));
    }
    let sends = input.old == OldPrimary::Blocked && input.following_old && input.unreceived_bytes > 0;
    if sends && input.running_for < RECEIVE_MAX {
        return Some(Next::Wait(Wait::LastBytes {
            bytes: input.unreceived_bytes,
        }));
    }
    input.following_old.then_some(Next::Do(Step::StopFollowing))
}

fn complete(input: &FailoverInput, decided: Decided) -> Next {
    let node = decided.node;
    if input.following_old {
        return Next::Do(Step::StopFollowing);
    }
    let node_now = input
        .candidates
        .iter()
        .find(|candidate| candidate.node == node && candidate.answers);
    match node_now {
        // Nobody is helped by giving it up while no other could take over: it may come back with what it had.
        _ if decided.unfit_for >= UNFIT_MAX && has_other(&input.candidates, node) => {
            return Next::Done(End::NotPromotable);
        }
        Some(seen) if seen.is_primary => {}
        // It may have restarted since: from an older file, or empty.
        Some(seen) if seen.in_history && seen.applied >= decided.divergence_offset => {
            return Next::Do(Step::Promote(node));
        }
        Some(seen) if seen.in_history => {
            return Next::Wait(Wait::Apply {
                bytes: decided.divergence_offset.bytes_since(seen.applied),
                writes_paused: false,
            });
        }
        _ => return Next::Wait(Wait::NewPrimary),
    }
    match input.new {
        Followed::Streams => {}
        // That it lost its data since is what the next failover is for.
        Followed::DoesNotContinue => return Next::Done(End::PrimaryChanged),
        Followed::NotYet => {
            // Where the new primary is followed the log is cut back to what that one has.
            return Next::Do(match decided.held {
                Some((after, to)) if decided.since < SAVE_MAX => Step::RescueFromLog { after, to },
                _ => Step::Follow(node),
            });
        }
    }
    if !input.fence_in_place {
        return Next::Do(Step::PlaceFence(node));
    }
    Next::Done(End::PrimaryChanged)
}

/// Whether a node other than the decided one could take over.
pub(crate) fn has_other(candidates: &[Candidate], decided: NodeId) -> bool {
    candidates
        .iter()
        .any(|candidate| candidate.node != decided && candidate.is_able())
}

/// The candidate with the highest offset of the right history; those that lack next to nothing count as equal, and then
/// the order of preference decides.
pub(crate) fn choose(input: &FailoverInput) -> Option<&Candidate> {
    let able = || {
        input.candidates.iter().filter(|candidate| {
            (candidate.is_fit() || (input.by_person && candidate.is_able()))
                && (!candidate.is_primary || candidate.is_former)
                && input.only.is_none_or(|only| candidate.preference == only)
        })
    };
    let highest = able().map(|candidate| candidate.applied).max()?;
    able()
        .filter(|candidate| highest.bytes_since(candidate.applied) <= EQUAL_WITHIN_BYTES)
        // One that has more than the log can't be caught up with by the others.
        .filter(|candidate| highest <= input.log_end || candidate.applied == highest)
        .min_by_key(|candidate| {
            (
                candidate.preference,
                // A person who has the choice takes none that is never to be promoted either.
                candidate.priority == 0,
                candidate.priority,
                std::cmp::Reverse(candidate.applied),
                candidate.node,
            )
        })
}
