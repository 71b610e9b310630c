//! How the group is doing, made for people from what the owner knows.

use std::time::Duration;

use jiff::Timestamp;
use sterna_model::{
    EventKind, FenceStatus, Fencing, Group, GroupState, GroupStatus, LogStatus, NodeStatus, ServiceRole,
    ServiceStatus,
};
use sterna_protocol::Offset;
use sterna_replication::{LinkState, Status};
use tokio::time::Instant;

use super::node::NodeState;
use super::owner::Owner;
use crate::plan::NodeId;
use crate::plan::health::{Impairment, Obstacle, Sign, Verdict};

/// A status without news is renewed this often.
const RENEW: Duration = Duration::from_secs(1);

/// The status before anything was seen.
pub(super) fn starting(group: &Group) -> GroupStatus {
    GroupStatus {
        group: group.name.clone(),
        state: GroupState::Starting,
        reason: "the gateway has just begun to look at it".to_owned(),
        epoch: group.epoch,
        paused: group.paused,
        failover: String::new(),
        unreplicated_bytes: 0,
        unreplicated_seconds: 0.0,
        services: Vec::new(),
        fence: FenceStatus {
            in_place: group.fence_in_place,
            min_replicas: 0,
            detail: String::new(),
        },
        log: LogStatus {
            link: "connecting".to_owned(),
            history: None,
            start: Offset::ZERO,
            end: Offset::ZERO,
            bytes: 0,
            disk_error: None,
            stream_bytes: 0,
            needless_full_syncs: 0,
        },
        alerts: Vec::new(),
        operation: None,
        at: Timestamp::now(),
    }
}

impl Owner {
    /// Tells how the group is doing, where that changed or is old.
    pub(super) fn publish(&mut self, now: Instant) {
        self.publish_route(now);
        self.operation_out.send_if_modified(|known| {
            let changed = *known != self.operation;
            if changed {
                known.clone_from(&self.operation);
            }
            changed
        });
        let (state, reason) = self.state(now);
        let (changed, news) = {
            let known = self.status.borrow();
            let operation = self.operation.as_ref().map(|operation| operation.id);
            let news =
                known.state != state || known.epoch != self.group.epoch || known.operation != operation;
            (
                news || now.saturating_duration_since(self.published) >= RENEW,
                news,
            )
        };
        if !changed {
            return;
        }
        self.published = now;
        let status = self.status_now(state, reason, now);
        if news {
            tracing::info!(group = %self.group.name, state = ?status.state, reason = status.reason, epoch = %status.epoch, "group");
        }
        self.common.tell(
            Some(&self.group.name),
            EventKind::Status {
                status: Box::new(status.clone()),
            },
        );
        self.status.send_replace(status);
    }

    /// The group in one word and one sentence.
    fn state(&self, now: Instant) -> (GroupState, String) {
        if let Some(operation) = &self.operation {
            use sterna_model::OperationKind as Kind;
            let state = match operation.kind {
                Kind::Failover | Kind::Switchover => GroupState::Changing,
                _ => GroupState::Copying,
            };
            return (state, format!("{}: {}", operation.kind, operation.now));
        }
        match self.verdict {
            Verdict::Impaired(Impairment::NotLookedAt) => (GroupState::Starting, self.verdict.to_string()),
            Verdict::Healthy => self.healthy(now),
            Verdict::LeftToPeople(_) if self.lost_data => (GroupState::Holding, self.verdict.to_string()),
            Verdict::Impaired(_) => (GroupState::Degraded, self.verdict.to_string()),
            Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_) => {
                let text = self.primary().and_then(|primary| {
                    self.nodes[primary.0]
                        .trouble
                        .as_ref()
                        .map(|trouble| trouble.text().to_owned())
                });
                let detail = text.map(|text| format!(" ({text})")).unwrap_or_default();
                (GroupState::PrimaryDown, format!("{}{detail}", self.verdict))
            }
        }
    }

    fn healthy(&self, now: Instant) -> (GroupState, String) {
        let status = self.shard_status.borrow();
        match &status.link {
            LinkState::FullSync { .. } => {
                return (
                    GroupState::Copying,
                    "a full copy of the primary is arriving".to_owned(),
                );
            }
            LinkState::Holding(reason) => return (GroupState::Holding, reason.to_string()),
            LinkState::Streaming => {}
            LinkState::Retrying { reason } => {
                return (
                    GroupState::Degraded,
                    format!("the primary's stream is missing: {reason}"),
                );
            }
            other => {
                return (
                    GroupState::Degraded,
                    format!("the primary's stream is not here yet: {}", other.word()),
                );
            }
        }
        drop(status);
        let services = self.services(now);
        match services.iter().find(|service| !service.ok) {
            Some(service) => (
                GroupState::Degraded,
                format!("{}: {}", service.name, service.detail),
            ),
            None => (
                GroupState::Healthy,
                "the primary takes writes and every replica service follows".to_owned(),
            ),
        }
    }

    fn status_now(&mut self, state: GroupState, reason: String, now: Instant) -> GroupStatus {
        let shard = self.shard_now();
        let (bytes, time) = self.at_risk();
        let alerts = self.alerts();
        GroupStatus {
            group: self.group.name.clone(),
            state,
            reason,
            epoch: self.group.epoch,
            paused: self.group.paused,
            failover: self.failover_words(now),
            unreplicated_bytes: bytes,
            unreplicated_seconds: time.as_secs_f64(),
            services: self.services(now),
            fence: self.fence_status(),
            log: log_status(&shard),
            alerts,
            operation: self.operation.as_ref().map(|operation| operation.id),
            at: Timestamp::now(),
        }
    }

    /// Whether a failover would happen by itself.
    fn failover_words(&self, now: Instant) -> String {
        let lost = crate::plan::health::Sight {
            sign: Sign::Refused,
            quiet_for: Duration::from_secs(3600),
            lost_its_data: false,
        };
        match crate::plan::health::judge(&lost, &self.circumstances(now)) {
            Verdict::FailOver(_) | Verdict::Waiting(_) => "automatic".to_owned(),
            Verdict::LeftToPeople(obstacle @ (Obstacle::NotAutomatic | Obstacle::Paused)) => {
                format!("by hand: {obstacle}")
            }
            Verdict::LeftToPeople(obstacle) => format!("not possible now: {obstacle}"),
            other => other.to_string(),
        }
    }

    fn fence_status(&self) -> FenceStatus {
        let wanted = self
            .primary()
            .map_or(0, |primary| self.wanted_lease(primary).min_replicas);
        let detail = match (self.group.settings.fencing, self.group.fence_in_place) {
            (Fencing::None, _) => {
                "off: an old primary that is cut off goes on taking writes; they end in a rescue file"
                    .to_owned()
            }
            (Fencing::Lease, true) => format!(
                "in place: the primary stops taking writes {} to {} s after it last heard from the gateway",
                self.group.settings.lease_seconds,
                self.group.settings.lease_seconds + 2
            ),
            (Fencing::Lease, false) => "not in place yet: it follows the first copy".to_owned(),
        };
        FenceStatus {
            in_place: self.group.fence_in_place,
            min_replicas: wanted,
            detail,
        }
    }

    fn services(&self, now: Instant) -> Vec<ServiceStatus> {
        self.group
            .services()
            .map(|name| {
                let role = if *name == self.group.primary {
                    ServiceRole::Primary
                } else if self.former_primary(name).is_some() {
                    ServiceRole::FormerPrimary
                } else {
                    ServiceRole::Replica
                };
                let nodes: Vec<_> = self
                    .nodes_of(name)
                    .map(|(id, node)| self.node_status(id, node, role, now))
                    .collect();
                let (ok, detail) = self.service_detail(role, name, &nodes, now);
                ServiceStatus {
                    name: name.clone(),
                    site: self
                        .access
                        .get(name)
                        .and_then(|access| access.service.spec.site.clone()),
                    role,
                    ok,
                    detail,
                    nodes,
                }
            })
            .collect()
    }

    fn service_detail(
        &self,
        role: ServiceRole,
        name: &sterna_model::ServiceName,
        nodes: &[NodeStatus],
        now: Instant,
    ) -> (bool, String) {
        match role {
            ServiceRole::Primary => {
                let ok = self.verdict == Verdict::Healthy;
                let locals = self.primary().map_or(0, |primary| self.local_replicas(primary));
                let locals = match locals {
                    0 => String::new(),
                    count => format!(", with {count} replicas of its own"),
                };
                let detail = if ok {
                    format!("takes writes{locals}")
                } else {
                    self.verdict.to_string()
                };
                (ok, detail)
            }
            ServiceRole::FormerPrimary => {
                let cut = self
                    .former_primary(name)
                    .map_or(Offset::ZERO, |former| former.divergence_offset);
                (
                    false,
                    format!("was left behind by a failover at offset {cut} and has not come back yet"),
                )
            }
            ServiceRole::Replica => {
                let follows = |(_, node): &(NodeId, &NodeState)| {
                    node.fresh(now)
                        .is_some_and(|facts| !facts.is_primary() && facts.link_up)
                };
                let following = self.nodes_of(name).filter(follows).count();
                if following == nodes.len() && !nodes.is_empty() {
                    return (true, "follows".to_owned());
                }
                let worst = nodes
                    .iter()
                    .find(|node| node.role != "replica" || node.detail != "follows");
                let detail = worst.map_or_else(
                    || "it has no nodes".to_owned(),
                    |node| format!("{}: {}", node.address, node.detail),
                );
                (false, detail)
            }
        }
    }

    fn node_status(&self, id: NodeId, node: &NodeState, role: ServiceRole, now: Instant) -> NodeStatus {
        let shard = self.shard_status.borrow();
        let facts = node.fresh(now);
        let relay = self.relay_for(id).address;
        let (word, detail) = match (node.sign(), facts) {
            (Sign::Unknown, _) => ("unknown", "was not looked at yet".to_owned()),
            (Sign::Refused | Sign::Silent | Sign::Denied, _) => (
                "unreachable",
                node.trouble
                    .as_ref()
                    .map_or_else(String::new, |trouble| trouble.text().to_owned()),
            ),
            (Sign::Loading, _) => ("loading", "loads its data".to_owned()),
            (_, None) => ("unreachable", "has not answered for some seconds".to_owned()),
            (Sign::Primary, Some(_)) if role == ServiceRole::Primary && Some(id) == self.primary() => {
                ("primary", "takes writes".to_owned())
            }
            (Sign::Primary, Some(_)) if node.is_shut() => ("primary", "is shut to writes".to_owned()),
            (Sign::Primary, Some(_)) => ("primary", "is a primary of its own, and should not be".to_owned()),
            (Sign::Replica, Some(facts)) if facts.primary.as_ref() == Some(&relay) => {
                let detail = match (facts.link_up, facts.syncing) {
                    (true, _) => "follows".to_owned(),
                    (false, true) => "receives a full copy".to_owned(),
                    (false, false) => "its link to the relay is down".to_owned(),
                };
                ("replica", detail)
            }
            (Sign::Replica, Some(facts)) => {
                let of = facts
                    .primary
                    .as_ref()
                    .map_or_else(|| "nobody".to_owned(), ToString::to_string);
                ("local-replica", format!("is a replica of {of}"))
            }
        };
        let follower = facts.filter(|_| word == "replica");
        let lag = follower.map(|facts| shard.log_end.bytes_since(facts.offset));
        let seconds = shard
            .followers
            .iter()
            .map(|follower| follower.lag_seconds)
            .fold(0.0, f64::max);
        NodeStatus {
            address: node.key.address.clone(),
            role: word.to_owned(),
            engine: facts.map(|facts| facts.engine.to_string()),
            offset: facts.map(|facts| facts.offset),
            lag_bytes: lag,
            lag_seconds: lag.map(|bytes| if bytes == 0 { 0.0 } else { seconds }),
            detail,
        }
    }
}

fn log_status(shard: &Status) -> LogStatus {
    LogStatus {
        link: shard.link.word().to_owned(),
        history: shard.history,
        start: shard.log_start,
        end: shard.log_end,
        bytes: shard.log_bytes,
        disk_error: shard.disk_error.clone(),
        stream_bytes: shard.counters.stream_bytes,
        needless_full_syncs: shard.counters.full_syncs_needless,
    }
}
