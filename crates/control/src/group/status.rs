//! How the group is doing, as data, from what its state knows.

use std::collections::BTreeMap;

use sterna_model::{
    Alert, CopyObstacle, FenceState, Fencing, GroupReason, GroupState as Condition, GroupStatus, LinkState,
    NodeCondition, NodeFigures, NodeRole, NodeStatus, OperationKind, ServiceCondition, ServiceName,
    ServiceRole, ServiceStatus, ShardFigures, ShardStatus, StatusSummary,
};
use sterna_protocol::Offset;
use sterna_replication::FollowerStatus;

use crate::access::Access;
use crate::known::{Known, NodeState};
use crate::observe::ProbeError;
use crate::plan::health::{Impairment, ProbeResult, Verdict};
use crate::plan::loss;
use crate::plan::{NodeId, fence};
use crate::run::Run;
use crate::state::GroupState;
use crate::time::{Moment, Now};

/// The status before anything was seen.
pub(super) fn starting(state: &GroupState, now: Now) -> GroupStatus {
    let record = &state.known().record;
    GroupStatus {
        group: record.name.clone(),
        revision: 0,
        summary: summary(state, (Condition::Starting, GroupReason::NotLookedAt)),
        services: Vec::new(),
        shards: vec![shard_status(state, now.at)],
        alerts: Vec::new(),
        at: now.wall,
    }
}

/// The group in one word, and why.
pub(super) fn state(state: &GroupState, now: Moment) -> (Condition, GroupReason) {
    if let Some(run) = state.run() {
        let operation = &run.operation;
        let word = if run.changes_primary() {
            Condition::Changing
        } else {
            Condition::Copying
        };
        let reason = GroupReason::Operation {
            operation: operation.kind,
            step: operation.steps.last().map(|step| step.name),
        };
        return (word, reason);
    }
    let known = state.known();
    let verdict = *state.verdict();
    let primary = |error| GroupReason::Primary { verdict, error };
    match verdict {
        Verdict::Impaired(Impairment::NotLookedAt) => (Condition::Starting, GroupReason::NotLookedAt),
        Verdict::Healthy => healthy(state, now),
        Verdict::LeftToPeople(_) if known.link.lost_data => (Condition::Holding, primary(None)),
        Verdict::Impaired(_) => (Condition::Degraded, primary(None)),
        Verdict::Waiting(_) | Verdict::LeftToPeople(_) | Verdict::FailOver(_) => {
            let error = known
                .primary()
                .and_then(|primary| known.node(primary).error.as_ref());
            let error = error.map(|error| error.text().to_owned());
            (Condition::PrimaryDown, primary(error))
        }
    }
}

fn healthy(state: &GroupState, now: Moment) -> (Condition, GroupReason) {
    let known = state.known();
    match &known.link.status.link {
        LinkState::Holding(reason) => return (Condition::Holding, GroupReason::Holds(reason.clone())),
        LinkState::Streaming if known.link.status.copy.is_some() => {
            return (Condition::Copying, GroupReason::FullCopyArrives);
        }
        LinkState::Streaming => {}
        link => return (Condition::Degraded, GroupReason::NoStream { link: link.clone() }),
    }
    if let Some(reason) = refuses_writes(known, now) {
        return (Condition::Degraded, reason);
    }
    for name in known.record.services() {
        let condition = service_condition(state, name, now);
        if !condition.is_ok() {
            let service = name.clone();
            return (Condition::Degraded, GroupReason::Service { service, condition });
        }
    }
    (Condition::Healthy, GroupReason::InOrder)
}

/// The primary counts too few good replicas.
fn refuses_writes(known: &Known, now: Moment) -> Option<GroupReason> {
    let info = known.node(known.primary()?).fresh(now)?;
    let (good, min_replicas) = (info.good_replicas?, info.lease?.min_replicas);
    (good < min_replicas).then_some(GroupReason::RefusesWrites { good, min_replicas })
}

/// How the group is doing, in full.
pub(super) fn status(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    why: (Condition, GroupReason),
    alerts: Vec<Alert>,
    now: Now,
) -> GroupStatus {
    let record = &state.known().record;
    GroupStatus {
        group: record.name.clone(),
        revision: 0,
        summary: summary(state, why),
        services: record
            .services()
            .map(|name| service_status(state, access, name, now.at))
            .collect(),
        shards: vec![shard_status(state, now.at)],
        alerts,
        at: now.wall,
    }
}

fn summary(state: &GroupState, (word, reason): (Condition, GroupReason)) -> StatusSummary {
    let record = &state.known().record;
    StatusSummary {
        state: word,
        reason,
        epoch: record.epoch,
        paused: record.paused,
        failover: state.readiness(),
        operation: state.run().map(|run| run.operation.id),
    }
}

fn shard_status(state: &GroupState, now: Moment) -> ShardStatus {
    let known = state.known();
    let shard = &known.link.status;
    let unreplicated = loss::of_the_log(known);
    ShardStatus {
        shard: known.shard,
        primary_node: known.shard().primary_node.clone(),
        link: shard.link.clone(),
        copy: shard.copy,
        copy_error: shard.copy_error.clone(),
        fence: fence_state(state, now),
        history: shard.history,
        disk_error: shard.disk_error.clone(),
        needless_full_syncs: shard.counters.full_syncs_needless,
        figures: ShardFigures {
            unreplicated_bytes: unreplicated.bytes,
            unreplicated_seconds: unreplicated.time.unwrap_or_default().as_secs_f64(),
            log_start: shard.log_start,
            log_end: shard.log_end,
            log_bytes: shard.log_bytes,
            stream_bytes: shard.counters.stream_bytes,
        },
    }
}

fn fence_state(state: &GroupState, now: Moment) -> FenceState {
    let known = state.known();
    match known.record.settings.fencing {
        Fencing::None => FenceState::Off,
        Fencing::Lease => match known.primary().filter(|_| known.shard().fence_in_place) {
            None if is_lifted(state, now) => FenceState::Lifted,
            None => FenceState::NotYet,
            Some(primary) => {
                let wanted = fence::wanted(known, primary);
                FenceState::InPlace {
                    lease_seconds: wanted.lease.max_lag_seconds,
                    min_replicas: wanted.lease.min_replicas,
                    links: wanted.links,
                    others: wanted.others,
                    counts_others: wanted.counts_others || known.kept_open_by_others,
                }
            }
        },
    }
}

/// Whether the fence is not in place because nobody is fit to take over, in a group that has had its first copy.
fn is_lifted(state: &GroupState, now: Moment) -> bool {
    let creates = |run: &Run| run.operation.kind == OperationKind::Create;
    let known = state.known();
    known.primary().is_some() && fence::is_needless(known, now) && !state.run().is_some_and(creates)
}

fn service_status(
    state: &GroupState,
    access: &BTreeMap<ServiceName, Access>,
    name: &ServiceName,
    now: Moment,
) -> ServiceStatus {
    let condition = service_condition(state, name, now);
    let nodes = state.known().nodes_of(name);
    ServiceStatus {
        name: name.clone(),
        site: access
            .get(name)
            .and_then(|access| access.service.spec.site.clone()),
        role: role(state, name),
        ok: condition.is_ok(),
        condition,
        nodes: nodes
            .map(|(id, node)| node_status(state, id, node, now))
            .collect(),
    }
}

fn role(state: &GroupState, name: &ServiceName) -> ServiceRole {
    let known = state.known();
    if *name == known.record.primary {
        ServiceRole::Primary
    } else if known.former_service(name).is_some() {
        ServiceRole::FormerPrimary
    } else {
        ServiceRole::Replica
    }
}

fn service_condition(state: &GroupState, name: &ServiceName, now: Moment) -> ServiceCondition {
    let known = state.known();
    match role(state, name) {
        ServiceRole::Primary if *state.verdict() == Verdict::Healthy => ServiceCondition::TakesWrites {
            local_replicas: known
                .primary()
                .map_or(0, |primary| fence::local_replicas(known, primary)),
        },
        ServiceRole::Primary => ServiceCondition::PrimaryNotWell {
            verdict: *state.verdict(),
        },
        ServiceRole::FormerPrimary => ServiceCondition::LeftBehind {
            divergence_offset: known
                .former_service(name)
                .map_or(Offset::ZERO, |former| former.divergence_offset),
        },
        ServiceRole::Replica => {
            let mut nodes = known.nodes_of(name).peekable();
            if nodes.peek().is_none() {
                return ServiceCondition::NoNodes;
            }
            // A replica of another node of its service follows through that.
            match nodes.find(|(_, node)| !node.follows(now)) {
                None => ServiceCondition::Follows,
                Some((id, node)) => ServiceCondition::NodeDoesNotFollow {
                    address: node.key.address.clone(),
                    condition: node_condition(state, id, node, now),
                },
            }
        }
    }
}

fn node_condition(state: &GroupState, id: NodeId, node: &NodeState, now: Moment) -> NodeCondition {
    let known = state.known();
    match &node.error {
        Some(ProbeError::Refused(error)) => {
            let error = error.clone();
            return NodeCondition::Refused { error };
        }
        Some(ProbeError::Silent(error)) => {
            let error = Some(error.clone());
            return NodeCondition::Silent { error };
        }
        Some(ProbeError::Denied(error)) => {
            let error = error.clone();
            return NodeCondition::Denied { error };
        }
        None => {}
    }
    let result = node.result();
    match (result, node.fresh(now)) {
        (ProbeResult::NotProbed, _) => NodeCondition::NotLookedAt,
        (ProbeResult::Loading, _) => NodeCondition::Loading,
        (_, None) => NodeCondition::Silent { error: None },
        (ProbeResult::Primary, Some(_)) if Some(id) == known.primary() => NodeCondition::TakesWrites,
        (ProbeResult::Primary, Some(_)) if node.is_blocked() => NodeCondition::WritesBlocked,
        (ProbeResult::Primary, Some(_)) => NodeCondition::UnexpectedPrimary,
        (_, Some(info)) if info.primary.as_ref() != Some(&known.relay_for(id)) => NodeCondition::ReplicaOf {
            address: info.primary.clone(),
        },
        (_, Some(info)) => match (info.link_up, info.syncing) {
            (true, _) => NodeCondition::Follows,
            (false, true) => NodeCondition::ReceivesFullCopy,
            (false, false) => match held_copy(known, id) {
                Some(obstacle) => NodeCondition::CopyHeld(obstacle.clone()),
                None => NodeCondition::LinkDown,
            },
        },
    }
}

/// Why a node that is connected to the relay is not given the full copy that it needs. Behind an address translation the
/// relay sees another address than the group knows; its port tells it then.
pub(super) fn held_copy(known: &Known, id: NodeId) -> Option<&CopyObstacle> {
    let address = &known.node(id).key.address;
    let held = || {
        let followers = known.link.status.followers.iter();
        followers.filter_map(|follower| Some((follower, follower.held.as_ref()?)))
    };
    let is_it = |follower: &FollowerStatus| {
        follower.listening_port == address.port && follower.peer.ip().to_string() == address.host
    };
    let found = held().find(|(follower, _)| is_it(follower));
    let by_port = || {
        let followers = &known.link.status.followers;
        let mut others = held().filter(|(follower, _)| follower.listening_port == address.port);
        others.next().filter(|_| !followers.iter().any(is_it))
    };
    found.or_else(by_port).map(|(_, obstacle)| obstacle)
}

fn node_status(state: &GroupState, id: NodeId, node: &NodeState, now: Moment) -> NodeStatus {
    let link = &state.known().link.status;
    let info = node.fresh(now);
    let condition = node_condition(state, id, node, now);
    let role = condition.role();
    let follower = info.filter(|_| role == NodeRole::Replica);
    let lag = follower.map(|info| link.log_end.bytes_since(info.offset));
    let seconds = link
        .followers
        .iter()
        .map(|follower| follower.lag_seconds)
        .fold(0.0, f64::max);
    NodeStatus {
        address: node.key.address.clone(),
        shard: state.known().shard,
        role,
        condition,
        engine: info.map(|info| info.engine.to_string()),
        figures: NodeFigures {
            offset: info.map(|info| info.offset),
            lag_bytes: lag,
            lag_seconds: lag.map(|bytes| if bytes == 0 { 0.0 } else { seconds }),
            round_trip_seconds: info.and(node.round_trip).map(|time| time.as_secs_f64()),
        },
    }
}
