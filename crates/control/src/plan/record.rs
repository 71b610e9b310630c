//! What a step changes in what is stored: the group, the operation, the group's history. Each is one commit.

use sterna_model::{
    Certainty, FormerPrimary, Group, HistoryCause, HistoryEntry, Operation, OperationId, OperationKind,
    OperationReason, OperationResult, OperationState, Report, Rpo, ServiceName, ShardTerm,
};
use sterna_node::NodeAddress;
use sterna_protocol::Offset;

use super::NodeId;
use super::loss;
use crate::known::Known;
use crate::observe::{NodeInfo, NodeKey};
use crate::time::Now;

/// What is stored together, all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) group: Group,
    pub(crate) operation: Option<Operation>,
    pub(crate) entry: Option<HistoryEntry>,
}

impl Change {
    /// A change of the group alone.
    pub(crate) fn of_group(group: Group) -> Self {
        Self {
            group,
            operation: None,
            entry: None,
        }
    }
}

/// The durable decision: who is the primary from now on, in which epoch, with everything up to where.
pub(crate) fn decided(
    known: &Known,
    operation: &Operation,
    node: NodeId,
    divergence_offset: Offset,
    now: Now,
) -> Change {
    let record = &known.record;
    let state = known.node(node);
    let key = &state.key;
    let status = &known.link.status;
    let selected_db = status.selected_db.filter(|_| status.log_end == divergence_offset);
    let history = status.history.or(state.info.as_ref().map(|info| info.history));
    let planned = operation.kind == OperationKind::Switchover;
    let former = history
        .zip(known.shard().primary_node.clone())
        .map(|(history, node)| FormerPrimary {
            service: record.primary.clone(),
            node,
            history,
            divergence_offset,
            selected_db,
            epoch: record.epoch,
            operation: operation.id,
        });
    // It takes writes already.
    let by_others = key.service == record.primary && state.info.as_ref().is_some_and(NodeInfo::is_primary);
    let group = with_primary(known, key, former, !planned && !by_others, now);
    let report = Report {
        shard: known.shard,
        reason: operation.reason.clone(),
        from: record.primary.clone(),
        from_node: known.shard().primary_node.clone(),
        to: key.service.clone(),
        to_node: key.address.clone(),
        epoch: group.epoch,
        history,
        divergence_offset,
        rpo: if planned {
            NOTHING_LOST
        } else {
            left_behind(known, divergence_offset, now)
        },
        rto_ms: 0.0,
        phases: Vec::new(),
        partial_resyncs: 0,
        full_resyncs: 0,
    };
    let cause = if planned {
        HistoryCause::Switchover
    } else if by_others {
        HistoryCause::WithinService
    } else {
        HistoryCause::Failover
    };
    let mut entry = term(&group, cause, Some(operation.id), operation.reason.clone());
    let shard = entry.shards.entry(known.shard).or_default();
    (shard.ended_history, shard.divergence_offset) = (history, Some(divergence_offset));
    Change {
        operation: Some(Operation {
            service: Some(key.service.clone()),
            committed: true,
            report: Some(report),
            ..operation.clone()
        }),
        entry: Some(entry),
        group,
    }
}

const NOTHING_LOST: Rpo = Rpo {
    bytes: 0,
    bytes_max: Some(0),
    commands: Some(0),
    seconds: 0.0,
    certainty: Certainty::Exact,
    rescue: None,
};

/// What an unplanned change leaves at the old primary, as far as that is known.
fn left_behind(known: &Known, divergence_offset: Offset, now: Now) -> Rpo {
    let lost = loss::of(known, divergence_offset);
    let at_most = loss::at_most(known, divergence_offset, now.at);
    let seconds = loss::at_most_for(known, divergence_offset, now.at).or(lost.time);
    Rpo {
        bytes: lost.bytes,
        bytes_max: at_most.map(|bytes| bytes.max(lost.bytes)),
        commands: None,
        seconds: seconds.unwrap_or_default().as_secs_f64(),
        certainty: Certainty::Estimate,
        rescue: None,
    }
}

/// The fence is in place at the primary, or is no longer.
pub(crate) fn fence(known: &Known, in_place: bool) -> Change {
    let mut group = known.record.clone();
    group.shard_mut(known.shard).fence_in_place = in_place;
    Change::of_group(group)
}

/// Nothing stands against a service that joins. From here on nodes are changed: whoever wants to take it back removes the
/// service. With which node the group's first term began is known now.
pub(crate) fn checked(known: &Known, operation: &Operation, primary_node: NodeAddress) -> Change {
    let mut group = known.record.clone();
    let shard = group.shard_mut(known.shard);
    shard.primary_node.get_or_insert(primary_node);
    let joins = operation
        .service
        .iter()
        .filter(|_| operation.kind == OperationKind::AddReplica);
    for service in joins {
        if !group.replicas.contains(service) {
            group.replicas.push(service.clone());
        }
    }
    let creates = operation.kind == OperationKind::Create;
    let entry = creates.then(|| {
        let reason = operation.reason.clone();
        term(&group, HistoryCause::Created, Some(operation.id), reason)
    });
    Change {
        group,
        operation: Some(committed(operation)),
        entry,
    }
}

/// A service is no longer in the group.
pub(crate) fn removed(record: &Group, operation: &Operation, service: &ServiceName) -> Change {
    let mut group = record.clone();
    for shard in group.shards.values_mut() {
        shard.former_primaries.retain(|former| former.service != *service);
    }
    group.replicas.retain(|name| name != service);
    Change {
        group,
        operation: Some(committed(operation)),
        entry: None,
    }
}

/// These former primaries are not to be waited for any more.
pub(crate) fn closed(known: &Known, are_back: impl Fn(&FormerPrimary) -> bool) -> Change {
    let mut group = known.record.clone();
    let shard = group.shard_mut(known.shard);
    shard.former_primaries.retain(|former| !are_back(former));
    Change::of_group(group)
}

/// The operation that deletes the group, done: or that was to make it, and takes that back.
pub(crate) fn deleted(operation: &Operation, now: Now) -> Operation {
    let (state, result) = match operation.kind {
        OperationKind::Create => (OperationState::Cancelled, OperationResult::CreationTakenBack),
        _ => (OperationState::Succeeded, OperationResult::Deleted),
    };
    Operation {
        state,
        finished_at: Some(now.wall),
        result: Some(result),
        ..committed(operation)
    }
}

fn committed(operation: &Operation) -> Operation {
    Operation {
        committed: true,
        ..operation.clone()
    }
}

/// The record of the epoch in which this node is the primary.
fn with_primary(
    known: &Known,
    key: &NodeKey,
    former: Option<FormerPrimary>,
    failed_over: bool,
    now: Now,
) -> Group {
    let record = &known.record;
    let mut next = record.clone();
    if key.service != record.primary {
        // The old primary service takes the new one's place in the order.
        for replica in &mut next.replicas {
            if *replica == key.service {
                replica.clone_from(&record.primary);
            }
        }
    }
    let shard = next.shard_mut(known.shard);
    if let Some(former) = former {
        // Another node of the service that takes over may still have to come back, with writes that only it has. Of a service
        // that is left one is waited for, the last: of any other that comes back all data are saved.
        let within = key.service == record.primary;
        let is_over = |old: &FormerPrimary| {
            let takes_over = old.service == key.service && old.node == key.address;
            let is_left = !within && old.service == record.primary;
            takes_over || is_left
        };
        shard.former_primaries.retain(|old| !is_over(old));
        shard.former_primaries.push(former);
    }
    shard.primary_node = Some(key.address.clone());
    shard.fence_in_place = false;
    next.primary = key.service.clone();
    next.epoch = record.epoch.next();
    next.primary_since = now.wall;
    if failed_over {
        next.failed_over_at = Some(now.wall);
    }
    next
}

/// The term that the group is in, as it begins.
pub(crate) fn term(
    group: &Group,
    cause: HistoryCause,
    operation: Option<OperationId>,
    reason: OperationReason,
) -> HistoryEntry {
    let shards = group.shards.iter().map(|(id, record)| {
        let node = record.primary_node.clone();
        (
            *id,
            ShardTerm {
                node,
                ..ShardTerm::default()
            },
        )
    });
    HistoryEntry {
        group: group.name.clone(),
        epoch: group.epoch,
        primary: group.primary.clone(),
        shards: shards.collect(),
        cause,
        operation,
        reason,
        at: group.primary_since,
    }
}
