//! The next step of a planned change of primary.
//!
//! Until the decision is kept everything can be taken back: the old primary takes its writes again, with its clients
//! still waiting. Nobody is promoted before the old primary stepped down and the new one has its last byte.

use std::fmt;
use std::time::Duration;

use sterna_protocol::Offset;

/// How far the old primary is with `FAILOVER TO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldPrimary {
    /// It takes writes.
    TakesWrites,
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

/// What is seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World {
    /// The old primary.
    pub old: OldPrimary,
    /// The log stands ready to take it over: everything is acknowledged at once, and it is let wait.
    pub ready: bool,
    /// We follow the old primary's stream.
    pub streaming: bool,
    /// The end of the log.
    pub log_end: Offset,
    /// The node that shall take over: it answers and follows.
    pub target_follows: bool,
    /// What it has applied.
    pub target_applied: Offset,
    /// It takes writes already.
    pub target_is_primary: bool,
    /// It was decided durably, with everything up to here.
    pub decided: Option<Offset>,
    /// What the target holds is of the old primary's history.
    pub target_in_history: bool,
    /// Somebody wants it to end.
    pub cancelled: bool,
    /// We follow the new primary.
    pub following_new: bool,
    /// The old primary was let follow.
    pub accepted: bool,
    /// The fence is in place at the new primary.
    pub armed: bool,
    /// For how long writes have been waiting, or everything else up to that.
    pub waiting_for: Duration,
    /// For how long at most.
    pub waiting_max: Duration,
}

/// A target may lack this much when writes are stopped.
pub const BEHIND_MAX_BYTES: u64 = 4 << 20;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Let the log stand ready, and tell the old primary how to log in to the relay.
    Prepare,
    /// `FAILOVER TO` the relay.
    Pause,
    /// Keep the decision: everything up to here is at the new primary.
    Decide {
        /// The last offset.
        cut: Offset,
    },
    /// Make the new primary one.
    Promote,
    /// Follow it.
    FollowNew,
    /// Let the old primary follow.
    Accept,
    /// Put the fence in place.
    Arm,
    /// Take everything back.
    Abort(Abort),
}

/// Why it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abort {
    /// Somebody wanted it.
    Cancelled,
    /// Writes would have waited for too long.
    TimedOut,
    /// The target is not there any more.
    TargetLost,
    /// The old primary is not there any more.
    OldLost,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Do this.
    Do(Step),
    /// Wait for that.
    Wait(Waiting),
    /// Done.
    Done,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// For the target to be close behind.
    CatchUp {
        /// Bytes that it lacks.
        bytes: u64,
    },
    /// For the old primary to see its last byte acknowledged and to step down.
    StepDown,
    /// For the target to apply the last bytes.
    Drain {
        /// Bytes that it lacks.
        bytes: u64,
    },
    /// For the new primary, which does not answer.
    Target,
    /// For the old primary to follow.
    OldFollows,
}

/// The next step.
pub fn next(world: &World) -> Next {
    match world.decided {
        Some(cut) => complete(world, cut),
        None => prepare(world),
    }
}

fn prepare(world: &World) -> Next {
    if let Some(why) = abort(world) {
        return Next::Do(Step::Abort(why));
    }
    let lacks = world.log_end.bytes_since(world.target_applied);
    match world.old {
        OldPrimary::TakesWrites if lacks > BEHIND_MAX_BYTES || !world.streaming => {
            Next::Wait(Waiting::CatchUp { bytes: lacks })
        }
        OldPrimary::TakesWrites if !world.ready => Next::Do(Step::Prepare),
        OldPrimary::TakesWrites => Next::Do(Step::Pause),
        OldPrimary::SteppedDown { offset } if world.log_end >= offset && lacks == 0 => {
            Next::Do(Step::Decide { cut: offset })
        }
        OldPrimary::SteppedDown { .. } => Next::Wait(Waiting::Drain { bytes: lacks }),
        OldPrimary::Pauses | OldPrimary::Follows | OldPrimary::Unknown => Next::Wait(Waiting::StepDown),
    }
}

fn abort(world: &World) -> Option<Abort> {
    if world.cancelled {
        Some(Abort::Cancelled)
    } else if world.waiting_for > world.waiting_max {
        Some(if world.old == OldPrimary::Unknown {
            Abort::OldLost
        } else {
            Abort::TimedOut
        })
    } else if !world.target_follows {
        Some(Abort::TargetLost)
    } else {
        None
    }
}

fn complete(world: &World, cut: Offset) -> Next {
    if !world.target_is_primary {
        // It may have restarted since: from an older file, or empty.
        return if world.target_in_history && world.target_applied >= cut {
            Next::Do(Step::Promote)
        } else {
            Next::Wait(Waiting::Target)
        };
    }
    if !world.following_new {
        return Next::Do(Step::FollowNew);
    }
    if !world.accepted {
        return Next::Do(Step::Accept);
    }
    if !world.armed {
        return Next::Do(Step::Arm);
    }
    match world.old {
        OldPrimary::Follows | OldPrimary::Unknown => Next::Done,
        _ if world.waiting_for > world.waiting_max => Next::Done,
        _ => Next::Wait(Waiting::OldFollows),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare => f.write_str("make the log ready to take over from the old primary"),
            Self::Pause => f.write_str("let the old primary keep writes waiting and hand over"),
            Self::Decide { cut } => write!(
                f,
                "the target has everything up to offset {cut}: keep the decision"
            ),
            Self::Promote => f.write_str("make the target the primary"),
            Self::FollowNew => f.write_str("follow the new primary"),
            Self::Accept => f.write_str("let the old primary follow the new one"),
            Self::Arm => f.write_str("put the fence in place at the new primary"),
            Self::Abort(why) => write!(f, "take everything back: {why}"),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "it was cancelled",
            Self::TimedOut => "writes would have had to wait for longer than switchover_timeout_ms allows",
            Self::TargetLost => "the target does not follow any more",
            Self::OldLost => "the old primary does not answer any more",
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CatchUp { bytes } => write!(
                f,
                "waiting until the target is close behind: it lacks {bytes} bytes"
            ),
            Self::StepDown => f.write_str("writes wait; waiting until the old primary steps down"),
            Self::Drain { bytes } => write!(f, "writes wait; the target lacks {bytes} bytes"),
            Self::Target => {
                f.write_str("waiting for the new primary, which does not answer or lost what it had")
            }
            Self::OldFollows => {
                f.write_str("the new primary takes writes; waiting until the old one follows")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World {
            old: OldPrimary::TakesWrites,
            ready: false,
            streaming: true,
            log_end: Offset::new(100),
            target_follows: true,
            target_applied: Offset::new(100),
            target_is_primary: false,
            decided: None,
            target_in_history: true,
            cancelled: false,
            following_new: false,
            accepted: false,
            armed: false,
            waiting_for: Duration::ZERO,
            waiting_max: Duration::from_secs(5),
        }
    }

    #[test]
    fn writes_are_stopped_only_when_the_target_is_close_and_the_log_ready() {
        let mut world = world();
        world.log_end = Offset::new(101 + BEHIND_MAX_BYTES);
        assert!(matches!(next(&world), Next::Wait(Waiting::CatchUp { .. })));
        world.log_end = Offset::new(100);
        assert_eq!(next(&world), Next::Do(Step::Prepare));
        world.ready = true;
        assert_eq!(next(&world), Next::Do(Step::Pause));
        world.old = OldPrimary::Pauses;
        assert_eq!(next(&world), Next::Wait(Waiting::StepDown));
    }

    #[test]
    fn it_is_decided_when_the_target_has_the_last_byte_and_not_before() {
        let mut world = world();
        world.old = OldPrimary::SteppedDown {
            offset: Offset::new(130),
        };
        for (log_end, applied) in [(100, 100), (130, 129), (129, 129)] {
            (world.log_end, world.target_applied) = (Offset::new(log_end), Offset::new(applied));
            assert!(
                matches!(next(&world), Next::Wait(Waiting::Drain { .. })),
                "{log_end} {applied}"
            );
        }
        (world.log_end, world.target_applied) = (Offset::new(130), Offset::new(130));
        assert_eq!(
            next(&world),
            Next::Do(Step::Decide {
                cut: Offset::new(130)
            })
        );
    }

    #[test]
    fn before_the_decision_it_can_be_taken_back_and_after_it_only_completed() {
        let stepped_down = World {
            old: OldPrimary::SteppedDown {
                offset: Offset::new(100),
            },
            ..world()
        };
        let cases = [
            (
                World {
                    cancelled: true,
                    ..stepped_down.clone()
                },
                Abort::Cancelled,
            ),
            (
                World {
                    waiting_for: Duration::from_secs(6),
                    ..stepped_down.clone()
                },
                Abort::TimedOut,
            ),
            (
                World {
                    target_follows: false,
                    ..stepped_down.clone()
                },
                Abort::TargetLost,
            ),
        ];
        for (world, why) in cases {
            assert_eq!(next(&world), Next::Do(Step::Abort(why)));
            assert_eq!(
                next(&World {
                    decided: Some(Offset::new(100)),
                    ..world
                }),
                Next::Do(Step::Promote)
            );
        }
    }

    #[test]
    fn after_the_decision_the_steps_follow_in_order() {
        let mut world = World {
            decided: Some(Offset::new(100)),
            old: OldPrimary::SteppedDown {
                offset: Offset::new(100),
            },
            ..world()
        };
        assert_eq!(next(&world), Next::Do(Step::Promote));
        world.target_is_primary = true;
        assert_eq!(next(&world), Next::Do(Step::FollowNew));
        world.following_new = true;
        assert_eq!(next(&world), Next::Do(Step::Accept));
        world.accepted = true;
        assert_eq!(next(&world), Next::Do(Step::Arm));
        world.armed = true;
        assert_eq!(next(&world), Next::Wait(Waiting::OldFollows));
        world.old = OldPrimary::Follows;
        assert_eq!(next(&world), Next::Done);
    }
}
