//! The next step of a planned change of primary.
//!
//! Until the decision is stored everything can be taken back: the old primary takes its writes again, with its clients
//! still waiting. Nobody is promoted before the old primary stepped down and the new one has its last byte.

mod observe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sterna_protocol::Offset;
use sterna_replication::Handover;

use super::failover::UNFIT_MAX;
use super::{End, Next, NodeId, Step, Wait};
use crate::known::Followed;

pub(crate) use crate::run::Abort;
pub(crate) use observe::observe;

/// How far the old primary is with `FAILOVER TO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OldPrimary {
    /// It takes writes.
    TakesWrites(NodeId),
    /// It keeps writes waiting until our acknowledgement equals its offset.
    Pauses,
    /// It stepped down and asks us to follow.
    SteppedDown {
        /// Everything that it has.
        offset: Offset,
    },
    /// It follows the new primary.
    Follows,
    /// It does not answer.
    Unknown,
}

/// The node that shall take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) node: NodeId,
    /// It answers, and follows or takes writes already.
    pub(crate) follows: bool,
    /// What it has applied.
    pub(crate) applied: Offset,
    /// It takes writes already.
    pub(crate) is_primary: bool,
    /// What it holds is of the old primary's history.
    pub(crate) in_history: bool,
}

/// What a switchover depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct SwitchoverInput {
    /// The node of the old primary, as far as it is known.
    pub(crate) old_node: Option<NodeId>,
    /// How far it is.
    pub(crate) old: OldPrimary,
    /// It is lost, as a failover would see it.
    pub(crate) old_lost: bool,
    /// What the shard does about it when it hands over. With `Hold` the log stands ready to take over: everything is acknowledged
    /// at once, and it is let wait.
    pub(crate) handover: Handover,
    /// We follow the old primary's stream.
    pub(crate) streaming: bool,
    /// The end of the log.
    pub(crate) log_end: Offset,
    /// The node that shall take over.
    pub(crate) target: Option<Target>,
    /// That was looked at since the old primary was first seen as a replica: it is there still.
    pub(crate) target_seen: bool,
    /// It was decided durably, with everything up to here.
    pub(crate) decided: Option<Offset>,
    /// Somebody wants it to end.
    pub(crate) cancelled: bool,
    /// How far we are with following the new primary.
    pub(crate) new: Followed,
    /// For how long the decided target can't have been promoted: it does not answer, or came back without what it had.
    pub(crate) unfit_for: Duration,
    /// Another node could take over: the old primary, which has everything, or one of another service.
    pub(crate) has_other: bool,
    /// The old primary answers, and we have not blocked its writes.
    pub(crate) old_is_open: bool,
    /// The fence is in place at the new primary.
    pub(crate) fence_in_place: bool,
    /// For how long writes have been waiting, or everything else up to that.
    pub(crate) waiting_for: Duration,
    /// For how long at most.
    pub(crate) waiting_max: Duration,
}

/// A target may lack this much when writes are stopped.
pub(crate) const BEHIND_MAX_BYTES: u64 = 4 << 20;

/// The next step.
pub(crate) fn next(input: &SwitchoverInput) -> Next {
    match input.decided {
        Some(divergence_offset) => complete(input, divergence_offset),
        None => prepare(input),
    }
}

fn prepare(input: &SwitchoverInput) -> Next {
    let target = match abort_or_target(input) {
        Ok(target) => target,
        Err(why) => {
            return Next::Do(Step::Abort {
                old: input.old_node,
                why,
            });
        }
    };
    let lacks = input.log_end.bytes_since(target.applied);
    match input.old {
        OldPrimary::TakesWrites(_) if input.handover == Handover::Hold && !input.streaming => {
            Next::Do(Step::Abort {
                old: input.old_node,
                why: Abort::StreamLost,
            })
        }
        OldPrimary::TakesWrites(_) if lacks > BEHIND_MAX_BYTES || !input.streaming => {
            Next::Wait(Wait::CatchUp { bytes: lacks })
        }
        OldPrimary::TakesWrites(old) if input.handover != Handover::Hold => {
            Next::Do(Step::PrepareHandover(old))
        }
        OldPrimary::TakesWrites(old) => Next::Do(Step::PauseWrites(old)),
        OldPrimary::SteppedDown { offset } if input.log_end >= offset && lacks == 0 && input.target_seen => {
            Next::Do(Step::Decide {
                node: target.node,
                divergence_offset: offset,
            })
        }
        OldPrimary::SteppedDown { .. } => Next::Wait(Wait::Apply {
            bytes: lacks,
            writes_paused: true,
        }),
        OldPrimary::Pauses | OldPrimary::Follows | OldPrimary::Unknown => Next::Wait(Wait::StepDown),
    }
}

/// The target, where nothing speaks for taking everything back.
fn abort_or_target(input: &SwitchoverInput) -> Result<Target, Abort> {
    if input.cancelled {
        return Err(Abort::Cancelled);
    }
    if input.waiting_for > input.waiting_max {
        return Err(if input.old == OldPrimary::Unknown {
            Abort::OldLost
        } else {
            Abort::TimedOut
        });
    }
    // What is lost is not waited for: a failover follows.
    if input.old_lost && input.old == OldPrimary::Unknown {
        return Err(Abort::OldLost);
    }
    input
        .target
        .filter(|target| target.follows)
        .ok_or(Abort::TargetLost)
}

/// The new primary is not there, or lost its data: a failover follows, to the old one too. That one no longer waits for the new
/// one, and takes no writes before it is decided on.
fn give_up(input: &SwitchoverInput) -> Next {
    // One that follows already waits for nobody.
    let old = input.old_node.filter(|_| input.old != OldPrimary::Follows);
    if let Some(old) = old.filter(|_| input.old_is_open) {
        return Next::Do(Step::BlockWrites(old));
    }
    if input.handover != Handover::Refuse {
        let why = Abort::TargetLost;
        return Next::Do(Step::Abort { old, why });
    }
    Next::Done(End::NotPromotable)
}

fn complete(input: &SwitchoverInput, divergence_offset: Offset) -> Next {
    let Some(target) = input.target else {
        return Next::Wait(Wait::NewPrimary);
    };
    if input.new == Followed::DoesNotContinue || (input.unfit_for >= UNFIT_MAX && input.has_other) {
        return give_up(input);
    }
    if !target.is_primary {
        // It may have restarted since: from an older file, or empty.
        return if target.in_history && target.applied >= divergence_offset {
            Next::Do(Step::Promote(target.node))
        } else {
            Next::Wait(Wait::NewPrimary)
        };
    }
    match input.new {
        Followed::Streams => {}
        Followed::NotYet | Followed::DoesNotContinue => return Next::Do(Step::Follow(target.node)),
    }
    if input.handover != Handover::Accept {
        return Next::Do(Step::AcceptFormerPrimary);
    }
    if !input.fence_in_place {
        return Next::Do(Step::PlaceFence(target.node));
    }
    match input.old {
        OldPrimary::Follows | OldPrimary::Unknown => Next::Done(End::PrimaryChanged),
        _ if input.waiting_for > input.waiting_max => Next::Done(End::PrimaryChanged),
        _ => Next::Wait(Wait::FormerPrimary),
    }
}
