//! Why an operation was begun, or a term of a group.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::NodeKey;
use crate::operation::{OperationKind, Requester};
use crate::primary::FailoverCause;

/// Why an operation was begun; or a term of a group, with an operation or without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum OperationReason {
    /// Somebody asked for it.
    Requested {
        /// For what.
        operation: OperationKind,
        /// Who: the name of a token.
        #[schema(value_type = String)]
        by: Requester,
    },
    /// The primary is lost.
    PrimaryLost(FailoverCause),
    /// This former primary node answers again.
    FormerPrimaryIsBack(NodeKey),
    /// This node does not follow any more and may hold writes of its own.
    MayHoldWrites(NodeKey),
    /// The service's own Sentinel, or a person, promoted this node in place of another of its service.
    PromotedWithinService(NodeKey),
}

impl OperationReason {
    /// Who is behind it: whoever asked, else the gateway.
    pub fn requester(&self) -> Requester {
        match self {
            Self::Requested { by, .. } => by.clone(),
            Self::PrimaryLost(_)
            | Self::FormerPrimaryIsBack(_)
            | Self::MayHoldWrites(_)
            | Self::PromotedWithinService(_) => Requester::Gateway,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::told::told;

    #[test]
    fn reasons_are_data_with_a_sentence_that_are_read_back() {
        let node = || NodeKey {
            service: "eu".parse().unwrap(),
            address: "eu-1:6379".parse().unwrap(),
        };
        let requested = OperationReason::Requested {
            operation: OperationKind::Switchover,
            by: Requester::Token("ops".to_owned()),
        };
        let lost = OperationReason::PrimaryLost(FailoverCause::Refused {
            quiet_for: Duration::from_millis(1500),
        });
        let cases = [
            (
                requested,
                json!({ "code": "requested", "operation": "switchover", "by": "ops",
                        "message": "planned change of primary, asked for by ops" }),
            ),
            (
                lost,
                json!({ "code": "primary-lost", "cause": "refused", "quiet_for_seconds": 1.5,
                        "message": "no process listens at the primary's host any more, for 1.5 s" }),
            ),
            (
                OperationReason::FormerPrimaryIsBack(node()),
                json!({ "code": "former-primary-is-back", "service": "eu", "address": "eu-1:6379",
                        "message": "the old primary eu (eu-1:6379) is back" }),
            ),
            (
                OperationReason::PromotedWithinService(node()),
                json!({ "code": "promoted-within-service", "service": "eu", "address": "eu-1:6379",
                        "message": "eu (eu-1:6379) was promoted within its service, by its Sentinel or a person" }),
            ),
        ];
        for (reason, expected) in cases {
            let value = told(&reason, serde_json::value::Serializer).unwrap();
            assert_eq!(value, expected);
            assert_eq!(serde_json::from_value::<OperationReason>(value).unwrap(), reason);
            let by_gateway = !matches!(reason, OperationReason::Requested { .. });
            assert_eq!(reason.requester().is_gateway(), by_gateway);
        }
    }
}
