//! Everything that an operation can wait for.

use std::time::Duration;

use sterna_model::{OperationWait, ServiceName};

use super::NodeId;
use crate::known::Known;
use crate::observe::NodeKey;

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
    /// As people and programs are told it.
    pub(crate) fn told(&self, known: &Known) -> OperationWait {
        let key = |node: &NodeId| known.node(*node).key.clone();
        match self {
            Self::Primary => OperationWait::Primary,
            Self::Stream => OperationWait::Stream {
                link: known.link.status.link.clone(),
            },
            Self::Copy(node) => {
                let NodeKey { service, address } = key(node);
                OperationWait::Copy { service, address }
            }
            Self::CopyFromPrimary => OperationWait::CopyFromPrimary,
            Self::ReplicaCount => OperationWait::ReplicaCount,
            Self::Lease { left } => OperationWait::Lease { left: *left },
            Self::Force => OperationWait::Force,
            Self::LastBytes { bytes } => OperationWait::LastBytes { bytes: *bytes },
            Self::Candidate => OperationWait::Candidate,
            Self::Apply { bytes, writes_paused } => OperationWait::Apply {
                bytes: *bytes,
                writes_paused: *writes_paused,
            },
            Self::NewPrimary => OperationWait::NewPrimary,
            Self::CatchUp { bytes } => OperationWait::CatchUp { bytes: *bytes },
            Self::StepDown => OperationWait::StepDown,
            Self::FormerPrimary => OperationWait::FormerPrimary,
            Self::Node(node) => {
                let NodeKey { service, address } = key(node);
                OperationWait::Node { service, address }
            }
            Self::Service(service) => OperationWait::Service {
                service: service.clone(),
            },
        }
    }
}
