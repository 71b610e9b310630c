//! What a person may ask of a group: checked against what is now, before anything of it is stored.

use std::time::Duration;

use sterna_model::{GroupPatch, OperationKind, OperationReason, Requester, StepName};

use super::events::{Answer, Ask, AskId, Effect};
use super::work::Intent;
use super::{GroupState, new_operation};
use crate::handle::Change;
use crate::membership;
use crate::plan::admission::{self, MissingUser, Refusal};
use crate::plan::failover;
use crate::run::Run;
use crate::time::{Moment, Now};

/// What comes of what was asked.
enum Outcome {
    /// This is to be stored, which answers it.
    Store(Intent),
    /// The operation under way is to end.
    Cancel,
    /// The operation under way is to end, and this is to be examined again then.
    After(Ask),
    /// The shard is to follow the primary whatever it offers.
    AcceptHistory,
}

impl GroupState {
    /// A person wants something.
    pub(super) fn asked(&mut self, ask: AskId, what: Ask, now: Now, out: &mut Vec<Effect>) {
        match examine(self, ask, what, now) {
            Ok(Outcome::Store(intent)) => self.commit(intent, now, out),
            Ok(Outcome::Cancel) => {
                if let Some(run) = &mut self.run {
                    run.cancelled = true;
                    let answer = Answer::Operation(Box::new(run.operation.clone()));
                    out.push(Effect::Answer { ask, answer });
                }
            }
            Ok(Outcome::After(what)) => {
                if let Some(run) = &mut self.run {
                    run.cancelled = true;
                    run.makes_way_for_deletion = what.is_deletion();
                }
                self.asked_next = Some((ask, what));
            }
            Ok(Outcome::AcceptHistory) => {
                let answer = Answer::Group(Box::new(self.known.record.clone()));
                out.extend([Effect::AcceptHistory, Effect::Answer { ask, answer }]);
            }
            Err(answer) => out.push(Effect::Answer { ask, answer }),
        }
    }
}

/// What comes of it, or why nothing does.
fn examine(state: &GroupState, ask: AskId, what: Ask, now: Now) -> Result<Outcome, Answer> {
    let intent = match what {
        Ask::Begin {
            change,
            by,
            missing_users,
        } => {
            if admit(state, &change, &missing_users, now)? == Admitted::AfterThisOne {
                return Ok(Outcome::After(Ask::Begin {
                    change,
                    by,
                    missing_users,
                }));
            }
            begin(state, ask, &change, &by, now)
        }
        Ask::Update { patch, expected } => {
            let revision = state.known.record.revision;
            if expected.is_some_and(|expected| expected != revision) {
                return Err(Answer::Conflict { now: revision });
            }
            check(state, &patch)?;
            let paused = None;
            Intent::Update { ask, patch, paused }
        }
        Ask::SetPaused(paused) => Intent::Update {
            ask,
            patch: GroupPatch::default(),
            paused: Some(paused),
        },
        Ask::AcceptHistory(offered) => {
            let is_busy = |run: &&Run| run.operation.kind != OperationKind::Rejoin;
            if let Some(run) = state.run.as_ref().filter(is_busy) {
                return Err(Answer::Busy(run.operation.id));
            }
            admission::accept_history(&state.known, offered).map_err(Answer::Refused)?;
            return Ok(Outcome::AcceptHistory);
        }
        Ask::Cancel(id) => {
            admission::cancel(state.run(), id).map_err(Answer::Refused)?;
            return Ok(Outcome::Cancel);
        }
    };
    Ok(Outcome::Store(intent))
}

/// When what a person asks for may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admitted {
    Now,
    /// When the operation under way has ended, which it does as soon as the work at hand is done.
    AfterThisOne,
}

fn admit(state: &GroupState, change: &Change, missing: &[MissingUser], now: Now) -> Result<Admitted, Answer> {
    if let Some(run) = &state.run
        && !makes_way(run, change, now.at)
    {
        return Err(Answer::Busy(run.operation.id));
    }
    if state.work.begins() || state.asked_next.is_some() {
        return Err(Answer::Refused(Refusal::AnotherBegins));
    }
    may_begin(state, change, missing, now).map_err(Answer::Refused)?;
    Ok(match state.run {
        Some(_) => Admitted::AfterThisOne,
        None => Admitted::Now,
    })
}

/// Whether an operation ends for what a person wants: a rejoin begins again by itself, a failover that waits for a person waits for
/// just that, and one that has decided on a node and gets no further with it has had its time. Who wants no group any more waits
/// for no service that joins it, and for one that leaves only until it is let go.
fn makes_way(run: &Run, change: &Change, now: Moment) -> bool {
    let forced = matches!(change, Change::Failover { force: true, .. });
    let had_its_time = || {
        let decided = run.done(StepName::Decide);
        decided.is_some_and(|at| now.since(at) >= failover::UNFIT_MAX)
    };
    match run.operation.kind {
        OperationKind::Rejoin => true,
        OperationKind::Create
        | OperationKind::AddReplica
        | OperationKind::RemoveReplica
        | OperationKind::Detach => matches!(change, Change::Delete),
        _ if run.has_decided() => forced && had_its_time(),
        OperationKind::Failover => forced,
        _ => false,
    }
}

fn begin(state: &GroupState, ask: AskId, change: &Change, by: &str, now: Now) -> Intent {
    let kind = change.kind();
    let reason = OperationReason::Requested {
        operation: kind,
        by: Requester::from(by.to_owned()),
    };
    let record = &state.known.record;
    let mut operation = new_operation(record, kind, change.service().cloned(), reason, now);
    operation.force = change.force();
    if kind == OperationKind::Failover {
        Run::detected(&mut operation, Duration::ZERO, now);
    }
    Intent::begin(operation, Some(ask))
}

fn may_begin(state: &GroupState, change: &Change, missing: &[MissingUser], now: Now) -> Result<(), Refusal> {
    let known = &state.known;
    match change {
        Change::Switchover {
            to,
            allow_missing_users,
        } => {
            admission::switchover(known, &state.verdict, to, now.at)?;
            admission::users(to, missing, *allow_missing_users)
        }
        Change::Failover { to, force } => admission::failover(known, to.as_ref(), *force, now.at),
        Change::AddReplica { service, .. } => admission::add(known, service),
        Change::RemoveReplica { service, .. } => admission::remove(known, service),
        Change::Delete => Ok(()),
    }
}

fn check(state: &GroupState, patch: &GroupPatch) -> Result<(), Answer> {
    if !patch.settings.is_empty() {
        let settings = patch.settings.over(&state.known.record.settings);
        membership::check_settings(&settings).map_err(Answer::Invalid)?;
    }
    if let Some(order) = &patch.replicas {
        admission::reorder(&state.known.record, order).map_err(Answer::Refused)?;
    }
    Ok(())
}
