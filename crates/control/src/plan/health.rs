//! Is the primary lost? And if it is, may a replica service be promoted without a person?

mod observe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sterna_model::FailoverReadiness;

pub(crate) use sterna_model::{
    FailoverCause as Cause, FailoverObstacle as Obstacle, FailoverWait as Waiting,
    PrimaryImpairment as Impairment, PrimaryVerdict as Verdict,
};

pub(crate) use crate::observe::ProbeResult;
pub(crate) use observe::{failover_policy, primary_observation};

/// What is known of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PrimaryObservation {
    /// The last look.
    pub(crate) result: ProbeResult,
    /// How long ago it last showed that it works as a primary, by any signal: an answer, or bytes of its stream.
    pub(crate) quiet_for: Duration,
    /// For how much of that time it was looked at in vain while another node of the group answered. Where nobody answers
    /// it is us who are cut off, and when that ends, somebody is the first to be heard again.
    pub(crate) quiet_beside_others: Duration,
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
    /// How long it must have been looked at in vain while others answered, where it is silent.
    pub(crate) silence: Duration,
    /// How long its own Sentinels may take to promote one of its own nodes; none without Sentinels, or where none of its
    /// nodes answers that they could promote.
    pub(crate) sentinel_grace: Option<Duration>,
    /// How long its Sentinels may still take to replace it, where it came back without its data while they did; none where
    /// they do not.
    pub(crate) local_failover: Option<Duration>,
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
    /// Others, which operators want never to be promoted.
    pub(crate) never_promoted: usize,
    /// Any node of the group answers: else it is us who are cut off.
    pub(crate) anybody_answers: bool,
    /// The store could not keep the decision.
    pub(crate) store_full: bool,
    /// For how long writes would be lost with the replica node that has most. None where nobody can tell.
    pub(crate) loss: Option<Duration>,
    /// So much may be lost without a person.
    pub(crate) loss_max: Duration,
    /// A fence is wanted and was never seen in place at this primary.
    pub(crate) unfenced: bool,
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
    let waiting = if lost == Cause::LostItsData {
        now.local_failover.map(|left| Waiting::Sentinel { left })
    } else {
        not_sure_yet(seen, now)
    };
    if let Some(waiting) = waiting {
        return Verdict::Waiting(waiting);
    }
    if now.since_change < now.pause {
        return Verdict::Waiting(Waiting::Pause {
            left: now.pause.saturating_sub(now.since_change),
        });
    }
    Verdict::FailOver(lost)
}

/// Whether a failover would happen by itself if the primary's process ended now.
pub(crate) fn readiness(seen: &PrimaryObservation, now: &FailoverPolicy) -> FailoverReadiness {
    if seen.result == ProbeResult::NotProbed {
        return FailoverReadiness::Unknown;
    }
    FailoverReadiness::of(obstacle(ProbeResult::Refused, now))
}

fn not_sure_yet(seen: &PrimaryObservation, now: &FailoverPolicy) -> Option<Waiting> {
    let (quiet_for, down_after) = match seen.result {
        ProbeResult::Silent => (seen.quiet_beside_others, now.silence),
        // Its host answered.
        _ => (seen.quiet_for, now.down_after),
    };
    if quiet_for < down_after {
        return Some(Waiting::DownAfter {
            quiet_for,
            down_after,
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
    if now.store_full {
        return Some(Obstacle::StoreFull);
    }
    if now.candidates == 0 {
        return Some(match now.never_promoted {
            0 => Obstacle::NoCandidate,
            _ => Obstacle::NeverPromoted,
        });
    }
    // A process that is not there needs no fence, nor does a replica, nor one that answers: its writes are blocked first.
    let needs_none = matches!(
        result,
        ProbeResult::Refused | ProbeResult::Replica | ProbeResult::Primary
    );
    if now.unfenced && !needs_none {
        return Some(Obstacle::Unfenced);
    }
    match now.loss {
        None => Some(Obstacle::LossUnknown),
        Some(loss) => (loss > now.loss_max).then_some(Obstacle::Loss {
            loss,
            loss_max: now.loss_max,
        }),
    }
}
