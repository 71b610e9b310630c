//! What an operation does at this moment, or waits for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::link::LinkState;
use crate::names::ServiceName;
use crate::primary::seconds;
use crate::step::StepName;

/// What an operation does at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Activity {
    /// It does a step; the last of its steps says why.
    Step {
        /// Which.
        step: StepName,
    },
    /// A step could not be done; it is tried again.
    Retry {
        /// Which.
        step: StepName,
        /// What was in the way.
        error: String,
    },
    /// It waits.
    Wait(OperationWait),
}

/// What an operation waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "wait", rename_all = "kebab-case")]
pub enum OperationWait {
    /// For the primary to be known and looked at.
    Primary,
    /// For the primary's stream to begin.
    Stream {
        /// How the link to the primary is.
        link: LinkState,
    },
    /// For a node to have a whole copy.
    Copy {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
    },
    /// For the primary to count the gateway as a replica.
    ReplicaCount,
    /// For the old primary to have closed itself to writes.
    Lease {
        /// How long that may still take.
        #[serde(rename = "left_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        left: Duration,
    },
    /// For a fence that was never in place: only a person can accept that.
    Force,
    /// For the last bytes of an old primary that takes no more writes.
    LastBytes {
        /// So many.
        bytes: u64,
    },
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
    Node {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
    },
    /// For a service of which no node is known: its registration can't be read.
    Service {
        /// Which.
        service: ServiceName,
    },
}

impl OperationWait {
    /// The step that the wait is in the record.
    pub fn step(&self) -> StepName {
        match self {
            Self::Primary | Self::Stream { .. } => StepName::AwaitStream,
            Self::Copy { .. } => StepName::AwaitCopy,
            Self::ReplicaCount => StepName::AwaitReplicaCount,
            Self::Lease { .. } | Self::Force => StepName::AwaitLease,
            Self::LastBytes { .. } => StepName::AwaitLastBytes,
            Self::Candidate => StepName::AwaitCandidate,
            Self::Apply { .. } => StepName::AwaitApply,
            Self::NewPrimary => StepName::AwaitNewPrimary,
            Self::CatchUp { .. } => StepName::AwaitCatchUp,
            Self::StepDown => StepName::AwaitStepDown,
            Self::FormerPrimary => StepName::AwaitFormerPrimary,
            Self::Node { .. } | Self::Service { .. } => StepName::AwaitNode,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_waited_for_is_data_that_is_read_back() {
        let lease = Activity::Wait(OperationWait::Lease {
            left: Duration::from_millis(2500),
        });
        let value = serde_json::to_value(&lease).unwrap();
        assert_eq!(
            value,
            json!({ "code": "wait", "wait": "lease", "left_seconds": 2.5 })
        );
        let stream = Activity::Wait(OperationWait::Stream {
            link: LinkState::Retrying {
                error: "refused".to_owned(),
            },
        });
        let step = Activity::Step {
            step: StepName::Promote,
        };
        for activity in [lease, stream, step] {
            let value = serde_json::to_value(&activity).unwrap();
            assert_eq!(serde_json::from_value::<Activity>(value).unwrap(), activity);
        }
    }
}
