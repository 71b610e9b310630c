//! Is the primary lost? And if it is, may a replica service be promoted without a person?

mod observe;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use super::seconds;

pub(crate) use crate::observe::ProbeResult;
pub(crate) use observe::{failover_policy, primary_observation, unreplicated};

/// What is known of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PrimaryObservation {
    /// The last look.
    pub(crate) result: ProbeResult,
    /// How long ago it last showed that it works as a primary, by any signal: an answer, or bytes of its stream.
    pub(crate) quiet_for: Duration,
    /// Its history does not continue what the replica services hold: it came back empty, or older (invariant I4).
    pub(crate) lost_its_data: bool,
    /// It is a replica of our own relay, and no change of primary is under way: it was decided on and never promoted.
    pub(crate) follows_us: bool,
}

/// The rules and circumstances of a failover without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct FailoverPolicy {
    /// How long it must have been away.
    pub(crate) down_after: Duration,
    /// How long its own Sentinels may take to promote one of its own nodes; none without Sentinels, or where none of its
    /// nodes answers that they could promote.
    pub(crate) sentinel_grace: Option<Duration>,
    /// A failover without a person is wanted.
    pub(crate) automatic: bool,
    /// A person wants nothing to be changed now.
    pub(crate) paused: bool,
    /// How long ago the last failover was.
    pub(crate) since_change: Duration,
    /// How long it must be ago.
    pub(crate) pause: Duration,
    /// Replica nodes that answer and hold a whole copy.
    pub(crate) candidates: usize,
    /// Any node of the group answers: else it is us who are cut off.
    pub(crate) anybody_answers: bool,
    /// Seconds of writes that would be lost.
    pub(crate) loss: Duration,
    /// So much may be lost without a person.
    pub(crate) loss_max: Duration,
    /// A fence is wanted and was never seen in place at this primary.
    pub(crate) unfenced: bool,
}

/// What is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It works.
    Healthy,
    /// It is there, but something is wrong that a failover would not mend, or that is not known to be its end.
    Impaired(Impairment),
    /// It seems to be lost; wait until that is sure.
    Waiting(Waiting),
    /// It is lost, and nothing is done by itself.
    LeftToPeople(Obstacle),
    /// It is lost: promote a replica service.
    FailOver(Cause),
}

/// Why a primary that is there does not do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Impairment {
    /// Nothing is known yet.
    NotLookedAt,
    /// It refuses us.
    Denied,
    /// Somebody made it a replica.
    Demoted,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Waiting {
    /// For it to have been away long enough.
    DownAfter {
        /// So long it has been away.
        quiet_for: Duration,
        /// So long it must have been.
        down_after: Duration,
    },
    /// For its own Sentinels.
    Sentinel {
        /// So long they still have.
        left: Duration,
    },
    /// For the last change of primary to be long enough ago.
    Pause {
        /// So long still.
        left: Duration,
    },
}

/// Why nothing is done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Obstacle {
    /// It is switched off.
    NotAutomatic,
    /// The group is paused.
    Paused,
    /// The gateway reaches nobody.
    CutOff,
    /// Nobody could take over.
    NoCandidate,
    /// Too much would be lost.
    Loss {
        /// So much.
        loss: Duration,
        /// So much would be allowed.
        loss_max: Duration,
    },
    /// The old primary could go on taking writes.
    Unfenced,
}

/// Why a failover begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// No process listens at its host.
    Refused {
        /// For so long.
        quiet_for: Duration,
    },
    /// It does not answer.
    Silent {
        /// For so long.
        quiet_for: Duration,
    },
    /// It loads its data, or waits for somebody to make it a primary again.
    NotServing {
        /// For so long.
        quiet_for: Duration,
    },
    /// It was decided on in the last change of primary, and could not be promoted.
    NotPromoted {
        /// For so long nothing has served as the primary.
        quiet_for: Duration,
    },
    /// It came back without its data.
    LostItsData,
}

impl Cause {
    /// For how long the primary had not served when it was taken for lost.
    pub(crate) fn quiet_for(self) -> Duration {
        match self {
            Self::Refused { quiet_for }
            | Self::Silent { quiet_for }
            | Self::NotServing { quiet_for }
            | Self::NotPromoted { quiet_for } => quiet_for,
            Self::LostItsData => Duration::ZERO,
        }
    }
}

/// Judges the primary.
pub(crate) fn evaluate(seen: &PrimaryObservation, now: &FailoverPolicy) -> Verdict {
    let lost = match seen.result {
        ProbeResult::NotProbed => return Verdict::Impaired(Impairment::NotLookedAt),
        ProbeResult::Denied => return Verdict::Impaired(Impairment::Denied),
        ProbeResult::Replica if seen.follows_us => Cause::NotPromoted {
            quiet_for: seen.quiet_for,
        },
        // Somebody's own failover is not fought with.
        ProbeResult::Replica => return Verdict::Impaired(Impairment::Demoted),
        ProbeResult::Primary if seen.lost_its_data => Cause::LostItsData,
        ProbeResult::Primary => return Verdict::Healthy,
        ProbeResult::Loading => Cause::NotServing {
            quiet_for: seen.quiet_for,
        },
        ProbeResult::Refused => Cause::Refused {
            quiet_for: seen.quiet_for,
        },
        ProbeResult::Silent => Cause::Silent {
            quiet_for: seen.quiet_for,
        },
    };
    if let Some(obstacle) = obstacle(seen.result, now) {
        return Verdict::LeftToPeople(obstacle);
    }
    if lost != Cause::LostItsData
        && let Some(waiting) = not_sure_yet(seen, now)
    {
        return Verdict::Waiting(waiting);
    }
    if now.since_change < now.pause {
        return Verdict::Waiting(Waiting::Pause {
            left: now.pause.saturating_sub(now.since_change),
        });
    }
    Verdict::FailOver(lost)
}

fn not_sure_yet(seen: &PrimaryObservation, now: &FailoverPolicy) -> Option<Waiting> {
    if seen.quiet_for < now.down_after {
        return Some(Waiting::DownAfter {
            quiet_for: seen.quiet_for,
            down_after: now.down_after,
        });
    }
    let grace = now.sentinel_grace.filter(|grace| seen.quiet_for < *grace)?;
    Some(Waiting::Sentinel {
        left: grace.saturating_sub(seen.quiet_for),
    })
}

fn obstacle(result: ProbeResult, now: &FailoverPolicy) -> Option<Obstacle> {
    if !now.automatic {
        return Some(Obstacle::NotAutomatic);
    }
    if now.paused {
        return Some(Obstacle::Paused);
    }
    if !now.anybody_answers {
        return Some(Obstacle::CutOff);
    }
    if now.candidates == 0 {
        return Some(Obstacle::NoCandidate);
    }
    // A process that is not there needs no fence.
    if now.unfenced && result != ProbeResult::Refused {
        return Some(Obstacle::Unfenced);
    }
    (now.loss > now.loss_max).then_some(Obstacle::Loss {
        loss: now.loss,
        loss_max: now.loss_max,
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("the primary answers and takes writes"),
            Self::Impaired(impairment) => impairment.fmt(f),
            Self::Waiting(waiting) => waiting.fmt(f),
            Self::LeftToPeople(obstacle) => write!(
                f,
                "the primary is lost, and no failover happens by itself: {obstacle}"
            ),
            Self::FailOver(cause) => write!(f, "failing over: {cause}"),
        }
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLookedAt => "the primary was not looked at yet",
            Self::Denied => {
                "the primary answers, but not to this gateway: it can't be watched, and its state is not known. Clients \
                 may still write to it, so no failover happens by itself"
            }
            Self::Demoted => {
                "somebody made the primary node a replica; it is not fought with. If that was a failover of your own, \
                 the new primary is followed as soon as it is found among the service's nodes"
            }
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DownAfter {
                quiet_for,
                down_after,
            } => write!(
                f,
                "the primary has not answered for {}; a failover begins after {}",
                seconds(*quiet_for),
                seconds(*down_after)
            ),
            Self::Sentinel { left } => write!(
                f,
                "the primary is lost; its own Sentinels have {} left to promote one of its own nodes",
                seconds(*left)
            ),
            Self::Pause { left } => write!(
                f,
                "the primary is lost, but the last failover was only just now: the next begins in {}",
                seconds(*left)
            ),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAutomatic => f.write_str("automatic failover is switched off (`sterna failover` does it)"),
            Self::Paused => f.write_str("the group is paused (`sterna resume` ends that, `sterna failover` does it now)"),
            Self::CutOff => f.write_str("the gateway reaches no node of the group at all, so it is probably cut off itself"),
            Self::NoCandidate => f.write_str("no replica node answers that holds a whole copy"),
            Self::Loss { loss, loss_max } => write!(
                f,
                "{} of writes would be lost, and max_lag_on_failover_seconds allows {} (`sterna failover --force` accepts it)",
                seconds(*loss),
                seconds(*loss_max)
            ),
            Self::Unfenced => f.write_str(
                "the fence was never in place at the primary, so it could go on taking writes (`sterna failover --force` \
                 accepts that)",
            ),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { quiet_for } => {
                write!(
                    f,
                    "no process listens at the primary's host any more, for {}",
                    seconds(*quiet_for)
                )
            }
            Self::Silent { quiet_for } => {
                write!(f, "the primary has not answered for {}", seconds(*quiet_for))
            }
            Self::NotServing { quiet_for } => write!(
                f,
                "the primary has been loading its data for {}",
                seconds(*quiet_for)
            ),
            Self::NotPromoted { quiet_for } => write!(
                f,
                "the node that was to be the primary was never promoted and is a replica, for {}",
                seconds(*quiet_for)
            ),
            Self::LostItsData => {
                f.write_str("the primary came back without the data that the replica services hold")
            }
        }
    }
}
