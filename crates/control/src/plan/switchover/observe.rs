//! What a switchover depends on, from what is known.

use std::time::Duration;

use sterna_model::Fencing;

use super::{OldPrimary, SwitchoverInput, Target};
use crate::known::{Followed, Known};
use crate::observe::NodeInfo;
use crate::plan::health::Verdict;
use crate::plan::{NodeId, failover};
use crate::run::{Course, Run};
use crate::time::Moment;

/// Before writes are stopped, the target has so long to come close.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// What the switchover that is under way depends on.
pub(crate) fn observe(known: &Known, run: &Run, verdict: &Verdict, now: Moment) -> SwitchoverInput {
    let committed = run.operation.committed;
    let (target, old) = nodes(known, run, now);
    let (paused_at, target_seen) = match run.course {
        Course::Switchover {
            paused_at,
            target_seen,
            ..
        } => (paused_at, target_seen),
        _ => (None, false),
    };
    SwitchoverInput {
        old_node: old,
        old: old_primary(known, run, old, paused_at.is_some(), now),
        old_lost: matches!(verdict, Verdict::FailOver(_)),
        handover: known.link.handover,
        streaming: known.link.is_streaming(),
        log_end: known.log_end(),
        target: target.map(|node| {
            let info = known.node(node).fresh(now);
            Target {
                node,
                follows: info.is_some_and(|info| info.is_primary() || info.link_up),
                applied: info.map_or(sterna_protocol::Offset::ZERO, |info| info.offset),
                is_primary: info.is_some_and(NodeInfo::is_primary),
                in_history: info.is_some_and(|info| known.history() == Some(info.history)),
            }
        }),
        target_seen,
        decided: committed.then(|| run.decided_offset()),
        cancelled: run.cancelled,
        new: target
            .filter(|_| committed)
            .map_or(Followed::NotYet, |node| known.followed(node)),
        unfit_for: run.unfit_for(now),
        has_other: target
            .filter(|_| committed)
            .is_some_and(|node| failover::has_other(&failover::candidates(known, true, now), node)),
        old_is_open: old.is_some_and(|old| {
            let old = known.node(old);
            old.fresh(now).is_some() && !old.is_blocked()
        }),
        fence_in_place: known.shard().fence_in_place || known.record.settings.fencing == Fencing::None,
        waiting_for: match paused_at {
            Some(at) => now.since(at),
            // The gateway began anew since: what is left is to see the old primary follow.
            None if committed => now.since(known.primary_since),
            None => now.since(run.began).saturating_sub(CATCH_UP_MAX),
        },
        waiting_max: Duration::from_millis(known.record.settings.switchover_timeout_ms),
    }
}

/// The target and the old primary. Before the decision the group's primary is the old one.
fn nodes(known: &Known, run: &Run, now: Moment) -> (Option<NodeId>, Option<NodeId>) {
    if run.operation.committed {
        let old = run.operation.report.as_ref().and_then(|report| {
            let address = report.from_node.as_ref()?;
            known.find(&report.from, address)
        });
        return (known.primary(), old);
    }
    let target = run.operation.service.as_ref().and_then(|service| {
        // The node is chosen once: another one would have to catch up first.
        known
            .nodes_of(service)
            .filter(|(_, node)| node.fresh(now).is_some_and(|info| info.link_up))
            .map(|(id, _)| id)
            .min()
    });
    (target, known.primary())
}

/// That it stepped down is believed from the node itself, at which it was looked since its writes were stopped. Who asks the
/// shard to follow as a primary that hands over is anybody with a secret of the group: it only says that the node is ready.
fn old_primary(known: &Known, run: &Run, old: Option<NodeId>, paused: bool, now: Moment) -> OldPrimary {
    let committed = run.operation.committed;
    let info = old.and_then(|old| Some((old, known.node(old).fresh(now)?)));
    match info {
        None => OldPrimary::Unknown,
        Some((old, info)) if !info.is_primary() => {
            let follows = info.link_up && info.primary.as_ref() == Some(&known.relay_for(old));
            let asks_to_follow = known.link.status.handovers_wait_at.contains(&info.offset)
                && known.history() == Some(info.history);
            if follows {
                OldPrimary::Follows
            } else if asks_to_follow && !committed {
                OldPrimary::SteppedDown { offset: info.offset }
            } else {
                OldPrimary::Pauses
            }
        }
        Some(_) if paused => OldPrimary::Pauses,
        // Its handover broke off with the gateway that led it, so it never follows by itself: a rejoin brings it back.
        Some(_) if committed => OldPrimary::Unknown,
        Some((old, _)) => OldPrimary::TakesWrites(old),
    }
}
