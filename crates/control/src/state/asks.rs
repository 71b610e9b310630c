//! What a person may ask of a group: checked against what is now, then stored.

use sterna_model::{OperationKind, Requester};

use super::GroupState;
use super::events::{Answer, Ask, AskId, Effect};
use super::work::Intent;
use crate::handle::{Change, GroupPatch};
use crate::membership;
use crate::plan::admission::{self, Refusal};
use crate::run::Run;
use crate::time::Now;

impl GroupState {
    /// Begins what was asked for, or answers why not.
    pub(super) fn asked(&mut self, ask: AskId, what: Ask, now: Now, out: &mut Vec<Effect>) {
        let answer = match what {
            Ask::Begin { change, by } => self.ask_begin(ask, &change, &by, now, out),
            Ask::Update { patch, expected } => {
                let revision = self.known.record.revision;
                if expected.is_some_and(|expected| expected != revision) {
                    Some(Answer::Conflict { now: revision })
                } else {
                    self.ask_update(ask, patch, now, out)
                }
            }
            Ask::SetPaused(paused) => {
                let intent = Intent::Update {
                    ask,
                    patch: GroupPatch::default(),
                    paused: Some(paused),
                };
                self.commit(intent, now, out);
                None
            }
            Ask::Cancel(id) => Some(match admission::cancel(self.run.as_ref(), id) {
                Ok(()) => match &mut self.run {
                    Some(run) => {
                        run.cancelled = true;
                        Answer::Operation(Box::new(run.operation.clone()))
                    }
                    None => Answer::Refused(Refusal::NotUnderWay(id)),
                },
                Err(refusal) => Answer::Refused(refusal),
            }),
        };
        out.extend(answer.map(|answer| Effect::Answer { ask, answer }));
    }

    fn ask_begin(
        &mut self,
        ask: AskId,
        change: &Change,
        by: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Option<Answer> {
        if let Some(run) = &self.run {
            return Some(Answer::Busy(run.operation.id));
        }
        if let Err(refusal) = self.admit(change, now) {
            return Some(Answer::Refused(refusal));
        }
        let reason = format!("{}, asked for by {by}", change.reason());
        let mut operation = self.new_operation(change.kind(), change.service().cloned(), reason, now);
        operation.requested_by = Requester::from(by.to_owned());
        operation.force = change.force();
        if operation.kind == OperationKind::Failover {
            Run::detected(&mut operation, std::time::Duration::ZERO, now);
        }
        self.commit(Intent::begin(operation, Some(ask)), now, out);
        None
    }

    fn admit(&self, change: &Change, now: Now) -> Result<(), Refusal> {
        if self.work.begins() {
            return Err(Refusal::AnotherBegins);
        }
        match change {
            Change::Switchover { to } => admission::switchover(&self.known, &self.verdict, to, now.at),
            Change::Failover { to, force } => admission::failover(&self.known, to.as_ref(), *force, now.at),
            Change::AddReplica { service, .. } => admission::add(&self.known, service),
            Change::RemoveReplica { service, .. } => admission::remove(&self.known, service),
            Change::Delete => Ok(()),
        }
    }

    fn ask_update(
        &mut self,
        ask: AskId,
        patch: GroupPatch,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Option<Answer> {
        if let Some(settings) = &patch.settings
            && let Err(invalid) = membership::check_settings(settings)
        {
            return Some(Answer::Invalid(invalid));
        }
        if let Some(order) = &patch.replicas
            && let Err(refusal) = admission::reorder(&self.known.record, order)
        {
            return Some(Answer::Refused(refusal));
        }
        let intent = Intent::Update {
            ask,
            patch,
            paused: None,
        };
        self.commit(intent, now, out);
        None
    }
}
