//! What an operation does and waits for.

use std::fmt;

use super::seconds;
use crate::activity::{Activity, OperationWait};

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step } => f.write_str(step.message()),
            Self::Retry { error, .. } => f.write_str(error),
            Self::Wait(wait) => wait.fmt(f),
        }
    }
}

impl fmt::Display for OperationWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("waiting until the primary node was looked at"),
            Self::Stream { link } => write!(f, "waiting for the primary's stream: {}", link.word()),
            Self::Copy { service, address } => {
                write!(f, "waiting until {service} ({address}) has a whole copy")
            }
            Self::CopyFromPrimary => f.write_str("waiting for the end of the full copy"),
            Self::ReplicaCount => f.write_str("waiting until the primary counts the gateway as a replica"),
            Self::Lease { left } => write!(
                f,
                "waiting until the old primary has surely closed itself to writes: {} left of its lease",
                seconds(*left)
            ),
            Self::Force => f.write_str(
                "the old primary does not answer and the fence was never in place there: it may still take writes. \
                 `sterna failover --force` accepts that",
            ),
            Self::LastBytes { bytes } => write!(
                f,
                "the old primary takes no more writes; waiting for its last {bytes} bytes"
            ),
            Self::Candidate => {
                f.write_str("waiting for a replica node that answers and holds a whole copy")
            }
            Self::Apply {
                bytes,
                writes_paused: false,
            } => write!(
                f,
                "waiting until the chosen node has applied {bytes} more bytes of the log"
            ),
            Self::Apply {
                bytes,
                writes_paused: true,
            } => write!(f, "writes wait; the target lacks {bytes} bytes"),
            Self::NewPrimary => f.write_str(
                "waiting for the node that was decided on, which does not answer or lost what it had",
            ),
            Self::CatchUp { bytes } => write!(
                f,
                "waiting until the target is close behind: it lacks {bytes} bytes"
            ),
            Self::StepDown => f.write_str("writes wait; waiting until the old primary steps down"),
            Self::FormerPrimary => {
                f.write_str("the new primary takes writes; waiting until the old one follows")
            }
            Self::Node { service, address } => {
                write!(f, "waiting for {service} ({address}), which does not answer")
            }
            Self::Service { service } => write!(
                f,
                "waiting for the registration of {service}, which can't be read; the gateway's log says why"
            ),
        }
    }
}
