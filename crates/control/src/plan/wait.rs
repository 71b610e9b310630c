//! Everything that an operation can wait for.

use std::time::Duration;

use sterna_model::{ServiceName, StepName, seconds};

use super::NodeId;
use crate::known::Known;

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Wait {
    /// For the primary to be known and looked at.
    Primary,
    /// For the primary's stream or full copy to begin.
    Stream,
    /// For a node to have a whole copy.
    Copy(NodeId),
    /// For the end of the full copy from the primary.
    CopyFromPrimary,
    /// For the primary to count the gateway as a replica.
    ReplicaCount,
    /// For the old primary to have closed itself to writes.
    Lease {
        /// How long that may still take.
        left: Duration,
    },
    /// For a fence that was never in place: only a person can accept that.
    Force,
    /// For the last bytes of an old primary that takes no more writes.
    LastBytes { bytes: u64 },
    /// For a node that could take over.
    Candidate,
    /// For the chosen node to apply what the log holds.
    Apply {
        /// Bytes that it lacks.
        bytes: u64,
        /// Writes of clients wait for it.
        writes_paused: bool,
    },
    /// For the decided node, which does not answer or lost what it had.
    NewPrimary,
    /// For the target of a switchover to be close behind.
    CatchUp {
        /// Bytes that it lacks.
        bytes: u64,
    },
    /// For the old primary to see its last byte acknowledged and to step down.
    StepDown,
    /// For the old primary to follow the new one.
    FormerPrimary,
    /// For a node that does not answer.
    Node(NodeId),
    /// For a service of which no node is known: its registration can't be read.
    Service(ServiceName),
}

impl Wait {
    /// Its word in the record.
    pub(crate) fn name(&self) -> StepName {
        match self {
            Self::Primary | Self::Stream => StepName::AwaitStream,
            Self::Copy(_) | Self::CopyFromPrimary => StepName::AwaitCopy,
            Self::ReplicaCount => StepName::AwaitReplicaCount,
            Self::Lease { .. } | Self::Force => StepName::AwaitLease,
            Self::LastBytes { .. } => StepName::AwaitLastBytes,
            Self::Candidate => StepName::AwaitCandidate,
            Self::Apply { .. } => StepName::AwaitApply,
            Self::NewPrimary => StepName::AwaitNewPrimary,
            Self::CatchUp { .. } => StepName::AwaitCatchUp,
            Self::StepDown => StepName::AwaitStepDown,
            Self::FormerPrimary => StepName::AwaitFormerPrimary,
            Self::Node(_) | Self::Service(_) => StepName::AwaitNode,
        }
    }

    /// What is waited for, in one sentence.
    pub(crate) fn reason(&self, known: &Known) -> String {
        match self {
            Self::Primary => "waiting until the primary node was looked at".to_owned(),
            Self::Stream => format!(
                "waiting for the primary's stream: {}",
                known.link.status.link.word()
            ),
            Self::Copy(node) => format!("waiting until {} has a whole copy", known.node(*node).key),
            Self::CopyFromPrimary => "waiting for the end of the full copy".to_owned(),
            Self::ReplicaCount => "waiting until the primary counts the gateway as a replica".to_owned(),
            Self::Lease { left } => format!(
                "waiting until the old primary has surely closed itself to writes: {} left of its lease",
                seconds(*left)
            ),
            Self::Force => {
                "the old primary does not answer and the fence was never in place there: it may still take \
                            writes. `sterna failover --force` accepts that"
                    .to_owned()
            }
            Self::LastBytes { bytes } => {
                format!("the old primary takes no more writes; waiting for its last {bytes} bytes")
            }
            Self::Candidate => "waiting for a replica node that answers and holds a whole copy".to_owned(),
            Self::Apply {
                bytes,
                writes_paused: false,
            } => format!("waiting until the chosen node has applied {bytes} more bytes of the log"),
            Self::Apply {
                bytes,
                writes_paused: true,
            } => format!("writes wait; the target lacks {bytes} bytes"),
            Self::NewPrimary => {
                "waiting for the node that was decided on, which does not answer or lost what it had"
                    .to_owned()
            }
            Self::CatchUp { bytes } => {
                format!("waiting until the target is close behind: it lacks {bytes} bytes")
            }
            Self::StepDown => "writes wait; waiting until the old primary steps down".to_owned(),
            Self::FormerPrimary => {
                "the new primary takes writes; waiting until the old one follows".to_owned()
            }
            Self::Node(node) => format!("waiting for {}, which does not answer", known.node(*node).key),
            Self::Service(service) => {
                format!(
                    "waiting for the registration of {service}, which can't be read; the gateway's log says why"
                )
            }
        }
    }
}
