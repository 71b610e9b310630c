//! What a failover depends on, from what is known.

use std::time::Duration;

use sterna_model::{Fencing, OperationReason, RescueKind, StepName};
use sterna_protocol::Offset;

use super::{Candidate, Decided, FailoverInput, Fence, OldPrimary};
use crate::known::{Followed, Known};
use crate::observe::NodeInfo;
use crate::plan::health::ProbeResult;
use crate::plan::{NodeId, fence as plan_fence, local_promotion, loss};
use crate::run::Run;
use crate::time::Moment;

/// A server closes itself between `min-replicas-max-lag` and so much later: it counts whole seconds, once a second
/// (measured: at most 1.8 s).
const LEASE_SLACK: Duration = Duration::from_millis(2100);
/// A host that refuses connections for so long has no process there: one refusal may be a full queue.
const REFUSED_FOR: Duration = Duration::from_millis(250);

/// A node that others promoted is waited for so long before another is chosen.
const PROMOTED_MISSED_MAX: Duration = Duration::from_secs(10);

/// What the failover that is under way depends on; none before the primary node is known.
pub(crate) fn observe(known: &Known, run: &Run, now: Moment) -> Option<FailoverInput> {
    let primary = known.primary()?;
    let operation = &run.operation;
    let node = known.node(primary);
    let old = if operation.committed {
        OldPrimary::Gone
    } else {
        old_primary(known, primary, now)
    };
    let decided = operation.committed.then(|| Decided {
        node: primary,
        divergence_offset: run.decided_offset(),
        since: run
            .done(StepName::Decide)
            .map_or(Duration::ZERO, |at| now.since(at)),
        held: held(known, run),
        unfit_for: run.unfit_for(now),
    });
    let promoted = local_promotion::seen(known, now);
    // It may have closed its connections, or the Sentinels are late with their word.
    let was_promoted = match &operation.reason {
        OperationReason::PromotedWithinService(node) => known.find(&node.service, &node.address),
        _ => None,
    };
    let still_is =
        was_promoted.is_some_and(|id| known.node(id).info.as_ref().is_some_and(NodeInfo::is_primary));
    let holds_data = node.result() == ProbeResult::Primary && !known.link.lost_data;
    let wanted = |service| known.record.replicas.iter().position(|name| name == service);
    Some(FailoverInput {
        old_node: primary,
        old,
        fence: fence(known, now),
        open_beside: open_beside(known, now),
        following_old: known.link.following && decided.is_none(),
        must_learn_what_is_held: known.must_learn_what_is_held(),
        unreceived_bytes: known.unreceived_bytes(),
        log_end: known.log_end(),
        gives_from: known.link.gives_from(),
        candidates: candidates(known, operation.committed, now),
        promoted,
        promoted_is_missed: promoted.is_none() && still_is && now.since(run.began) < PROMOTED_MISSED_MAX,
        only: operation.service.as_ref().and_then(wanted),
        forced: operation.force,
        by_person: !operation.requested_by.is_gateway(),
        old_recovered: old == OldPrimary::Answers && holds_data,
        old_is_only_blocked: old == OldPrimary::Blocked && holds_data,
        decided,
        new: decided.map_or(Followed::NotYet, |_| known.followed(primary)),
        fence_in_place: known.shard().fence_in_place || known.record.settings.fencing == Fencing::None,
        running_for: now.since(run.began),
    })
}

/// The nodes beside the primary that take writes: others of its service, and former primaries.
fn open_beside(known: &Known, now: Moment) -> Vec<NodeId> {
    let former = known.shard().former_primaries.iter();
    let services = former
        .map(|former| &former.service)
        .chain([&known.record.primary]);
    services
        .flat_map(|service| known.nodes_of(service))
        .filter(|(id, _)| known.primary() != Some(*id))
        .filter(|(_, node)| node.fresh(now).is_some_and(NodeInfo::is_primary) && !node.is_blocked())
        .map(|(id, _)| id)
        .collect()
}

/// What the log holds more of the history that ended than was decided, and no rescue file does. There may be a gap before it.
fn held(known: &Known, run: &Run) -> Option<(Offset, Offset)> {
    let report = run.operation.report.as_ref()?;
    let history = report
        .history
        .filter(|history| known.history() == Some(*history))?;
    let from = report.divergence_offset.max(known.link.status.log_start);
    let to = known.log_end();
    let is_saved = known.rescues.iter().any(|rescue| {
        rescue.kind == RescueKind::Commands
            && rescue.shard == known.shard
            && rescue.history == history
            && rescue.from <= from
            && rescue.to >= to
    });
    (to > from && !is_saved && !known.link.following).then_some((from, to))
}

/// Whether the decided node can't be promoted: it does not answer, loads its data, or came back without what it had.
pub(crate) fn is_unfit(known: &Known, node: NodeId, now: Moment) -> bool {
    let state = known.node(node);
    match state.fresh(now) {
        Some(info) => info.loading || (!info.is_primary() && !known.is_in_history(node, info)),
        None => matches!(
            state.result(),
            ProbeResult::Refused | ProbeResult::Silent | ProbeResult::Denied
        ),
    }
}

/// The nodes that could take over. `decided`: an operation has decided on the group's primary already, which is one of
/// them then.
pub(crate) fn candidates(known: &Known, decided: bool, now: Moment) -> Vec<Candidate> {
    let limit = Duration::from_secs(u64::from(known.record.settings.max_lag_on_failover_seconds));
    let mut candidates = Vec::new();
    let services = known.record.replicas.iter().chain([&known.record.primary]);
    for (preference, service) in services.enumerate() {
        for (node, state) in known.nodes_of(service) {
            if Some(node) == known.primary() && !decided {
                continue;
            }
            let Some(info) = state.fresh(now) else { continue };
            let is_former = known.former_node(&state.key).is_some();
            let in_history = known.is_in_history(node, info) || (is_former && goes_on_alone(known, info));
            // A former primary is one only while nobody went on from what it has.
            if is_former && !in_history {
                continue;
            }
            candidates.push(Candidate {
                node,
                preference,
                answers: state.error.is_none() && !info.loading && !state.refused_promotion(now),
                in_history: in_history && !info.syncing,
                applied: info.offset,
                loses_little: !loss::of_a_node(known, info.offset).exceeds(limit),
                priority: info.priority,
                is_primary: info.is_primary(),
                is_former,
            });
        }
    }
    candidates
}

/// Whether a primary went on under an id of its own from the end of the log, or from beyond: one whose handover was called off
/// takes a new id, for it was a replica.
fn goes_on_alone(known: &Known, info: &NodeInfo) -> bool {
    let shares = |(previous, last)| known.history() == Some(previous) && last >= known.log_end();
    info.is_primary() && info.previous.is_some_and(shares)
}

/// How the old primary's lease stands.
fn fence(known: &Known, now: Moment) -> Fence {
    match lease_over(known).filter(|_| !plan_fence::is_not_sure(known)) {
        Some(over) => Fence::Lease {
            left: over.since(now),
        },
        None if known.record.settings.fencing == Fencing::None => Fence::None,
        None => Fence::NotInPlace,
    }
}

/// When the old primary's lease is over for sure, if one is in place.
pub(crate) fn lease_over(known: &Known) -> Option<Moment> {
    let settings = &known.record.settings;
    if settings.fencing == Fencing::None || !known.shard().fence_in_place {
        return None;
    }
    // Another process of this gateway may have renewed it just before this one began.
    let began = known.gateway_started;
    let renewed = known.link.signs.renewed.unwrap_or(began).max(began);
    let at_node = known
        .primary()
        .and_then(|primary| known.node(primary).info.as_ref()?.lease);
    let lag_seconds = at_node
        .map_or(0, |lease| lease.max_lag_seconds)
        .max(settings.lease_seconds);
    let margin = Duration::from_millis(settings.lease_margin_ms);
    Some(renewed.plus(Duration::from_secs(u64::from(lag_seconds)) + LEASE_SLACK + margin))
}

/// How the old primary stands.
pub(crate) fn old_primary(known: &Known, primary: NodeId, now: Moment) -> OldPrimary {
    let node = known.node(primary);
    let seen = known.quiet_beside_others(primary, now) >= known.silence_needed();
    match node.result() {
        ProbeResult::Refused
            if known.link.status.closed_by_primary && node.result_for(now) >= REFUSED_FOR =>
        {
            OldPrimary::Gone
        }
        ProbeResult::Replica => OldPrimary::Blocked,
        ProbeResult::Primary | ProbeResult::Loading if node.is_blocked() => OldPrimary::Blocked,
        ProbeResult::Primary | ProbeResult::Loading => OldPrimary::Answers,
        ProbeResult::Silent | ProbeResult::NotProbed if !seen => OldPrimary::NotSeen,
        ProbeResult::Refused | ProbeResult::Silent | ProbeResult::Denied | ProbeResult::NotProbed => {
            OldPrimary::Silent
        }
    }
}

impl Run {
    /// What the new primary must have, as it was decided.
    pub(crate) fn decided_offset(&self) -> Offset {
        let report = self.operation.report.as_ref();
        report.map_or(Offset::ZERO, |report| report.divergence_offset)
    }
}
