//! What came of an operation.

use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::names::{Epoch, ServiceName};

/// What came of an operation, once it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum OperationResult {
    /// The group is as it should be.
    InOrder,
    /// The new primary takes writes.
    PrimaryChanged {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = Option<String>)]
        address: Option<NodeAddress>,
        /// The term that began with it.
        epoch: Epoch,
    },
    /// The old primary answers again, with its data.
    PrimaryRecovered,
    /// The decided node is not there, or lost what it had.
    NotPromotable {
        /// Its service.
        service: ServiceName,
    },
    /// Everything was taken back.
    TakenBack(SwitchoverObstacle),
    /// A person wanted it to end.
    Cancelled,
    /// A person wanted a service not to join, when its nodes were being changed already.
    JoinTakenBack {
        /// Which is out of the group.
        service: ServiceName,
    },
    /// A person wanted no group, when nodes were being changed for it already.
    CreationTakenBack,
    /// The primary was lost, and a failover goes first.
    Preempted,
    /// A node that is needed does not answer.
    NodeAway {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
    },
    /// The service follows again.
    Rejoined {
        /// Which.
        service: ServiceName,
    },
    /// The services hold a copy and follow.
    Joined {
        /// Which.
        services: Vec<ServiceName>,
        /// The primary service that they copy.
        primary: ServiceName,
    },
    /// The service left as it is.
    Removed {
        /// Which.
        service: ServiceName,
    },
    /// The service left as a primary of its own.
    Detached {
        /// Which.
        service: ServiceName,
    },
    /// The group is gone.
    Deleted,
    /// The services are not fit for it, and nothing was changed at any node.
    NotFit {
        /// What stands against it, check by check.
        checks: String,
    },
    /// The record is of an operation that this version can't go on with.
    Unreadable,
}

/// Why a switchover is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum SwitchoverObstacle {
    /// Somebody wanted it.
    Cancelled,
    /// Writes would have waited for too long.
    TimedOut,
    /// The target is not there any more.
    TargetLost,
    /// The old primary is not there any more.
    OldLost,
    /// Its stream broke after the log was made ready to take over: it would not be followed again.
    StreamLost,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_data_that_is_read_back() {
        let name = || "us".parse::<ServiceName>().unwrap();
        let back = OperationResult::TakenBack(SwitchoverObstacle::TimedOut);
        let value = serde_json::to_value(&back).unwrap();
        assert_eq!(value, json!({ "code": "taken-back", "obstacle": "timed-out" }));
        let changed = OperationResult::PrimaryChanged {
            service: name(),
            address: Some("us-1:6379".parse().unwrap()),
            epoch: Epoch(4),
        };
        assert_eq!(changed.to_string(), "us (us-1:6379) is the primary since epoch 4");
        let left = OperationResult::Detached { service: name() };
        for result in [back, changed, left] {
            let value = serde_json::to_value(&result).unwrap();
            assert_eq!(serde_json::from_value::<OperationResult>(value).unwrap(), result);
        }
    }
}
