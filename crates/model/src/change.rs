//! What changed in a group's status, for whoever has the one before: only the parts that are different.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::alert::Alert;
use crate::names::{ServiceName, ShardId};
use crate::status::{GroupStatus, NodeFigures, ServiceStatus, ShardFigures, ShardStatus, StatusSummary};

/// How far a node is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeProgress {
    /// Its service.
    pub service: ServiceName,
    /// Its address.
    #[schema(value_type = String)]
    pub address: NodeAddress,
    /// Its figures.
    pub figures: NodeFigures,
}

/// How far a shard is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardProgress {
    /// Which.
    pub shard: ShardId,
    /// Its figures.
    pub figures: ShardFigures,
}

/// What is different in a group's status. What is left out is as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusChange {
    /// The revision of the status that comes of it; it applies to the one before.
    pub revision: u64,
    /// When it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// In short, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<StatusSummary>,
    /// All services, where more than their figures changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<ServiceStatus>>,
    /// All shards, where more than their figures changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Vec<ShardStatus>>,
    /// All alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<Alert>>,
    /// Nodes whose figures moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_figures: Vec<NodeProgress>,
    /// Shards whose figures moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shard_figures: Vec<ShardProgress>,
}

impl StatusChange {
    /// What `now` has that `before` has not; none where they say the same, whatever their revision and time and however
    /// long the answers of nodes took.
    pub fn between(before: &GroupStatus, now: &GroupStatus) -> Option<Self> {
        let services = !same_services(before, now);
        let shards = !same_shards(before, now);
        let change = Self {
            revision: now.revision,
            at: now.at,
            summary: (before.summary != now.summary).then(|| now.summary.clone()),
            services: services.then(|| now.services.clone()),
            shards: shards.then(|| now.shards.clone()),
            alerts: (before.alerts != now.alerts).then(|| now.alerts.clone()),
            node_figures: if services {
                Vec::new()
            } else {
                moved_nodes(before, now)
            },
            shard_figures: if shards {
                Vec::new()
            } else {
                moved_shards(before, now)
            },
        };
        (!change.is_empty()).then_some(change)
    }

    /// Whether nothing but figures moved.
    pub fn is_figures_only(&self) -> bool {
        self.summary.is_none() && self.services.is_none() && self.shards.is_none() && self.alerts.is_none()
    }

    fn is_empty(&self) -> bool {
        self.is_figures_only() && self.node_figures.is_empty() && self.shard_figures.is_empty()
    }

    /// Brings a status up to date. One that has this change already stays as it is; `false` where the change before this
    /// one is missing, so that the status has to be asked for anew.
    #[must_use]
    pub fn apply(self, status: &mut GroupStatus) -> bool {
        if self.revision <= status.revision {
            return true;
        }
        if self.revision != status.revision + 1 {
            return false;
        }
        status.revision = self.revision;
        status.at = self.at;
        if let Some(summary) = self.summary {
            status.summary = summary;
        }
        status.services = self.services.unwrap_or(std::mem::take(&mut status.services));
        status.shards = self.shards.unwrap_or(std::mem::take(&mut status.shards));
        status.alerts = self.alerts.unwrap_or(std::mem::take(&mut status.alerts));
        for moved in self.node_figures {
            let services = status
                .services
                .iter_mut()
                .filter(|service| service.name == moved.service);
            let mut nodes = services.flat_map(|service| &mut service.nodes);
            if let Some(node) = nodes.find(|node| node.address == moved.address) {
                node.figures = moved.figures;
            }
        }
        for moved in self.shard_figures {
            if let Some(shard) = status.shards.iter_mut().find(|shard| shard.shard == moved.shard) {
                shard.figures = moved.figures;
            }
        }
        true
    }
}

/// Apart from figures.
fn same_services(before: &GroupStatus, now: &GroupStatus) -> bool {
    let still = |status: &GroupStatus| {
        let mut services = status.services.clone();
        for node in services.iter_mut().flat_map(|service| &mut service.nodes) {
            node.figures = NodeFigures::default();
        }
        services
    };
    still(before) == still(now)
}

/// Apart from figures.
fn same_shards(before: &GroupStatus, now: &GroupStatus) -> bool {
    let still = |status: &GroupStatus| {
        let mut shards = status.shards.clone();
        for shard in &mut shards {
            shard.figures = ShardFigures::default();
        }
        shards
    };
    still(before) == still(now)
}

/// The same nodes in the same order are in both.
fn moved_nodes(before: &GroupStatus, now: &GroupStatus) -> Vec<NodeProgress> {
    let nodes = |status: &GroupStatus| -> Vec<NodeProgress> {
        let services = status.services.iter();
        let nodes = services.flat_map(|service| {
            service.nodes.iter().map(|node| NodeProgress {
                service: service.name.clone(),
                address: node.address.clone(),
                figures: node.figures,
            })
        });
        nodes.collect()
    };
    let moved = nodes(now).into_iter().zip(nodes(before));
    moved
        .filter(|(now, before)| !now.figures.is_as_far(before.figures))
        .map(|(now, _)| now)
        .collect()
}

/// The same shards in the same order are in both.
fn moved_shards(before: &GroupStatus, now: &GroupStatus) -> Vec<ShardProgress> {
    let moved = now.shards.iter().zip(&before.shards);
    moved
        .filter(|(now, before)| now.figures != before.figures)
        .map(|(now, _)| ShardProgress {
            shard: now.shard,
            figures: now.figures,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::names::OperationId;

    fn status() -> GroupStatus {
        let node = |address: &str| {
            json!({ "address": address, "shard": 0, "role": "replica", "condition": { "code": "follows" },
                    "figures": { "offset": 90, "lag_bytes": 10, "lag_seconds": 0.5 } })
        };
        let value = json!({
            "group": "orders", "revision": 7, "state": "healthy", "reason": { "code": "in-order" }, "epoch": 3,
            "paused": false, "failover": { "code": "automatic" },
            "services": [ { "name": "us", "site": null, "role": "replica", "ok": true, "condition": { "code": "follows" },
                            "nodes": [node("us-1:6379"), node("us-2:6379")] } ],
            "shards": [ { "shard": 0, "primary_node": "eu:6379", "link": { "code": "streaming" },
                          "fence": { "code": "off" }, "history": null, "needless_full_syncs": 0,
                          "figures": { "unreplicated_bytes": 0, "unreplicated_seconds": 0.0, "log_start": 1,
                                       "log_end": 100, "log_bytes": 100, "stream_bytes": 100 } } ],
            "alerts": [], "at": "2026-03-01T03:00:00Z"
        });
        serde_json::from_value(value).expect("a status")
    }

    /// The change arrives as JSON and makes the one of the other; gives its fields.
    fn sent(before: &GroupStatus, now: &GroupStatus) -> Vec<String> {
        let change = StatusChange::between(before, now).expect("a change");
        let json = serde_json::to_value(&change).unwrap();
        let mut arrived = before.clone();
        assert!(
            serde_json::from_value::<StatusChange>(json.clone())
                .unwrap()
                .apply(&mut arrived)
        );
        assert_eq!(&arrived, now);
        json.as_object()
            .unwrap()
            .keys()
            .filter(|key| !["at", "revision"].contains(&key.as_str()))
            .cloned()
            .collect()
    }

    #[test]
    fn only_what_is_different_is_sent_and_it_makes_the_one_of_the_other() {
        let before = status();
        let mut now = before.clone();
        now.revision += 1;
        now.at = "2026-03-01T03:00:01Z".parse().unwrap();
        now.services[0].nodes[1].figures.round_trip_seconds = Some(0.002);
        assert_eq!(StatusChange::between(&before, &now), None);

        now.services[0].nodes[1].figures.lag_bytes = Some(20);
        assert_eq!(sent(&before, &now), ["node_figures"]);
        now.shards[0].figures.log_end = sterna_protocol::Offset::new(200);
        assert_eq!(sent(&before, &now), ["node_figures", "shard_figures"]);
        now.shards[0].disk_error = Some("full".to_owned());
        now.summary.paused = true;
        assert_eq!(sent(&before, &now), ["node_figures", "shards", "summary"]);
        now.summary.operation = Some(OperationId(12));
        now.services[0].nodes.pop();
        assert_eq!(sent(&before, &now), ["services", "shards", "summary"]);
        let mut over = now.clone();
        over.revision += 1;
        over.summary.operation = None;
        assert_eq!(sent(&now, &over), ["summary"]);
    }

    #[test]
    fn a_change_is_applied_once_and_in_its_turn() {
        let before = status();
        let mut now = before.clone();
        now.revision += 1;
        now.summary.paused = true;
        let change = StatusChange::between(&before, &now).expect("a change");
        let mut late = now.clone();
        late.summary.paused = false;
        assert!(change.clone().apply(&mut late));
        assert!(!late.summary.paused, "it has that one already");
        let mut early = GroupStatus {
            revision: before.revision - 1,
            ..before
        };
        assert!(!change.apply(&mut early));
    }
}
