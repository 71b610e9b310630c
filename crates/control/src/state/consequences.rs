//! What work that begins, is seen and is done changes in what is known, besides what is stored.

use sterna_model::EventKind;
use sterna_replication::Handover;

use super::events::Effect;
use crate::job::JobReport;
use crate::known::Known;
use crate::observe::NodeKey;
use crate::plan::Step;
use crate::run::{Course, Run};
use crate::time::Moment;

/// A step that belongs to no operation begins.
pub(super) fn upkeep_begins(known: &mut Known, step: &Step, now: Moment) -> Option<Effect> {
    match step {
        Step::Attach { node, .. } => {
            let state = &known.nodes[node.0];
            tracing::warn!(group = %known.record.name, node = %state.key, "a replica node is let follow again");
            let NodeKey { service, address } = state.key.clone();
            Some(Effect::Publish(EventKind::Repair { service, address }))
        }
        Step::PlaceFence(node) | Step::LiftFence(node) | Step::FollowOwnPrimary(node) => {
            let state = &mut known.nodes[node.0];
            state.repaired_at = Some(now);
            let what = match step {
                Step::PlaceFence(_) => "the fence is put in place",
                Step::LiftFence(_) => "the fence is lifted, for nobody's failover needs it",
                _ => "a local replica goes back to its own primary",
            };
            tracing::info!(group = %known.record.name, node = %state.key, "{what}");
            None
        }
        _ => None,
    }
}

/// Takes in what a job saw.
pub(super) fn seen(known: &mut Known, run: Option<&mut Run>, report: JobReport) -> Option<Effect> {
    if let Some((key, run)) = report.blocked
        && let Some(node) = known.node_mut(&key)
    {
        node.blocked_run = Some(run);
    }
    if let Some(node) = report.has_no_own.and_then(|key| known.node_mut(&key)) {
        node.has_no_own = true;
    }
    if let Some((run, rescue)) = run.zip(report.rescued.as_ref()) {
        run.rescued(rescue);
    }
    known.rescues.extend(report.rescued);
    for observation in report.observations {
        known.observed(observation);
    }
    let (key, kept) = report.kept?;
    known.node_mut(&key)?.kept = Some(kept);
    // What was set is seen at once: a lease that seems longer than it is would be waited for.
    Some(Effect::Look(key))
}

/// What the audit is told of a step that was done without a person, and is part of no operation.
pub(super) fn audit(known: &Known, step: &Step) -> Option<Effect> {
    let (action, detail) = match step {
        Step::Attach { .. } => ("node.repair", step.purpose(known)?.to_string()),
        Step::FollowOwnPrimary(node) if !known.node(*node).has_no_own => {
            let detail = format!(
                "{} follows its service's own primary again",
                known.node(*node).key
            );
            ("node.repair", detail)
        }
        Step::BlockWrites(node) => {
            let detail = format!(
                "{} took writes beside the group's primary: it is shut",
                known.node(*node).key
            );
            ("node.block", detail)
        }
        Step::ExpireRescue(id) => {
            let detail = format!("rescue {id} was kept for as long as the settings say");
            ("rescue.expire", detail)
        }
        _ => return None,
    };
    Some(Effect::Audit {
        action: action.to_owned(),
        outcome: "ok",
        detail,
    })
}

/// A step was done.
pub(super) fn done(known: &mut Known, run: Option<&mut Run>, step: &Step, now: Moment) {
    let link = &mut known.link;
    match step {
        Step::Follow(_) => link.following = true,
        Step::StopFollowing => (link.following, link.handover) = (false, Handover::Refuse),
        Step::Decide { .. } => link.following = false,
        Step::PrepareHandover(_) => link.handover = Handover::Hold,
        Step::AcceptFormerPrimary => link.handover = Handover::Accept,
        Step::Abort { old, .. } => {
            link.handover = Handover::Refuse;
            if let Some(old) = old {
                known.nodes[old.0].may_take_writes(now);
            }
        }
        Step::ExpireRescue(id) => known.rescues.retain(|rescue| rescue.id != *id),
        _ => {}
    }
    let Some(run) = run else { return };
    match (step, &mut run.course) {
        (
            Step::PauseWrites(_),
            Course::Switchover {
                paused_at,
                target_seen,
                ..
            },
        ) => (*paused_at, *target_seen) = (Some(now), false),
        (Step::Abort { why, .. }, Course::Switchover { taken_back, .. }) => *taken_back = Some(*why),
        (Step::Attach { node, .. }, Course::Join { attached, .. }) => {
            attached.insert(known.nodes[node.0].key.clone());
        }
        (Step::Release { .. }, Course::Remove { released, .. } | Course::Join { released, .. })
        | (Step::ReleaseAll, Course::Delete { released, .. } | Course::Join { released, .. }) => {
            *released = true;
        }
        (Step::Delete, Course::Delete { deleted, .. } | Course::Join { deleted, .. }) => *deleted = true,
        _ => {}
    }
}
