//! How the group is doing, made for people from what its state knows.

use std::collections::BTreeMap;
use std::time::Duration;

use sterna_model::{
    Alert, FenceStatus, Fencing, Group, GroupState as Condition, GroupStatus, LogStatus, NodeStatus,
    ServiceName, ServiceRole, ServiceStatus,
};
use sterna_protocol::Offset;
use sterna_replication::{LinkState, Status};

use crate::access::Access;
use crate::known::NodeState;
use crate::plan::health::{self, Impairment, Obstacle, ProbeResult, Verdict};
use crate::plan::{NodeId, fence};
use crate::run::Run;
use crate::state::GroupState;
use crate::time::{Moment, Now};

/// The status before anything was seen.
pub(super) fn starting(group: &Group, now: Now) -> GroupStatus {
    GroupStatus {
        group: group.name.clone(),
        state: Condition::Starting,
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
        at: now.wall,
    }
}

/// The group in one word and one sentence.
pub(super) fn state(state: &GroupState, now: Moment) -> (Condition, String) {
    if let Some(run) = state.run() {
        let operation = &run.operation;
        let word = if run.changes_primary() {
            Condition::Changing
        } else {
            Condition::Copying
        };
        return (word, format!("{}: {}", operation.kind.as_str(), operation.now));
    }
    let verdict = state.verdict();
    match verdict {
        Verdict::Impaired(Impairment::NotLookedAt) => (Condition::Starting, verdict.to_string()),
        Verdict::Healthy => healthy(state, now),
        Verdict::LeftToPeople(_) if state.known().link.lost_data => (Condition::Holding, verdict.to_string()),
        Verdict::Impaired(_) => (Condition::Degraded, verdict.to_string()),
        Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_) => {
            let known = state.known();
            let error = known
                .primary()
                .and_then(|primary| known.node(primary).error.as_ref());
            let detail = error.map(|error| format!(" ({})", error.text()));
            (
                Condition::PrimaryDown,
                format!("{verdict}{}", detail.unwrap_or_default()),
            )
        }
    }
}

fn healthy(state: &GroupState, now: Moment) -> (Condition, String) {
    let known = state.known();
    match &known.link.status.link {
        LinkState::FullSync { .. } => {
            return (
                Condition::Copying,
                "a full copy of the primary is arriving".to_owned(),
            );
        }
        LinkState::Holding(reason) => return (Condition::Holding, reason.to_string()),
        LinkState::Streaming => {}
        LinkState::Retrying { reason } => {
            return (
                Condition::Degraded,
                format!("the primary's stream is missing: {reason}"),
            );
        }
        other => {
            return (
                Condition::Degraded,
                format!("the primary's stream is not here yet: {}", other.word()),
            );
        }
    }
    for name in known.record.services() {
        let (ok, detail) = service_detail(state, name, &node_statuses(state, name, now), now);
        if !ok {
            return (Condition::Degraded, format!("{name}: {detail}"));
        }
    }
    (
        Condition::Healthy,
        "the primary takes writes and every replica service follows".to_owned(),
    )
}

/// How the group is doing, in full.
pub(super) fn status(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    (word, reason): (Condition, String),
    alerts: Vec<Alert>,
    now: Now,
) -> GroupStatus {
    let known = state.known();
    let record = &known.record;
    let unreplicated = health::unreplicated(known);
    GroupStatus {
        group: record.name.clone(),
        state: word,
        reason,
        epoch: record.epoch,
        paused: record.paused,
        failover: failover_words(state, now.at),
        unreplicated_bytes: unreplicated.bytes,
        unreplicated_seconds: unreplicated.time.as_secs_f64(),
        services: record
            .services()
            .map(|name| service_status(state, access, name, now.at))
            .collect(),
        fence: fence_status(state),
        log: log_status(&known.link.status),
        alerts,
        operation: state.run().map(|run| run.operation.id),
        at: now.wall,
    }
}

/// Whether a failover would happen by itself.
fn failover_words(state: &GroupState, now: Moment) -> String {
    let lost = health::PrimaryObservation {
        result: ProbeResult::Refused,
        quiet_for: Duration::from_secs(3600),
        lost_its_data: false,
        follows_us: false,
    };
    let policy = health::failover_policy(state.known(), state.run().is_some_and(Run::has_decided), now);
    match health::evaluate(&lost, &policy) {
        Verdict::FailOver(_) | Verdict::Waiting(_) => "automatic".to_owned(),
        Verdict::LeftToPeople(obstacle @ (Obstacle::NotAutomatic | Obstacle::Paused)) => {
            format!("by hand: {obstacle}")
        }
        Verdict::LeftToPeople(obstacle) => format!("not possible now: {obstacle}"),
        other => other.to_string(),
    }
}

fn fence_status(state: &GroupState) -> FenceStatus {
    let known = state.known();
    let settings = &known.record.settings;
    let in_place = known.record.fence_in_place;
    let detail = match (settings.fencing, in_place) {
        (Fencing::None, _) => {
            "off: an old primary that is cut off goes on taking writes; they end in a rescue file".to_owned()
        }
        (Fencing::Lease, true) => format!(
            "in place: the primary stops taking writes {} to {} s after it last heard from the gateway",
            settings.lease_seconds,
            settings.lease_seconds + 2
        ),
        (Fencing::Lease, false) => "not in place yet: it follows the first copy".to_owned(),
    };
    FenceStatus {
        in_place,
        min_replicas: known
            .primary()
            .map_or(0, |primary| fence::wanted(known, primary).min_replicas),
        detail,
    }
}

fn service_status(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    name: &ServiceName,
    now: Moment,
) -> ServiceStatus {
    let nodes = node_statuses(state, name, now);
    let (ok, detail) = service_detail(state, name, &nodes, now);
    ServiceStatus {
        name: name.clone(),
        site: access
            .get(name)
            .and_then(|access| access.service.spec.site.clone()),
        role: role(state, name),
        ok,
        detail,
        nodes,
    }
}

fn role(state: &GroupState, name: &ServiceName) -> ServiceRole {
    let known = state.known();
    if *name == known.record.primary {
        ServiceRole::Primary
    } else if known.former_primary(name).is_some() {
        ServiceRole::FormerPrimary
    } else {
        ServiceRole::Replica
    }
}

fn service_detail(
    state: &GroupState,
    name: &ServiceName,
    nodes: &[NodeStatus],
    now: Moment,
) -> (bool, String) {
    let known = state.known();
    match role(state, name) {
        ServiceRole::Primary if *state.verdict() == Verdict::Healthy => {
            let local = known
                .primary()
                .map_or(0, |primary| fence::local_replicas(known, primary));
            let local = match local {
                0 => String::new(),
                count => format!(", with {count} replicas of its own"),
            };
            (true, format!("takes writes{local}"))
        }
        ServiceRole::Primary => (false, state.verdict().to_string()),
        ServiceRole::FormerPrimary => {
            let offset = known
                .former_primary(name)
                .map_or(Offset::ZERO, |former| former.divergence_offset);
            (
                false,
                format!("was left behind by a failover at offset {offset} and has not come back yet"),
            )
        }
        ServiceRole::Replica => {
            let following = known.nodes_of(name).filter(|(_, node)| node.follows(now)).count();
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

fn node_statuses(state: &GroupState, name: &ServiceName, now: Moment) -> Vec<NodeStatus> {
    let nodes = state.known().nodes_of(name);
    nodes
        .map(|(id, node)| node_status(state, id, node, now))
        .collect()
}

fn node_status(state: &GroupState, id: NodeId, node: &NodeState, now: Moment) -> NodeStatus {
    let known = state.known();
    let link = &known.link.status;
    let info = node.fresh(now);
    let relay = known.relay_for(id);
    let is_primary = Some(id) == known.primary();
    let (word, detail) = match (node.result(), info) {
        (ProbeResult::NotProbed, _) => ("unknown", "was not looked at yet".to_owned()),
        (ProbeResult::Refused | ProbeResult::Silent | ProbeResult::Denied, _) => (
            "unreachable",
            node.error
                .as_ref()
                .map_or_else(String::new, |error| error.text().to_owned()),
        ),
        (ProbeResult::Loading, _) => ("loading", "loads its data".to_owned()),
        (_, None) => ("unreachable", "has not answered for some seconds".to_owned()),
        (ProbeResult::Primary, Some(_)) if is_primary => ("primary", "takes writes".to_owned()),
        (ProbeResult::Primary, Some(_)) if node.is_blocked() => {
            ("primary", "its writes are blocked".to_owned())
        }
        (ProbeResult::Primary, Some(_)) => {
            ("primary", "is a primary of its own, and should not be".to_owned())
        }
        (ProbeResult::Replica, Some(info)) if info.primary.as_ref() == Some(&relay) => {
            let detail = match (info.link_up, info.syncing) {
                (true, _) => "follows",
                (false, true) => "receives a full copy",
                (false, false) => "its link to the relay is down",
            };
            ("replica", detail.to_owned())
        }
        (ProbeResult::Replica, Some(info)) => {
            let of = info
                .primary
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), ToString::to_string);
            ("local-replica", format!("is a replica of {of}"))
        }
    };
    let follower = info.filter(|_| word == "replica");
    let lag = follower.map(|info| link.log_end.bytes_since(info.offset));
    let seconds = link
        .followers
        .iter()
        .map(|follower| follower.lag_seconds)
        .fold(0.0, f64::max);
    NodeStatus {
        address: node.key.address.clone(),
        role: word.to_owned(),
        engine: info.map(|info| info.engine.to_string()),
        offset: info.map(|info| info.offset),
        lag_bytes: lag,
        lag_seconds: lag.map(|bytes| if bytes == 0 { 0.0 } else { seconds }),
        detail,
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
