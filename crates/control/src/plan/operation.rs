//! The next step of the operation that is under way.

#[cfg(test)]
mod tests;

use sterna_model::{OperationKind as Kind, ServiceName, StepName};

use super::health::{ProbeResult, Verdict};
use super::{
    End, Next, Step, failover, fence, join, local_promotion, rejoin, remove, returning, switchover, upkeep,
};
use crate::known::Known;
use crate::run::{Course, Run};
use crate::time::Moment;

/// The next step. What waits for a copy may do so for hours: the fence is kept as it should be meanwhile, a former primary that
/// comes back is shut, and nodes that do not follow as they should are put right.
pub(crate) fn next(known: &Known, run: &Run, verdict: &Verdict, now: Moment) -> Next {
    let next = next_of_operation(known, run, verdict, now);
    let waits = matches!(next, Next::Wait(_)) && can_wait(run.operation.kind);
    let meanwhile = waits
        .then(|| {
            open_former(known, now)
                .or_else(|| fence::drift(known, now))
                .or_else(|| upkeep::drifted(known, now))
        })
        .flatten();
    meanwhile.map_or(next, Next::Do)
}

/// A former primary that takes writes.
pub(super) fn open_former(known: &Known, now: Moment) -> Option<Step> {
    let mut former = known.shard().former_primaries.iter();
    let open = former.find_map(|former| returning::open_node(known, &former.service, now));
    open.map(Step::BlockWrites)
}

fn next_of_operation(known: &Known, run: &Run, verdict: &Verdict, now: Moment) -> Next {
    let kind = run.operation.kind;
    let goes_first =
        || matches!(verdict, Verdict::FailOver(_)) || local_promotion::seen(known, now).is_some();
    // A service that left the record is let go first: nobody would do it later.
    let removed = matches!(kind, Kind::RemoveReplica | Kind::Detach) && run.operation.committed;
    let leaves = removed || (kind == Kind::AddReplica && is_taken_back(known, run));
    if can_wait(kind) && !leaves && goes_first() {
        return Next::Done(End::Preempted);
    }
    // A gateway that was restarted follows nobody yet. Only what changes or first follows the primary decides about that
    // itself; everything else would leave the primary without its lease.
    let decides = matches!(kind, Kind::Create | Kind::Failover | Kind::Switchover);
    if kind != Kind::Create && known.must_look_first() {
        return Next::Wait(super::Wait::Primary);
    }
    if !decides && let Some(step) = must_follow(known) {
        return Next::Do(step);
    }
    // A switchover takes back what it did first, and so does what joins; a rejoin can always end, as it begins anew by itself.
    let ends_at_once = match run.course {
        Course::Switchover { .. } => false,
        Course::Rejoin { .. } => true,
        Course::Join { .. } => {
            !run.operation.committed || (run.makes_way_for_deletion && !has_left_again(known, run))
        }
        _ => !run.operation.committed,
    };
    if run.cancelled && ends_at_once {
        return Next::Done(End::Cancelled);
    }
    match &run.course {
        Course::Failover => match failover::observe(known, run, now) {
            Some(input) => failover::next(&input),
            None => Next::Wait(super::Wait::Candidate),
        },
        Course::Switchover { taken_back, .. } => match taken_back {
            // What was decided stays: another takes over from the new one.
            Some(_) if run.operation.committed => Next::Done(End::NotPromotable),
            Some(why) => Next::Done(End::TakenBack(*why)),
            None => switch_over(known, run, verdict, now),
        },
        Course::Rejoin { service } => rejoin::next(known, service, run.has_begun(StepName::Close), now),
        Course::Join {
            services,
            released,
            deleted,
            ..
        } if is_taken_back(known, run) => match kind {
            Kind::Create => remove::next_of_group(*released, *deleted, End::CreationTakenBack),
            _ => join::take_back(known, &services[0], *released),
        },
        Course::Join {
            services, attached, ..
        } => join::next(known, services, run.operation.committed, attached, now),
        Course::Remove {
            service,
            promote,
            released,
        } => remove::next(service, *promote, run.operation.committed, *released),
        Course::Delete { released, deleted } => remove::next_of_group(*released, *deleted, End::Deleted),
        Course::Unreadable => Next::Done(End::Unreadable),
    }
}

/// Whether what joins is taken back: a person said so, or did before this process began and the service has left again.
fn is_taken_back(known: &Known, run: &Run) -> bool {
    run.operation.committed && (run.cancelled || has_left_again(known, run))
}

/// Whether a service that was to join is out of the record again.
fn has_left_again(known: &Known, run: &Run) -> bool {
    let out = |service: &ServiceName| !known.record.replicas.contains(service);
    match &run.course {
        Course::Join { services, .. } => run.operation.committed && services.iter().any(out),
        _ => false,
    }
}

/// A switchover ends with the former primary closed where it follows already; else a rejoin brings it back.
fn switch_over(known: &Known, run: &Run, verdict: &Verdict, now: Moment) -> Next {
    let input = switchover::observe(known, run, verdict, now);
    let next = switchover::next(&input);
    let follows = input.old == switchover::OldPrimary::Follows;
    if next != Next::Done(End::PrimaryChanged) || !follows {
        return next;
    }
    let old = run.operation.report.as_ref().map(|report| &report.from);
    match old.filter(|old| known.former_service(old).is_some()) {
        Some(old) => Next::Do(Step::Close(old.clone())),
        None => next,
    }
}

/// The primary takes writes and is not followed yet.
pub(super) fn must_follow(known: &Known) -> Option<Step> {
    let primary = known.primary()?;
    let serves = known.node(primary).result() == ProbeResult::Primary;
    let unknown = known.must_look_first() || known.must_learn_what_is_held();
    let due = serves && !known.link.following && !unknown;
    due.then_some(Step::Follow(primary))
}

/// Whether an operation can wait for a failover.
pub(crate) fn can_wait(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Rejoin | Kind::AddReplica | Kind::RemoveReplica | Kind::Detach
    )
}
