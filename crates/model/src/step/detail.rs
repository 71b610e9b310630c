//! What there is to say of a step: why it is done or what it waits for, and then what came of it.

use serde::{Deserialize, Serialize};
use sterna_protocol::{NodeAddress, Offset};
use utoipa::ToSchema;

use crate::activity::OperationWait;
use crate::names::{Epoch, NodeKey, RescueId, ServiceName};
use crate::reason::OperationReason;
use crate::result::SwitchoverObstacle;

/// What there is to say of a step. One that is done without an outcome of its own keeps its purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum StepDetail {
    /// The operation was begun, for this reason.
    Reason {
        /// That of the operation.
        reason: OperationReason,
    },
    /// Why it is done.
    Purpose(StepPurpose),
    /// What it waits for, or last waited for.
    Wait(OperationWait),
    /// What came of it.
    Outcome(StepOutcome),
    /// It could not be done.
    Failed {
        /// What was in the way.
        error: String,
    },
}

/// Why a step is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "purpose", rename_all = "kebab-case")]
pub enum StepPurpose {
    /// Follow this node, so that the other nodes continue without a recopy.
    Follow(NodeKey),
    /// Follow nobody, so that the old primary's lease runs out.
    StopFollowing,
    /// This node answers as a primary, and is not the group's.
    BlockWrites(NodeKey),
    /// The old primary can take no writes: keep who takes over.
    Decide {
        /// The last offset of the old history that the chosen node has.
        #[schema(value_type = u64)]
        divergence_offset: Offset,
    },
    /// Make this node the primary.
    Promote(NodeKey),
    /// Put the fence in place at the primary.
    PlaceFence,
    /// Let the log stand ready to take over from the old primary.
    PrepareHandover,
    /// Let the old primary keep writes waiting and hand over.
    PauseWrites,
    /// Let the old primary follow the new one.
    AcceptFormerPrimary,
    /// Take a switchover back.
    Abort(SwitchoverObstacle),
    /// Save the writes that only this node has.
    SaveWrites {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// Bytes of stream that the new primary never had.
        bytes: u64,
    },
    /// Save the writes that the log holds of the old primary, and the new one lacks.
    SaveHeldWrites {
        /// Bytes of stream.
        bytes: u64,
    },
    /// Save all that this node has: nobody can tell which of its writes were copied.
    SaveSnapshot(NodeKey),
    /// Let a node follow the relay.
    Attach {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// Why now, and with what.
        why: AttachReason,
    },
    /// Let a node follow the primary within its own service.
    FollowOwnPrimary(NodeKey),
    /// Keep that a former primary service is a replica service again.
    Close {
        /// Which.
        service: ServiceName,
    },
    /// Are the services fit to join?
    Check,
    /// Keep that a service is no longer in the group.
    Remove {
        /// Which.
        service: ServiceName,
    },
    /// Let the nodes of a service go, as a primary of its own.
    Detach {
        /// Which.
        service: ServiceName,
    },
    /// Let the nodes of a service go as they are, read-only.
    Release {
        /// Which.
        service: ServiceName,
    },
    /// Let every node go as it is, and lift the fence.
    ReleaseAll,
    /// Forget the group.
    Delete,
}

/// Why a node is let follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttachReason {
    /// Its service joins.
    Joins,
    /// It comes back and holds exactly what was copied, or less.
    HoldsPrefix,
    /// It comes back, and the writes that only it had are saved.
    WritesSaved,
    /// It comes back and holds nothing.
    CameBackEmpty,
    /// It had stopped following.
    Drifted,
    /// It follows, and takes writes of its own as a replica.
    Writable,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum StepOutcome {
    /// The old primary is no longer followed.
    NotFollowed,
    /// This node's stream is here.
    Followed(NodeKey),
    /// This node was asked for its stream and has not sent it in time; it is waited for no longer.
    StreamAwaited(NodeKey),
    /// This node takes no more writes.
    WritesBlocked {
        /// Which.
        #[serde(flatten)]
        node: NodeKey,
        /// Those that were connected to it.
        #[serde(flatten)]
        clients: ClientsLetGo,
    },
    /// It is kept who is the primary.
    Decided {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// The term that begins with it.
        epoch: Epoch,
        /// The last offset of the old history that it has.
        #[schema(value_type = u64)]
        divergence_offset: Offset,
    },
    /// This node is a primary.
    Promoted(NodeKey),
    /// This node takes writes only while the gateway hears it.
    FenceInPlace(NodeKey),
    /// The log stands ready to take over.
    LogReady,
    /// Writes wait at the old primary.
    WritesPaused {
        /// Those that were blocked, waiting for a key.
        #[serde(flatten)]
        clients: ClientsLetGo,
    },
    /// The old primary may follow.
    FormerPrimaryAccepted {
        /// Those that were connected to it.
        #[serde(flatten)]
        clients: ClientsLetGo,
    },
    /// The old primary takes writes again.
    TakenBack,
    /// Writes that only this node had are in a rescue file.
    Saved {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// The record of the file.
        rescue: RescueId,
        /// The size of the file.
        bytes: u64,
    },
    /// This node follows the relay.
    Attached {
        /// Its service.
        service: ServiceName,
        /// The node.
        #[schema(value_type = String)]
        address: NodeAddress,
        /// Where the relay is for it.
        #[schema(value_type = String)]
        relay: NodeAddress,
        /// Those that were connected to it, where it was a primary before.
        #[serde(flatten)]
        clients: ClientsLetGo,
    },
    /// The former primary service is a replica service again.
    Closed,
    /// Nothing stands against the services.
    Fit,
    /// The service is no longer in the group.
    Removed,
    /// Nodes were let go.
    Released {
        /// What each is now, in the order in which they were told.
        nodes: Vec<ReleasedNode>,
        /// Why the fence at the primary could not be lifted, if that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence_error: Option<String>,
    },
    /// The group is deleted.
    Deleted,
}

/// Clients of a node whose connections were closed, so that they ask anew where the primary is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct ClientsLetGo {
    /// How many.
    #[serde(default, rename = "clients_let_go")]
    pub count: u64,
    /// Why they, or more of them, could not be let go, if that failed: some may stay with the node.
    #[serde(default, rename = "clients_error", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A node that was let go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct ReleasedNode {
    /// Which.
    #[serde(flatten)]
    pub node: NodeKey,
    /// What it is now.
    #[serde(flatten)]
    pub released: ReleasedAs,
}

/// What a node is that was let go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "released", rename_all = "kebab-case")]
pub enum ReleasedAs {
    /// It did not answer and keeps the settings that the group gave it.
    Unchanged {
        /// What was in the way.
        error: String,
    },
    /// A replica without a primary.
    Replica,
    /// A primary that takes no writes: it was left behind, or came back as one, and may have writes that nobody else has.
    Shut,
    /// A replica of another node of its service.
    ReplicaOf {
        /// Which.
        #[schema(value_type = String)]
        primary: NodeAddress,
    },
    /// A primary of its own.
    Primary,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::operation::{OperationKind, Requester};
    use crate::primary::FailoverCause;
    use crate::told::told;

    fn node(name: &str) -> NodeKey {
        NodeKey {
            service: name.parse().unwrap(),
            address: format!("{name}-1:6379").parse().unwrap(),
        }
    }

    /// What it is in JSON, with its sentence; it is read back on the way.
    fn sent(detail: &StepDetail) -> Value {
        let value = told(detail, serde_json::value::Serializer).unwrap();
        let back = serde_json::from_value::<StepDetail>(value.clone()).unwrap();
        assert_eq!(&back, detail);
        value
    }

    #[test]
    fn details_are_data_with_a_sentence() {
        let promote = StepDetail::Purpose(StepPurpose::Promote(node("us")));
        assert_eq!(
            sent(&promote),
            json!({ "code": "purpose", "purpose": "promote", "service": "us", "address": "us-1:6379",
                    "message": "make us (us-1:6379) the primary" })
        );
        let lost = FailoverCause::Silent {
            quiet_for: Duration::from_secs(1),
        };
        let reason = OperationReason::PrimaryLost(lost);
        assert_eq!(
            sent(&StepDetail::Reason { reason }),
            json!({ "code": "reason", "message": "the primary has not answered for 1.0 s",
                    "reason": { "code": "primary-lost", "cause": "silent", "quiet_for_seconds": 1.0 } })
        );
        let wait = OperationWait::Lease {
            left: Duration::from_millis(500),
        };
        let wait = sent(&StepDetail::Wait(wait));
        assert_eq!((&wait["code"], &wait["wait"]), (&json!("wait"), &json!("lease")));
        let failed = StepDetail::Failed {
            error: "no route".to_owned(),
        };
        assert_eq!(
            sent(&failed),
            json!({ "code": "failed", "error": "no route", "message": "no route" })
        );
    }

    #[test]
    fn purposes_and_outcomes_are_read_back() {
        let NodeKey { service, address } = node("us");
        let save = StepPurpose::SaveWrites {
            service: service.clone(),
            address: address.clone(),
            bytes: 14,
        };
        let attach = StepPurpose::Attach {
            service: service.clone(),
            address: address.clone(),
            why: AttachReason::WritesSaved,
        };
        let close = StepPurpose::Close {
            service: service.clone(),
        };
        let abort = StepPurpose::Abort(SwitchoverObstacle::TimedOut);
        let save_held = StepPurpose::SaveHeldWrites { bytes: 14 };
        for purpose in [save, save_held, attach, close, abort, StepPurpose::Check] {
            sent(&StepDetail::Purpose(purpose));
        }
        let saved = StepOutcome::Saved {
            service: service.clone(),
            address: address.clone(),
            rescue: RescueId(3),
            bytes: 14,
        };
        let decided = StepOutcome::Decided {
            service,
            address,
            epoch: Epoch(4),
            divergence_offset: Offset::new(90),
        };
        for outcome in [saved, decided, StepOutcome::Fit] {
            sent(&StepDetail::Outcome(outcome));
        }
        let reason = OperationReason::Requested {
            operation: OperationKind::Failover,
            by: Requester::Token("ops".to_owned()),
        };
        sent(&StepDetail::Reason { reason });
    }

    #[test]
    fn clients_that_were_let_go_are_counted_and_those_that_were_not_are_told_of() {
        let blocked = |count, error| {
            sent(&StepDetail::Outcome(StepOutcome::WritesBlocked {
                node: node("us"),
                clients: ClientsLetGo { count, error },
            }))
        };
        assert_eq!(
            blocked(0, None),
            json!({ "code": "outcome", "outcome": "writes-blocked", "service": "us", "address": "us-1:6379",
                    "clients_let_go": 0, "message": "us (us-1:6379) takes no more writes" })
        );
        let some = blocked(3, None);
        assert_eq!(
            some["message"],
            "us (us-1:6379) takes no more writes; 3 of its clients were disconnected"
        );
        let failed = blocked(0, Some("no right".to_owned()));
        assert_eq!(failed["clients_error"], "no right");
        assert_eq!(
            failed["message"],
            "us (us-1:6379) takes no more writes; clients could not be disconnected, and some may stay with it: no right"
        );
        let paused = StepOutcome::WritesPaused {
            clients: ClientsLetGo::default(),
        };
        assert_eq!(
            sent(&StepDetail::Outcome(paused))["message"],
            "writes wait at the old primary"
        );
    }

    #[test]
    fn nodes_that_were_let_go_are_told_one_by_one() {
        let head = node("us");
        let gone = ReleasedAs::Unchanged {
            error: "refused".to_owned(),
        };
        let nodes = [
            (node("ap"), gone),
            (head.clone(), ReleasedAs::Primary),
            (
                node("sa"),
                ReleasedAs::ReplicaOf {
                    primary: head.address,
                },
            ),
        ];
        let outcome = StepOutcome::Released {
            nodes: nodes
                .into_iter()
                .map(|(node, released)| ReleasedNode { node, released })
                .collect(),
            fence_error: Some("timeout".to_owned()),
        };
        assert_eq!(
            sent(&StepDetail::Outcome(outcome)),
            json!({ "code": "outcome", "outcome": "released", "fence_error": "timeout", "nodes": [
                        { "service": "ap", "address": "ap-1:6379", "released": "unchanged", "error": "refused" },
                        { "service": "us", "address": "us-1:6379", "released": "primary" },
                        { "service": "sa", "address": "sa-1:6379", "released": "replica-of", "primary": "us-1:6379" } ],
                    "message": "ap (ap-1:6379) could not be told and keeps its settings: refused; us (us-1:6379) is a \
                                primary; sa (sa-1:6379) follows us-1:6379; the fence at the primary could not be lifted: \
                                timeout" })
        );
    }
}
