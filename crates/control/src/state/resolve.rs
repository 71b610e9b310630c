//! From a step to the work that it is: addresses, settings, offsets.

use sterna_model::{Fencing, FormerPrimary, Operation, OperationKind, StepOutcome};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::HistoryEnd;

use crate::job::{Attach, Decided, Former, Job, Lift};
use crate::known::Known;
use crate::observe::NodeKey;
use crate::plan::returning::{self, Holds, NodeStep, ReturningNode};
use crate::plan::{AttachCause, NodeId, RescueScope, Step, fence};
use crate::rescue::RescueJob;
use crate::run::Run;

/// Whether the step is nothing but a change of what is stored.
pub(super) fn is_record_only(step: &Step) -> bool {
    matches!(
        step,
        Step::Decide { .. } | Step::Remove(_) | Step::Close(_) | Step::CloseNode(_)
    )
}

/// Whether what the step changes is stored before anything is done. A fence that is thought to be in place and is not
/// would be relied on.
pub(super) fn is_record_first(step: &Step) -> bool {
    is_record_only(step) || matches!(step, Step::LiftFence(_))
}

/// The work of a step; none where what it is about is gone.
pub(super) fn job(known: &Known, run: Option<&Run>, step: &Step) -> Option<Job> {
    let key = |node: &NodeId| known.node(*node).key.clone();
    let creates = run.is_some_and(|run| run.operation.kind == OperationKind::Create);
    Some(match step {
        Step::Follow(node) => Job::Follow {
            node: key(node),
            decided: history_end(known),
            held_by_nodes: if creates {
                Vec::new()
            } else {
                known.held_by_nodes()
            },
        },
        Step::StopFollowing => Job::StopFollowing,
        Step::BlockWrites(node) => Job::BlockWrites(key(node)),
        Step::Promote(node) => Job::Promote {
            node: key(node),
            decided: decided(run?)?,
            in_file: known.record.settings.fencing == Fencing::None,
        },
        Step::PlaceFence(node) => Job::PlaceFence {
            node: key(node),
            lease: fence::wanted(known, *node).lease,
        },
        Step::FollowOwnPrimary(node) => Job::FollowOwnPrimary {
            node: key(node),
            primary: key(&known.primary()?).address,
            former: known.former_node(&key(node)).map(|_| Former {
                lease: fence::of_a_replica(known),
                history: known.history(),
            }),
        },
        Step::LiftFence(node) => Job::LiftFence {
            node: key(node),
            run: known.node(*node).info.as_ref()?.run_id.clone(),
            // Its file keeps the fence: should it die and another take over, it comes back closed.
            lift: match known.record.settings.fencing {
                Fencing::Lease => Lift::UntilRestart,
                Fencing::None => Lift::ForGood,
            },
        },
        Step::PrepareHandover(node) => Job::PrepareHandover {
            node: key(node),
            relay: known.relay_for(*node),
        },
        Step::PauseWrites(node) => Job::PauseWrites {
            node: key(node),
            relay: known.relay_for(*node),
            timeout_ms: known.record.settings.switchover_timeout_ms,
        },
        Step::AcceptFormerPrimary => Job::AcceptFormerPrimary(run.and_then(former_primary)),
        Step::Abort { old, .. } => Job::AbortHandover(old.as_ref().map(key)),
        Step::Rescue { node, scope } => Job::Rescue(rescue(known, *node, *scope)?),
        Step::RescueFromLog { after, to } => {
            Job::RescueFromLog(rescue_from_log(known, &run?.operation, *after, *to)?)
        }
        Step::Attach { node, why } => Job::Attach(attach(known, *node, *why)),
        Step::Check(services) => Job::Check {
            services: services.clone(),
            overwrite: run?.operation.force,
            group: Box::new(known.record.clone()),
            shard: known.shard,
        },
        Step::Release { service, promote } => Job::Release {
            nodes: known
                .nodes_of(service)
                .map(|(_, node)| node.key.clone())
                .collect(),
            promote: *promote,
            lift_at: None,
        },
        Step::ReleaseAll => {
            let replicas = known.record.replicas.iter();
            let nodes = replicas.flat_map(|service| known.nodes_of(service));
            Job::Release {
                nodes: nodes.map(|(_, node)| node.key.clone()).collect(),
                promote: false,
                lift_at: known.primary().as_ref().map(key),
            }
        }
        Step::Delete => Job::Close,
        Step::ExpireRescue(id) => {
            let rescue = known.rescues.iter().find(|rescue| rescue.id == *id)?;
            Job::ExpireRescue(Box::new(rescue.clone()))
        }
        Step::BeginFailover(_)
        | Step::BeginRejoin { .. }
        | Step::AdoptLocalPromotion(_)
        | Step::Decide { .. }
        | Step::Close(_)
        | Step::CloseNode(_)
        | Step::Remove(_) => return None,
    })
}

/// What came of a step that only changed what is stored.
pub(super) fn outcome(known: &Known, step: &Step) -> Option<StepOutcome> {
    Some(match step {
        Step::Decide {
            node,
            divergence_offset,
        } => {
            let NodeKey { service, address } = known.node(*node).key.clone();
            StepOutcome::Decided {
                service,
                address,
                epoch: known.record.epoch,
                divergence_offset: *divergence_offset,
            }
        }
        Step::Remove(_) => StepOutcome::Removed,
        Step::Close(_) | Step::CloseNode(_) => StepOutcome::Closed,
        Step::Delete => StepOutcome::Deleted,
        _ => return None,
    })
}

/// The node that was the primary before.
fn former_primary(run: &Run) -> Option<NodeKey> {
    let report = run.operation.report.as_ref()?;
    Some(NodeKey {
        service: report.from.clone(),
        address: report.from_node.clone()?,
    })
}

fn decided(run: &Run) -> Option<Decided> {
    let report = run.operation.report.as_ref()?;
    Some(Decided {
        history: report.history,
        offset: report.divergence_offset,
    })
}

/// Where the history before that of the primary ended, as it was decided last.
fn history_end(known: &Known) -> Option<HistoryEnd> {
    let former = &known.shard().former_primaries;
    let last = former.iter().max_by_key(|former| former.epoch)?;
    let ended_last = last.epoch.next() == known.record.epoch;
    ended_last.then_some(HistoryEnd {
        id: last.history,
        offset: last.divergence_offset,
    })
}

fn rescue(known: &Known, node: NodeId, scope: RescueScope) -> Option<RescueJob> {
    let state = known.node(node);
    let info = state.info.as_ref()?;
    let record = &known.record;
    let former = known.former_node(&state.key);
    Some(RescueJob {
        node: state.key.clone(),
        group: record.name.clone(),
        shard: known.shard,
        epoch: former.map_or(record.epoch, |former| former.epoch),
        history: info.history,
        selected_db: former.and_then(|former| former.selected_db),
        scope,
        offset: info.offset,
        divergence_offset: former.map_or(info.offset, |former| former.divergence_offset),
        max_bytes: record.settings.rescue.max_bytes,
        corrects: former.map(|former| former.operation),
    })
}

/// The old primary may be away, and no longer among the nodes.
fn rescue_from_log(known: &Known, failover: &Operation, after: Offset, to: Offset) -> Option<RescueJob> {
    let former = &known.shard().former_primaries;
    let former = former.iter().find(|former| former.operation == failover.id)?;
    let record = &known.record;
    Some(RescueJob {
        node: NodeKey {
            service: former.service.clone(),
            address: former.node.clone(),
        },
        group: record.name.clone(),
        shard: known.shard,
        epoch: former.epoch,
        history: former.history,
        selected_db: former.selected_db,
        scope: RescueScope::Commands { after, to },
        offset: to,
        divergence_offset: former.divergence_offset,
        max_bytes: record.settings.rescue.max_bytes,
        // It is under way: its report is kept here.
        corrects: None,
    })
}

fn attach(known: &Known, node: NodeId, why: AttachCause) -> Attach {
    let state = known.node(node);
    let history = state.info.as_ref().map(|info| info.history);
    let has_nothing_more = |former: &&FormerPrimary| {
        why == AttachCause::Returns(Holds::APrefix)
            && former.node == state.key.address
            && history == Some(former.history)
    };
    Attach {
        node: state.key.clone(),
        relay: known.relay_for(node),
        lease: fence::of_a_replica(known),
        alias: alias(known, node),
        confirms: known
            .former_node(&state.key)
            .filter(has_nothing_more)
            .map(|former| former.operation),
    }
}

/// The history under which a node holds a prefix of ours, where that is one that the log never lived through.
fn alias(known: &Known, node: NodeId) -> Option<(ReplicationId, Offset)> {
    let looked_at = known.node(node).looked_at()?;
    let (seen, divergence) = returning::observe(known, node, looked_at)?;
    let free = ReturningNode {
        writes_blocked: true,
        follows_us: false,
        ..seen
    };
    let prefix = returning::next(&free, &divergence) == NodeStep::Attach(Holds::APrefix);
    // The log's own history needs none.
    let is_other = !seen.holds_ours && seen.history != divergence.history;
    (prefix && is_other).then_some((seen.history, seen.offset))
}
