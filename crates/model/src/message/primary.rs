//! Primaries and failovers.

use std::fmt;

use super::seconds;
use crate::primary::{
    FailoverCause, FailoverObstacle, FailoverReadiness, FailoverWait, PrimaryImpairment, PrimaryVerdict,
};

impl fmt::Display for PrimaryVerdict {
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

impl fmt::Display for PrimaryImpairment {
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

impl fmt::Display for FailoverWait {
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

impl fmt::Display for FailoverObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAutomatic => f.write_str("automatic failover is switched off (`sterna failover` does it)"),
            Self::Paused => f.write_str("the group is paused (`sterna resume` ends that, `sterna failover` does it now)"),
            Self::CutOff => f.write_str("the gateway reaches no node of the group at all, so it is probably cut off itself"),
            Self::StoreFull => f.write_str(
                "the disk of the gateway's store is full, so that the decision could not be kept (make room there: it then begins \
                 by itself)",
            ),
            Self::NoCandidate => f.write_str("no replica node answers that holds a whole copy"),
            Self::NeverPromoted => f.write_str(
                "every node that could take over has replica-priority 0, and so is promoted by a person alone",
            ),
            Self::Loss { loss, loss_max } => write!(
                f,
                "{} of writes would be lost, and max_lag_on_failover_seconds allows {} (`sterna failover --force` accepts it)",
                seconds(*loss),
                seconds(*loss_max)
            ),
            Self::LossUnknown => f.write_str(
                "writes would be lost, and since when they have been missing lies before the gateway began, so it can't be \
                 compared with max_lag_on_failover_seconds (`sterna failover --force` accepts it)",
            ),
            Self::Unfenced => f.write_str(
                "the fence is not sure at the primary: it was never in place, or replicas of others came that may keep it \
                 open, and it was not raised yet; so it could go on taking writes (`sterna failover --force` accepts that)",
            ),
        }
    }
}

impl fmt::Display for FailoverCause {
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

impl fmt::Display for FailoverReadiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known yet"),
            Self::Automatic => f.write_str("automatic"),
            Self::ByHand(obstacle) => write!(f, "by hand: {obstacle}"),
            Self::NotPossible(obstacle) => write!(f, "not possible now: {obstacle}"),
        }
    }
}
