//! What exactly is stored when the turn of an intent comes, from what is known then.

use sterna_model::{Group, GroupPatch};
use sterna_node::NodeAddress;

use super::events::{Commit, CommitKind, Point, PointStep};
use super::resolve;
use super::work::{Active, Intent};
use crate::known::Known;
use crate::observe::NodeKey;
use crate::plan::{Step, record};
use crate::run::Run;
use crate::time::Now;

/// What an intent comes to now; none where what it was about is gone.
pub(super) fn commit(
    known: &Known,
    run: Option<&Run>,
    active: Option<&Active>,
    intent: &Intent,
    now: Now,
) -> Option<Commit> {
    let operation = || Some(CommitKind::Operation(Box::new(run?.operation.clone())));
    let step = active.and_then(|active| active.step.name());
    let (what, before, after) = match intent {
        Intent::Begin { operation, .. } => {
            let point = |place| {
                Some(Point {
                    kind: operation.kind,
                    step: PointStep::Ask,
                    place,
                })
            };
            let what = CommitKind::Begin(operation.clone());
            (what, point("before"), point("after"))
        }
        Intent::Mark => (operation()?, Point::of(run, "begin", step), None),
        Intent::Result { primary_node } => {
            let what = result(known, run, &active?.step, primary_node.as_ref(), now)?;
            if resolve::is_record_only(&active?.step) {
                (
                    what,
                    Point::of(run, "before", step),
                    Point::of(run, "after", step),
                )
            } else {
                (what, None, Point::of(run, "recorded", step))
            }
        }
        Intent::Wait(name) => (operation()?, None, Point::of(run, "wait", Some(*name))),
        Intent::Finish => {
            let point = Point {
                kind: run?.operation.kind,
                step: PointStep::Finish,
                place: "before",
            };
            (operation()?, Some(point), None)
        }
        Intent::Update { patch, paused, .. } => {
            let change = updated(&known.record, patch, *paused);
            (CommitKind::Change(Box::new(change)), None, None)
        }
        Intent::Drop(operation) => {
            let what = CommitKind::Delete {
                operation: operation.clone(),
                group: Box::new(known.record.clone()),
            };
            (what, None, None)
        }
    };
    Some(Commit { what, before, after })
}

/// What the step under way changes in what is stored.
fn result(
    known: &Known,
    run: Option<&Run>,
    step: &Step,
    primary_node: Option<&NodeAddress>,
    now: Now,
) -> Option<CommitKind> {
    let operation = run.map(|run| &run.operation);
    let change = match step {
        Step::Decide {
            node,
            divergence_offset,
        } => record::decided(known, operation?, *node, *divergence_offset, now),
        Step::PlaceFence(_) => record::fence(known, true),
        Step::LiftFence(_) => record::fence(known, false),
        Step::Check(_) => record::checked(known, operation?, primary_node?.clone()),
        Step::Remove(service) => record::removed(&known.record, operation?, service),
        Step::Close(service) => record::closed(known, |former| former.service == *service),
        Step::CloseNode(node) => {
            let NodeKey { service, address } = &known.node(*node).key;
            record::closed(known, |former| {
                former.service == *service && former.node == *address
            })
        }
        Step::Delete => {
            return Some(CommitKind::Delete {
                operation: Box::new(record::deleted(operation?, now)),
                group: Box::new(known.record.clone()),
            });
        }
        _ => return None,
    };
    Some(CommitKind::Change(Box::new(change)))
}

fn updated(record: &Group, patch: &GroupPatch, paused: Option<bool>) -> record::Change {
    let mut group = record.clone();
    group.settings = patch.settings.over(&record.settings);
    if let Some(order) = &patch.replicas {
        group.replicas.clone_from(order);
    }
    group.paused = paused.unwrap_or(group.paused);
    record::Change::of_group(group)
}
