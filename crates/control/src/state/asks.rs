//! What a person may ask of a group: checked against what is now, before anything of it is stored.

use std::time::Duration;

use sterna_model::{GroupPatch, OperationKind, OperationReason, Requester};

use super::events::{Answer, Ask, AskId};
use super::work::Intent;
use super::{GroupState, new_operation};
use crate::handle::Change;
use crate::membership;
use crate::plan::admission::{self, MissingUser, Refusal};
use crate::run::Run;
use crate::time::Now;

/// What comes of what was asked.
pub(super) enum Outcome {
    /// This is to be stored, which answers it.
    Store(Intent),
    /// The operation under way is to end.
    Cancel,
    /// The shard is to follow the primary whatever it offers.
    AcceptHistory,
}

/// What comes of it, or why nothing does.
pub(super) fn examine(state: &GroupState, ask: AskId, what: Ask, now: Now) -> Result<Outcome, Answer> {
    let intent = match what {
        Ask::Begin {
            change,
            by,
            missing_users,
        } => {
            admit(state, &change, &missing_users, now)?;
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
            if let Some(run) = &state.run {
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

fn admit(state: &GroupState, change: &Change, missing: &[MissingUser], now: Now) -> Result<(), Answer> {
    if let Some(run) = &state.run {
        return Err(Answer::Busy(run.operation.id));
    }
    if state.work.begins() {
        return Err(Answer::Refused(Refusal::AnotherBegins));
    }
    may_begin(state, change, missing, now).map_err(Answer::Refused)
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
